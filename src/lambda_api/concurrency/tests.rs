use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{provisioned, reserved};
use crate::lambda_api::tests::{api, given, send};

const PUT: &str = "/2017-10-31/functions/f/concurrency";
const GET: &str = "/2019-09-30/functions/f/concurrency";
const PROVISIONED: &str = "/2019-09-30/functions/f/provisioned-concurrency";

async fn unreserved(api: &std::sync::Arc<crate::lambda_api::Api>) -> Value {
    let (_, answer) = send(api, "GET", "/2016-08-19/account-settings", Value::Null).await;
    answer["AccountLimit"]["UnreservedConcurrentExecutions"].clone()
}

#[tokio::test]
async fn what_is_reserved_is_the_functions_own() {
    let (api, _directory) = api().await;
    given(&api, "f", 1).await;
    let want = |count: i64| json!({ "ReservedConcurrentExecutions": count });
    assert_eq!(send(&api, "GET", GET, Value::Null).await, (StatusCode::OK, json!({})));
    assert_eq!(send(&api, "PUT", PUT, want(100)).await, (StatusCode::OK, want(100)));
    assert_eq!(send(&api, "GET", GET, Value::Null).await, (StatusCode::OK, want(100)));
    assert_eq!(unreserved(&api).await, 900);
    let (status, answer) = send(&api, "PUT", PUT, want(901)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let said = "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below \
                its minimum value of [100].";
    assert_eq!(answer, json!({ "message": said }));
    assert_eq!(
        send(&api, "PUT", PUT, want(900)).await.0,
        StatusCode::OK,
        "its own does not count against it"
    );
    assert_eq!(send(&api, "PUT", PUT, want(0)).await, (StatusCode::OK, want(0)));
    assert_eq!(reserved(&api, "f"), Some(0));
    assert_eq!(send(&api, "DELETE", PUT, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(unreserved(&api).await, 1000);
    let (status, answer) = send(&api, "PUT", &PUT.replace("/f/", "/f:1/"), want(1)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .starts_with("This operation is permitted on Lambda functions only.")
    );
    let (status, answer) = send(&api, "PUT", &PUT.replace("/f/", "/g/"), want(1)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        answer["Message"],
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:g:$LATEST"
    );
}

#[tokio::test]
async fn provisioning_settles() {
    let (api, _directory) = api().await;
    given(&api, "f", 2).await;
    let path = format!("{PROVISIONED}?Qualifier=live");
    let (status, answer) = send(&api, "GET", &path, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["message"], "No Provisioned Concurrency Config found for this function");
    let want = json!({ "ProvisionedConcurrentExecutions": 2 });
    let (status, mut answer) = send(&api, "PUT", &path, want).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(answer["LastModified"].take().as_str().unwrap().ends_with("+0000"));
    let shown = |there: u32, status: &str| {
        json!({
            "RequestedProvisionedConcurrentExecutions": 2,
            "AvailableProvisionedConcurrentExecutions": there,
            "AllocatedProvisionedConcurrentExecutions": there,
            "Status": status,
            "LastModified": null,
        })
    };
    assert_eq!(answer, shown(0, "IN_PROGRESS"));
    tokio::time::sleep(api.settings.settle).await;
    let (_, mut answer) = send(&api, "GET", &path, Value::Null).await;
    answer["LastModified"].take();
    assert_eq!(answer, shown(2, "READY"));
    assert_eq!((provisioned(&api, "f", "1"), provisioned(&api, "f", "$LATEST")), (2, 0));
    assert_eq!(unreserved(&api).await, 998);
    let (_, answer) = send(&api, "GET", &format!("{PROVISIONED}?List=ALL"), Value::Null).await;
    let listed = &answer["ProvisionedConcurrencyConfigs"][0]["FunctionArn"];
    assert_eq!(listed, "arn:aws:lambda:us-east-1:000000000000:function:f:live");
    let alias = "/2015-03-31/functions/f/aliases/live";
    let weights = json!({ "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.5 } } });
    let (status, answer) = send(&api, "PUT", alias, weights).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["message"], "Alias with weights can not be used with Provisioned Concurrency");
    let (status, answer) = send(&api, "PUT", alias, json!({ "FunctionVersion": "$LATEST" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["message"], "Invalid alias configuration for Provisioned Concurrency");
    for _ in 0..2 {
        assert_eq!(send(&api, "DELETE", &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn only_published_versions_and_their_aliases_are_provisioned() {
    let (api, _directory) = api().await;
    given(&api, "f", 2).await;
    let want = |count: i64| json!({ "ProvisionedConcurrentExecutions": count });
    for (qualifier, count, status, said) in [
        (
            "$LATEST",
            1,
            StatusCode::BAD_REQUEST,
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
        ),
        (
            "live",
            0,
            StatusCode::BAD_REQUEST,
            "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: \
             Member must have value greater than or equal to 1",
        ),
        (
            "beta",
            1,
            StatusCode::NOT_FOUND,
            "Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:beta",
        ),
        (
            "3",
            1,
            StatusCode::NOT_FOUND,
            "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:3",
        ),
        (
            "1",
            1001,
            StatusCode::BAD_REQUEST,
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000].",
        ),
    ] {
        let path = format!("{PROVISIONED}?Qualifier={qualifier}");
        let (seen, answer) = send(&api, "PUT", &path, want(count)).await;
        let text = answer.get("message").or(answer.get("Message")).and_then(Value::as_str);
        assert_eq!((seen, text), (status, Some(said)));
    }
    for method in ["GET", "DELETE"] {
        let (_, answer) = send(&api, method, &format!("{PROVISIONED}?Qualifier=$LATEST"), Value::Null).await;
        assert_eq!(
            answer["message"],
            "The function resource provided must be an alias or a published version."
        );
    }
    let path = |qualifier: &str| format!("{PROVISIONED}?Qualifier={qualifier}");
    assert_eq!(send(&api, "PUT", &path("1"), want(1)).await.0, StatusCode::ACCEPTED);
    let (status, answer) = send(&api, "PUT", &path("live"), want(1)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        answer["message"],
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    );
    assert_eq!(send(&api, "DELETE", &path("1"), Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(&api, "PUT", &path("live"), want(1)).await.0, StatusCode::ACCEPTED);
    let (status, answer) = send(&api, "PUT", &path("1"), want(1)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer["message"], "Version is pointed by a Provisioned Concurrency alias");
    assert_eq!(send(&api, "PUT", &path("2"), want(1)).await.0, StatusCode::ACCEPTED);
}
