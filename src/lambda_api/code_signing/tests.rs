use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::lambda_api::tests::{api, given, send};

const PATH: &str = "/2020-04-22/code-signing-configs";
const FUNCTION: &str = "/2020-06-30/functions/f/code-signing-config";

fn wanted() -> Value {
    let profile = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/1";
    json!({ "AllowedPublishers": { "SigningProfileVersionArns": [profile] } })
}

#[tokio::test]
async fn a_configuration_lives_and_is_used() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    let (status, made) = send(&api, "POST", PATH, wanted()).await;
    assert_eq!(status, StatusCode::CREATED);
    let config = &made["CodeSigningConfig"];
    let arn = config["CodeSigningConfigArn"].as_str().unwrap();
    assert!(arn.ends_with(config["CodeSigningConfigId"].as_str().unwrap()));
    assert_eq!(config["CodeSigningPolicies"], json!({ "UntrustedArtifactOnDeployment": "Warn" }));
    assert!(config.get("Description").is_none());
    let one = format!("{PATH}/{}", arn.replace(':', "%3A"));
    let (status, shown) = send(&api, "GET", &one, Value::Null).await;
    assert_eq!((status, &shown), (StatusCode::OK, &made));
    let update =
        json!({ "Description": "d", "CodeSigningPolicies": { "UntrustedArtifactOnDeployment": "Enforce" } });
    let (_, updated) = send(&api, "PUT", &one, update).await;
    assert_eq!(updated["CodeSigningConfig"]["Description"], "d");
    assert_eq!(updated["CodeSigningConfig"]["AllowedPublishers"], config["AllowedPublishers"]);

    assert_eq!(send(&api, "GET", FUNCTION, Value::Null).await, (StatusCode::OK, json!({})));
    let use_it = json!({ "CodeSigningConfigArn": arn });
    let used = json!({ "CodeSigningConfigArn": arn, "FunctionName": "f" });
    assert_eq!(send(&api, "PUT", FUNCTION, use_it.clone()).await, (StatusCode::OK, used.clone()));
    assert_eq!(send(&api, "GET", FUNCTION, Value::Null).await, (StatusCode::OK, used));
    let (_, users) = send(&api, "GET", &format!("{one}/functions"), Value::Null).await;
    assert_eq!(users, json!({ "FunctionArns": ["arn:aws:lambda:us-east-1:000000000000:function:f"] }));
    assert_eq!(send(&api, "DELETE", &one, Value::Null).await.0, StatusCode::CONFLICT);
    assert_eq!(send(&api, "DELETE", FUNCTION, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(&api, "DELETE", &one, Value::Null).await.0, StatusCode::NO_CONTENT);

    let (status, gone) = send(&api, "GET", &one, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let said = format!("The Lambda code signing configuration {arn} can not be found.");
    assert_eq!(gone, json!({ "Message": said }));
    let (status, gone) = send(&api, "PUT", FUNCTION, use_it).await;
    assert_eq!((status, &gone["Type"]), (StatusCode::NOT_FOUND, &json!("User")));
}

#[tokio::test]
async fn a_configuration_has_tags() {
    let (api, _directory) = api().await;
    let mut tagged = wanted();
    tagged["Tags"] = json!({ "a": "1" });
    let (_, made) = send(&api, "POST", PATH, tagged).await;
    let arn = made["CodeSigningConfig"]["CodeSigningConfigArn"].as_str().unwrap();
    let tags = format!("/2017-03-31/tags/{}", arn.replace(':', "%3A"));
    assert_eq!(send(&api, "POST", &tags, json!({ "Tags": { "b": "2" } })).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        send(&api, "DELETE", &format!("{tags}?tagKeys=a"), Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(send(&api, "GET", &tags, Value::Null).await.1, json!({ "Tags": { "b": "2" } }));
}

#[tokio::test]
async fn circles_and_runtimes_are_recorded() {
    let (api, _directory) = api().await;
    given(&api, "f", 1).await;
    let path = "/2024-08-31/functions/f/recursion-config";
    let said = |value: &str| json!({ "RecursiveLoop": value });
    assert_eq!(send(&api, "GET", path, Value::Null).await.1, said("Terminate"));
    assert_eq!(send(&api, "PUT", path, said("Allow")).await.1, said("Allow"));
    assert_eq!(send(&api, "GET", path, Value::Null).await.1, said("Allow"));
    let (status, answer) = send(&api, "PUT", path, said("Never")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["message"].as_str().unwrap().ends_with("enum value set: [Terminate, Allow]"));

    let path = "/2021-07-20/functions/f/runtime-management-config";
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let (_, answer) = send(&api, "GET", path, Value::Null).await;
    assert_eq!(answer, json!({ "FunctionArn": arn, "UpdateRuntimeOn": "Auto" }));
    let runtime = "arn:aws:lambda:us-east-1::runtime:0123456789";
    let manual = json!({ "UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime });
    let of_one = format!("{path}?Qualifier=1");
    assert_eq!(send(&api, "PUT", &of_one, manual).await.0, StatusCode::OK);
    let (_, answer) = send(&api, "GET", &of_one, Value::Null).await;
    let expected = json!({ "FunctionArn": format!("{arn}:1"), "UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime });
    assert_eq!(answer, expected);
    assert_eq!(
        send(&api, "PUT", path, json!({ "UpdateRuntimeOn": "Manual" })).await.0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_function_is_created_with_one() {
    let (api, _directory) = api().await;
    let (_, made) = send(&api, "POST", PATH, wanted()).await;
    let arn = &made["CodeSigningConfig"]["CodeSigningConfigArn"];
    let mut function = json!({
        "FunctionName": "f",
        "PackageType": "Image",
        "Code": { "ImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/f:1" },
        "Role": "arn:aws:iam::000000000000:role/r",
        "CodeSigningConfigArn": arn,
    });
    let path = "/2015-03-31/functions";
    let (status, answer) = send(&api, "POST", path, function.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(send(&api, "GET", FUNCTION, Value::Null).await.1["CodeSigningConfigArn"], *arn);
    function["FunctionName"] = json!("g");
    function["CodeSigningConfigArn"] =
        json!("arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-00000000000000000");
    assert_eq!(send(&api, "POST", path, function).await.0, StatusCode::NOT_FOUND);
    assert!(api.functions.get("g").is_none(), "nothing half-made");
}
