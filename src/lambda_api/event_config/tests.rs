use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::effective;
use crate::{
    lambda_api::{
        name::Name,
        tests::{api, given, send},
    },
    queue::Settings,
};

const PATH: &str = "/2019-09-25/functions/f/event-invoke-config";
const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:q";

fn name(qualifier: Option<&str>) -> Name {
    Name { function: "f".to_owned(), qualifier: qualifier.map(str::to_owned) }
}

#[tokio::test]
async fn put_replaces_and_update_merges() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    let (status, mut answer) = send(&api, "PUT", PATH, json!({ "MaximumRetryAttempts": 0 })).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer["LastModified"].take().is_f64());
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST";
    let expected = json!({
        "FunctionArn": arn,
        "LastModified": null,
        "MaximumRetryAttempts": 0,
        "DestinationConfig": { "OnSuccess": {}, "OnFailure": {} },
    });
    assert_eq!(answer, expected);
    let destinations = json!({ "OnFailure": { "Destination": QUEUE } });
    let update = json!({ "MaximumEventAgeInSeconds": 60, "DestinationConfig": destinations });
    let (status, answer) = send(&api, "POST", PATH, update).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["MaximumRetryAttempts"], 0);
    assert_eq!(answer["MaximumEventAgeInSeconds"], 60);
    assert_eq!(
        answer["DestinationConfig"],
        json!({ "OnSuccess": {}, "OnFailure": { "Destination": QUEUE } })
    );
    let now = effective(&api, &name(None));
    assert_eq!((now.retries, now.age), (0, Duration::from_secs(60)));
    assert_eq!(now.on_failure.as_deref(), Some(QUEUE));
    let (_, answer) = send(&api, "PUT", PATH, json!({ "MaximumEventAgeInSeconds": 90 })).await;
    assert!(answer.get("MaximumRetryAttempts").is_none());
    assert_eq!(answer["DestinationConfig"], json!({ "OnSuccess": {}, "OnFailure": {} }));
    assert_eq!(send(&api, "DELETE", PATH, Value::Null).await.0, StatusCode::NO_CONTENT);
    for method in ["GET", "DELETE"] {
        let (status, answer) = send(&api, method, PATH, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(answer["Message"], format!("The function {arn} doesn't have an EventInvokeConfig"));
    }
    assert_eq!(effective(&api, &name(None)), Settings::default());
}

#[tokio::test]
async fn each_qualifier_has_its_own() {
    let (api, _directory) = api().await;
    given(&api, "f", 1).await;
    for qualifier in ["1", "live"] {
        let path = format!("{PATH}?Qualifier={qualifier}");
        assert_eq!(send(&api, "PUT", &path, json!({ "MaximumRetryAttempts": 1 })).await.0, StatusCode::OK);
        assert_eq!(effective(&api, &name(Some(qualifier))).retries, 1);
    }
    assert_eq!(effective(&api, &name(None)).retries, 2, "others are not touched");
    let (_, answer) = send(&api, "GET", &format!("{PATH}/list?MaxItems=1"), Value::Null).await;
    let first = &answer["FunctionEventInvokeConfigs"];
    assert_eq!(first[0]["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f:1");
    let marker = answer["NextMarker"].as_str().unwrap();
    let (_, answer) = send(&api, "GET", &format!("{PATH}/list?Marker={marker}"), Value::Null).await;
    let rest = &answer["FunctionEventInvokeConfigs"];
    assert_eq!(rest[0]["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f:live");
    assert!(answer.get("NextMarker").is_none());
}

#[tokio::test]
async fn refusals_in_awss_words() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    for method in ["PUT", "POST"] {
        let (status, answer) = send(&api, method, PATH, json!({})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            answer["message"],
            "You must specify at least one of error handling or destination setting."
        );
        let missing = PATH.replace("/f/", "/g/");
        let (status, answer) = send(&api, method, &missing, json!({ "MaximumRetryAttempts": 1 })).await;
        assert_eq!(
            (status, answer["Message"].as_str()),
            (StatusCode::NOT_FOUND, Some("The function doesn't exist."))
        );
    }
    let wrong = json!({ "MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 59 });
    let (status, answer) = send(&api, "PUT", PATH, wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer["message"],
        "2 validation errors detected: Value '3' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have \
         value less than or equal to 2; Value '59' at 'maximumEventAgeInSeconds' failed to satisfy constraint: Member \
         must have value greater than or equal to 60"
    );
}

#[tokio::test]
async fn a_destination_is_there_with_its_version_or_alias() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    given(&api, "g", 1).await;
    let arn = |name: &str| format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
    let put = async |arn: &str| {
        send(&api, "PUT", PATH, json!({ "DestinationConfig": { "OnSuccess": { "Destination": arn } } })).await
    };
    for name in ["g", "g:$LATEST", "g:1", "g:live"] {
        let (status, answer) = put(&arn(name)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    for name in ["h", "g:2", "g:beta", "g:", "g:1:2"] {
        let arn = arn(name);
        let (status, answer) = put(&arn).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["message"], format!("The destination ARN {arn} is invalid."));
    }
}
