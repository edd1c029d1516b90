//! Lambda Managed Instances: functions on instances of the account's own. There are no instances here, so there are no
//! capacity providers, and none can be made.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::Method,
    routing::get,
};
use serde_json::json;

use super::{
    Api, Error,
    answer::{Answer, ok},
    body::Query,
    name::{Form, Name},
    page::Page,
    setting,
};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    let providers = "/2025-11-30/capacity-providers";
    Router::new()
        .route(providers, get(list).post(refuse))
        .route(&format!("{providers}/{{name}}"), get(missing).put(missing).delete(missing))
        .route(&format!("{providers}/{{name}}/function-versions"), get(missing))
        .route("/2025-11-30/functions/{function}/function-scaling-config", get(unscaled).put(unscaled))
}

async fn list(query: Query) -> Answer {
    Page::of_fifty(&query)?;
    ok(&json!({ "CapacityProviders": [] }))
}

async fn refuse() -> Error {
    Error::invalid("Capacity providers are not supported here: functions run on this machine.")
}

async fn missing(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Error {
    let arn = if name.starts_with("arn:") {
        name
    } else {
        api.identity().arn(&format!("capacity-provider:{name}"))
    };
    Error::not_found(format!("Capacity provider not found: {arn}"))
}

/// A function's environments are scaled by a capacity provider, which it has not.
async fn unscaled(
    method: Method,
    State(api): State<Arc<Api>>,
    Path(function): Path<String>,
    query: Query,
) -> Result<(), Error> {
    let action = if method == Method::PUT { "PutFunctionScalingConfig" } else { "GetFunctionScalingConfig" };
    let name = Name::parse(&function, query.qualifier(), Form::Plain, action, api.identity())?;
    setting::target(&api, &name)?;
    Err(Error::invalid("The function does not use a capacity provider."))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use crate::lambda_api::tests::{api, given, send};

    #[tokio::test]
    async fn there_is_no_capacity_but_this_machines() {
        let (api, _directory) = api().await;
        given(&api, "f", 1).await;
        let path = "/2025-11-30/capacity-providers";
        let none = json!({ "CapacityProviders": [] });
        assert_eq!(send(&api, "GET", path, Value::Null).await, (StatusCode::OK, none));
        assert_eq!(send(&api, "POST", path, json!({})).await.0, StatusCode::BAD_REQUEST);
        let (status, answer) = send(&api, "GET", &format!("{path}/p"), Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let said = "Capacity provider not found: arn:aws:lambda:us-east-1:000000000000:capacity-provider:p";
        assert_eq!(answer["Message"], said);
        let scaling = "/2025-11-30/functions/f/function-scaling-config?Qualifier=1";
        assert_eq!(send(&api, "GET", scaling, Value::Null).await.0, StatusCode::BAD_REQUEST);
    }
}
