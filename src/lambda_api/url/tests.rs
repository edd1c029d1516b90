use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::lambda_api::tests::{api, given, send};

const PATH: &str = "/2021-10-31/functions/f/url";

#[tokio::test]
async fn a_url_is_made_changed_and_deleted() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    let cors = json!({ "AllowOrigins": ["*"], "MaxAge": 60 });
    let (status, made) = send(&api, "POST", PATH, json!({ "AuthType": "NONE", "Cors": cors })).await;
    assert_eq!(status, StatusCode::CREATED);
    let url = made["FunctionUrl"].as_str().unwrap();
    let id = url.strip_prefix("https://").unwrap().strip_suffix(".lambda-url.us-east-1.on.aws/").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{id}");
    assert_eq!(made["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f");
    assert_eq!((&made["AuthType"], &made["Cors"]), (&json!("NONE"), &cors));
    assert!(made.get("LastModifiedTime").is_none() && made.get("InvokeMode").is_none());
    let (status, answer) = send(&api, "POST", PATH, json!({ "AuthType": "NONE" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        answer["message"],
        "Failed to create function url config for [functionArn = arn:aws:lambda:us-east-1:000000000000:function:f]. Error \
         message:  FunctionUrlConfig exists for this Lambda function"
    );
    let update = json!({ "AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM" });
    let (status, updated) = send(&api, "PUT", PATH, update).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&updated["AuthType"], &updated["Cors"]), (&json!("AWS_IAM"), &cors));
    assert_eq!(
        (&updated["FunctionUrl"], &updated["CreationTime"]),
        (&made["FunctionUrl"], &made["CreationTime"])
    );
    assert_eq!(send(&api, "GET", PATH, Value::Null).await, (StatusCode::OK, updated.clone()));
    let (_, list) = send(&api, "GET", &format!("{PATH}s"), Value::Null).await;
    assert_eq!(list, json!({ "FunctionUrlConfigs": [updated] }));
    assert_eq!(send(&api, "DELETE", PATH, Value::Null).await.0, StatusCode::NO_CONTENT);
    for method in ["GET", "PUT", "DELETE"] {
        let (status, answer) = send(&api, method, PATH, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(answer["Message"], "The resource you requested does not exist.");
    }
}

#[tokio::test]
async fn aliases_have_urls_and_versions_have_none() {
    let (api, _directory) = api().await;
    given(&api, "f", 1).await;
    let make = json!({ "AuthType": "NONE" });
    let (status, made) = send(&api, "POST", &format!("{PATH}?Qualifier=live"), make.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(made["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f:live");
    for qualifier in ["1", "$LATEST"] {
        let (status, answer) =
            send(&api, "POST", &format!("{PATH}?Qualifier={qualifier}"), make.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            answer["message"],
            format!(
                "1 validation error detected: Value '{qualifier}' at 'qualifier' failed to satisfy constraint: Member must \
                 satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)"
            )
        );
    }
    let unknown = [format!("{PATH}?Qualifier=beta"), PATH.replace("/f/", "/g/")];
    for path in unknown {
        let (status, answer) = send(&api, "POST", &path, make.clone()).await;
        assert_eq!(
            (status, answer["Message"].as_str()),
            (StatusCode::NOT_FOUND, Some("Function does not exist"))
        );
    }
}

#[tokio::test]
async fn refusals_in_awss_words() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    let wrong = json!({
        "AuthType": "NONE",
        "InvokeMode": "UNKNOWN",
        "Cors": { "AllowMethods": ["PROPFIND"], "MaxAge": 86_401 },
    });
    let (status, answer) = send(&api, "POST", PATH, wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let said = answer["message"].as_str().unwrap();
    assert!(said.starts_with(
        "3 validation errors detected: Value 'UNKNOWN' at 'invokeMode' failed to satisfy constraint: Member must satisfy \
         enum value set: [RESPONSE_STREAM, BUFFERED]; Value '[PROPFIND]' at 'cors.allowMethods'"
    ));
    assert!(said.ends_with("Value '86401' at 'cors.maxAge' failed to satisfy constraint: Member must have value less than or equal to 86400"));
}
