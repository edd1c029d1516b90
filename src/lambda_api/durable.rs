//! Durable executions: functions that are checkpointed and go on later. No function here is durable (CreateFunction refuses
//! `DurableConfig`), so there are no executions, and none is found. AWS's texts for that are not known to us.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use serde_json::json;

use super::{
    Api, Error,
    answer::{Answer, ok},
    body::Query,
    name::{Form, Name},
    setting,
};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    let executions = "/2025-12-01/durable-executions/{arn}";
    let mut router = Router::new()
        .route("/2025-12-01/functions/{function}/durable-executions", get(list))
        .route(executions, get(missing).delete(missing));
    for part in ["history", "state"] {
        router = router.route(&format!("{executions}/{part}"), get(missing));
    }
    for verb in ["checkpoint", "pause", "resume", "stop"] {
        router = router.route(&format!("{executions}/{verb}"), post(missing));
    }
    for verb in ["fail", "heartbeat", "succeed"] {
        router = router.route(
            &format!("/2025-12-01/durable-execution-callbacks/{{callback}}/{verb}"),
            post(no_callback),
        );
    }
    router
}

async fn list(State(api): State<Arc<Api>>, Path(function): Path<String>, query: Query) -> Answer {
    let name = Name::parse(
        &function,
        query.qualifier(),
        Form::Namespaced,
        "ListDurableExecutionsByFunction",
        api.identity(),
    )?;
    setting::target(&api, &name)?;
    ok(&json!({ "DurableExecutions": [] }))
}

async fn missing(Path(arn): Path<String>) -> Error {
    Error::not_found(format!("Durable execution not found: {arn}"))
}

async fn no_callback(Path(callback): Path<String>) -> Error {
    Error::not_found(format!("Callback not found: {callback}"))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use crate::lambda_api::tests::{api, given, send};

    #[tokio::test]
    async fn no_function_here_is_durable() {
        let (api, _directory) = api().await;
        given(&api, "f", 1).await;
        let list = "/2025-12-01/functions/f/durable-executions?Qualifier=1";
        let none = json!({ "DurableExecutions": [] });
        assert_eq!(send(&api, "GET", list, Value::Null).await, (StatusCode::OK, none));
        let one = "/2025-12-01/durable-executions/arn%3Aaws%3Alambda%3Af%2Fdurable-execution%2Fa%2Fb";
        let callback = "/2025-12-01/durable-execution-callbacks/abc/succeed";
        for (method, path) in
            [("GET", one.to_owned()), ("POST", format!("{one}/stop")), ("POST", callback.to_owned())]
        {
            let (status, answer) = send(&api, method, &path, Value::Null).await;
            assert_eq!((status, &answer["Type"]), (StatusCode::NOT_FOUND, &json!("User")), "{path}");
        }
    }
}
