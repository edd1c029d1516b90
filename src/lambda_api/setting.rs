//! What hangs on a function, or on one version or alias of it: under which key, on what, until when.

use super::{
    Api, Error,
    function::{self, Resolved},
    name::{self, Name},
    shelf::Change,
};

/// A setting's key on its shelf: `NAME:QUALIFIER`, without a qualifier that of `$LATEST`. A function's follow one another.
pub(super) fn key(name: &Name) -> String {
    format!("{}:{}", name.function, name.qualifier.as_deref().unwrap_or("$LATEST"))
}

/// The qualifier in a key.
pub(super) fn qualifier(key: &str) -> &str {
    key.split_once(':').map_or("$LATEST", |(_, qualifier)| qualifier)
}

/// What the name says, in the words of the operations on settings: they tell a missing alias from a missing function.
pub(super) fn target(api: &Api, name: &Name) -> Result<Resolved, Error> {
    function::find(api, name)?;
    function::resolve(api, name).map_err(|missing| match name.qualifier.as_deref() {
        Some(qualifier) if name::is_alias(qualifier) => {
            Error::not_found(format!("Cannot find alias arn: {}", name.arn(api.identity())))
        }
        Some(qualifier) if qualifier != "$LATEST" && !name::is_version(qualifier) => {
            Error::not_found("The resource you requested does not exist.")
        }
        _ => missing,
    })
}

/// Takes down what hangs on a function, or on one of its versions or aliases alone. Mappings stay, as on AWS.
pub(super) fn forget(api: &Api, change: &mut Change, function: &str, qualifier: Option<&str>) {
    let prefix = format!("{function}:");
    let own = |key: &str| match qualifier {
        Some(wanted) => self::qualifier(key) == wanted,
        None => true,
    };
    macro_rules! forget {
        ($($shelf:expr),*) => {$(
            for (key, _) in $shelf.under(&prefix) {
                if own(&key) {
                    change.remove(&$shelf, key);
                }
            }
        )*};
    }
    forget!(api.policies, api.provisioned, api.event_configs, api.urls, api.runtime_updates);
    if qualifier.is_none() {
        change.remove(&api.reserved, function);
        change.remove(&api.code_signing.functions, function);
        change.remove(&api.recursion, function);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::lambda_api::{
        Api, concurrency,
        tests::{api, given, send},
    };

    #[tokio::test]
    async fn what_hangs_on_a_function_goes_with_it() {
        let (api, _directory) = api().await;
        for function in ["f", "f2"] {
            given(&api, function, 1).await;
            let put = async |path: String, body| {
                let (status, answer) = send(&api, "PUT", &path, body).await;
                assert!(status.is_success(), "{answer}");
            };
            put(
                format!("/2017-10-31/functions/{function}/concurrency"),
                json!({ "ReservedConcurrentExecutions": 5 }),
            )
            .await;
            for qualifier in ["1", "live"] {
                let path = format!("/2019-09-25/functions/{function}:{qualifier}/event-invoke-config");
                put(path, json!({ "MaximumRetryAttempts": 0 })).await;
            }
        }
        let keys = || -> Vec<String> { api.event_configs.all().into_iter().map(|(key, _)| key).collect() };
        let mut change = api.change().await;
        super::forget(&api, &mut change, "f", Some("1"));
        change.commit().await.unwrap();
        assert_eq!(keys(), ["f2:1", "f2:live", "f:live"]);
        assert!(api.reserved.get("f").is_some(), "that is the whole function's");
        let mut change = api.change().await;
        super::forget(&api, &mut change, "f", None);
        change.commit().await.unwrap();
        assert_eq!(keys(), ["f2:1", "f2:live"]);
        assert!(api.reserved.get("f").is_none() && api.reserved.get("f2").is_some());
    }

    #[tokio::test]
    async fn settings_outlive_the_process() {
        let (api, _directory) = api().await;
        given(&api, "f", 1).await;
        let requests = [
            ("POST", "/2015-03-31/functions/f/policy", {
                json!({ "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*" })
            }),
            ("PUT", "/2017-10-31/functions/f/concurrency", json!({ "ReservedConcurrentExecutions": 5 })),
            ("PUT", "/2019-09-25/functions/f/event-invoke-config", json!({ "MaximumRetryAttempts": 0 })),
            ("POST", "/2021-10-31/functions/f/url", json!({ "AuthType": "NONE", "Cors": { "MaxAge": 1 } })),
            ("PUT", "/2024-08-31/functions/f/recursion-config", json!({ "RecursiveLoop": "Allow" })),
            (
                "PUT",
                "/2021-07-20/functions/f/runtime-management-config",
                json!({ "UpdateRuntimeOn": "Auto" }),
            ),
            ("PUT", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1", {
                json!({ "ProvisionedConcurrentExecutions": 2 })
            }),
        ];
        for (method, path, body) in requests {
            let (status, answer) = send(&api, method, path, body).await;
            assert!(status.is_success(), "{path}: {answer}");
        }
        let settings = api.settings.clone();
        let paths = [
            "/2015-03-31/functions/f/policy",
            "/2019-09-30/functions/f/concurrency",
            "/2019-09-25/functions/f/event-invoke-config",
            "/2021-10-31/functions/f/url",
            "/2024-08-31/functions/f/recursion-config",
        ];
        let mut before = Vec::new();
        for path in paths {
            before.push(send(&api, "GET", path, json!(null)).await);
        }
        drop(api);
        let api = Api::open(settings, None).await.unwrap();
        for (path, before) in paths.into_iter().zip(before) {
            assert_eq!(send(&api, "GET", path, json!(null)).await, before, "{path}");
        }
        assert_eq!(concurrency::provisioned(&api, "f", "1"), 2);
    }
}
