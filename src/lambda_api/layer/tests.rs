use std::{
    io::{Cursor, Write},
    sync::Arc,
};

use axum::http::StatusCode;
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::resolve;
use crate::lambda_api::{
    Api,
    tests::{api, send},
};

const PATH: &str = "/2018-10-31/layers/tools/versions";
const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:layer:tools";

fn content() -> Value {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("python/tools.py", SimpleFileOptions::default()).unwrap();
    writer.write_all(b"pass").unwrap();
    let zip = writer.finish().unwrap().into_inner();
    json!({ "ZipFile": base64_simd::STANDARD.encode_to_string(zip) })
}

async fn publish(api: &Arc<Api>, with: Value) -> Value {
    let mut body = json!({ "Content": content() });
    body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    let (status, answer) = send(api, "POST", PATH, body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer
}

#[tokio::test]
async fn versions_are_numbered_once() {
    let (api, _directory) = api().await;
    let made = publish(&api, json!({ "Description": "d", "LicenseInfo": "MIT" })).await;
    assert_eq!((&made["Version"], &made["LayerArn"]), (&json!(1), &json!(ARN)));
    assert_eq!((&made["Description"], &made["LicenseInfo"]), (&json!("d"), &json!("MIT")));
    let location = made["Content"]["Location"].as_str().unwrap();
    let path = location.strip_prefix("http://localhost").unwrap();
    assert_eq!(send(&api, "GET", path, Value::Null).await.0, StatusCode::OK, "the zip is there");
    assert_eq!(publish(&api, json!({})).await["LayerVersionArn"], format!("{ARN}:2"));
    let (_, shown) = send(&api, "GET", &format!("{PATH}/1"), Value::Null).await;
    assert_eq!(shown["Content"]["CodeSha256"], made["Content"]["CodeSha256"]);
    let by_arn =
        format!("/2018-10-31/layers?find=LayerVersion&Arn={}", format!("{ARN}:1").replace(':', "%3A"));
    let (status, shown) = send(&api, "GET", &by_arn, Value::Null).await;
    assert_eq!((status, &shown["Version"]), (StatusCode::OK, &json!(1)));
    for _ in 0..2 {
        assert_eq!(send(&api, "DELETE", &format!("{PATH}/2"), Value::Null).await.0, StatusCode::NO_CONTENT);
    }
    for path in [format!("{PATH}/2"), by_arn.replace("%3A1", "%3A2")] {
        let (status, answer) = send(&api, "GET", &path, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(answer["Message"], "The resource you requested does not exist.");
    }
    assert_eq!(publish(&api, json!({})).await["Version"], 3, "a number is not given again");
}

#[tokio::test]
async fn listings_are_narrowed_and_paged() {
    let (api, _directory) = api().await;
    publish(&api, json!({ "CompatibleRuntimes": ["python3.13"] })).await;
    publish(&api, json!({ "CompatibleArchitectures": ["arm64"] })).await;
    publish(&api, json!({})).await;
    let numbers = |answer: &Value| -> Vec<i64> {
        answer["LayerVersions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["Version"].as_i64().unwrap())
            .collect()
    };
    let (_, all) = send(&api, "GET", PATH, Value::Null).await;
    assert_eq!(numbers(&all), [3, 2, 1], "the newest comes first");
    assert!(all["LayerVersions"][0].get("Content").is_none());
    let (_, first) = send(&api, "GET", &format!("{PATH}?MaxItems=2"), Value::Null).await;
    assert_eq!(numbers(&first), [3, 2]);
    let marker = first["NextMarker"].as_str().unwrap();
    let (_, second) = send(&api, "GET", &format!("{PATH}?MaxItems=2&Marker={marker}"), Value::Null).await;
    assert_eq!(numbers(&second), [1]);
    let (_, python) = send(&api, "GET", &format!("{PATH}?CompatibleRuntime=python3.13"), Value::Null).await;
    assert_eq!(numbers(&python), [1]);
    let layers = "/2018-10-31/layers";
    let (_, answer) = send(&api, "GET", layers, Value::Null).await;
    assert_eq!(answer["Layers"][0]["LayerName"], "tools");
    assert_eq!(answer["Layers"][0]["LatestMatchingVersion"]["Version"], 3);
    let (_, answer) = send(&api, "GET", &format!("{layers}?CompatibleArchitecture=arm64"), Value::Null).await;
    assert_eq!(answer["Layers"][0]["LatestMatchingVersion"]["Version"], 2);
    let (_, answer) = send(&api, "GET", &format!("{layers}?CompatibleRuntime=java21"), Value::Null).await;
    assert_eq!(answer, json!({ "Layers": [] }));
    let wrong = format!("{layers}?CompatibleRuntime=basic&CompatibleArchitecture=vax");
    let (status, answer) = send(&api, "GET", &wrong, Value::Null).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["message"].as_str().unwrap().starts_with(
        "2 validation errors detected: Value 'vax' at 'compatibleArchitecture' failed to satisfy constraint: Member must \
         satisfy enum value set: [x86_64, arm64]; Value 'basic' at 'compatibleRuntime' failed to satisfy constraint: \
         Member must satisfy enum value set: [ruby3.5, "
    ));
}

#[tokio::test]
async fn refusals_in_awss_words() {
    let (api, _directory) = api().await;
    for number in ["0", "-1"] {
        for method in ["GET", "DELETE"] {
            let (status, answer) = send(&api, method, &format!("{PATH}/{number}"), Value::Null).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert_eq!(answer["message"], "Layer Version Cannot be less than 1");
        }
    }
    let (status, answer) =
        send(&api, "GET", &format!("/2018-10-31/layers?find=LayerVersion&Arn={ARN}"), Value::Null).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["message"].as_str().unwrap().starts_with(&format!(
        "1 validation error detected: Value '{ARN}' at 'arn' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: (arn:"
    )));
    let stored =
        json!({ "Content": { "S3Bucket": "bucket", "S3Key": "key", "S3ObjectStorageMode": "MOVE" } });
    let (status, answer) = send(&api, "POST", PATH, stored).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer["message"],
        "1 validation error detected: Value 'MOVE' at 'content.s3ObjectStorageMode' failed to satisfy constraint: Member \
         must satisfy enum value set: [COPY, REFERENCE]"
    );
    let wrong = json!({
        "Content": content(),
        "CompatibleRuntimes": ["python3.13", "cobol"],
        "CompatibleArchitectures": ["vax"],
    });
    let (status, answer) = send(&api, "POST", PATH, wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let said = answer["message"].as_str().unwrap();
    assert!(
        said.starts_with("2 validation errors detected: Value '[python3.13, cobol]' at 'compatibleRuntimes'")
    );
    assert!(said.ends_with(
        "Value '[vax]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: [Member \
         must satisfy enum value set: [x86_64, arm64]]"
    ));
    let foreign =
        "/2018-10-31/layers/arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Alayer%3Atools/versions/1";
    assert_eq!(send(&api, "GET", foreign, Value::Null).await.0, StatusCode::FORBIDDEN);
    let (status, _) = send(&api, "POST", PATH, json!({ "Content": { "ZipFile": "AAAA" } })).await;
    assert_ne!(status, StatusCode::CREATED, "that is no zip");
    assert!(api.layers.is_empty());
}

#[tokio::test]
async fn a_version_has_a_policy() {
    let (api, _directory) = api().await;
    publish(&api, json!({})).await;
    let path = format!("{PATH}/1/policy");
    let grant = |sid: &str, principal: &str| json!({ "StatementId": sid, "Action": "lambda:GetLayerVersion", "Principal": principal });
    let (status, answer) = send(&api, "GET", &path, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["Message"], "No policy is associated with the given resource.");
    let (status, first) = send(&api, "POST", &path, grant("s1", "*")).await;
    assert_eq!(status, StatusCode::CREATED);
    let expected = format!(
        r#"{{"Sid":"s1","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"{ARN}:1"}}"#
    );
    assert_eq!(first["Statement"], expected);
    let (status, answer) = send(&api, "POST", &path, grant("s1", "*")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        answer["message"].as_str().unwrap().starts_with("The statement id (s1) provided already exists.")
    );
    let (status, answer) =
        send(&api, "POST", &format!("{path}?RevisionId=old"), grant("s2", "111122223333")).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(
        answer["message"],
        "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the \
         latest Revision Id"
    );
    let known = format!("{path}?RevisionId={}", first["RevisionId"].as_str().unwrap());
    let (status, second) = send(&api, "POST", &known, grant("s2", "111122223333")).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(second["Statement"].as_str().unwrap().contains(r#"{"AWS":"arn:aws:iam::111122223333:root"}"#));
    let (_, shown) = send(&api, "GET", &path, Value::Null).await;
    assert_eq!(shown["RevisionId"], second["RevisionId"]);
    let policy: Value = serde_json::from_str(shown["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);
    for sid in ["s1", "s2"] {
        assert_eq!(
            send(&api, "DELETE", &format!("{path}/{sid}"), Value::Null).await.0,
            StatusCode::NO_CONTENT
        );
    }
    assert_eq!(send(&api, "GET", &path, Value::Null).await.0, StatusCode::NOT_FOUND);
    let missing = path.replace("/1/", "/7/");
    let (status, answer) = send(&api, "POST", &missing, grant("s", "*")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["Message"], format!("Layer version {ARN}:7 does not exist."));
    let mut wrong = grant("s", "*");
    wrong["Action"] = json!("lambda:ListLayers");
    let (_, answer) = send(&api, "POST", &path, wrong).await;
    assert_eq!(
        answer["message"],
        "1 validation error detected: Value 'lambda:ListLayers' at 'action' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: lambda:GetLayerVersion"
    );
}

#[tokio::test]
async fn functions_name_layers() {
    let (api, _directory) = api().await;
    for _ in 0..2 {
        publish(&api, json!({})).await;
    }
    let refusal = |arns: &[&str]| {
        let arns: Vec<_> = arns.iter().map(|arn| (*arn).to_owned()).collect();
        resolve(&api, &arns).unwrap_err().message().to_owned()
    };
    let (one, two, three) = (format!("{ARN}:1"), format!("{ARN}:2"), format!("{ARN}:3"));
    let found = resolve(&api, std::slice::from_ref(&two)).unwrap();
    assert_eq!((found[0].arn.as_str(), found[0].code.size > 0), (two.as_str(), true));
    assert_eq!(refusal(&[&three]), format!("Layer version {three} does not exist."));
    assert_eq!(
        refusal(&[&one, &two]),
        format!(
            "Two different versions of the same layer are not allowed to be referenced in the same function. {one} and \
             {two} are versions of the same layer."
        )
    );
    assert_eq!(refusal(&[one.as_str(); 6]), "Cannot reference more than 5 layers.");
    assert_eq!(
        refusal(&[&one.replace("us-east-1", "us-east-2")]),
        "Layers are not in the same region as the function. Layers are expected to be in region us-east-1."
    );
    assert!(
        refusal(&[&one.replace("000000000000", "111122223333")]).contains("is not authorized to perform")
    );
}
