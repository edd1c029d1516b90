//! From creation to deletion.

use super::*;
use crate::lambda_api::{Settings, code};

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_creation_answers_everything_aws_answers() {
    let (api, _directory) = api().await;
    let answer = create(&api, "f", json!({ "Environment": { "Variables": {} } })).await;
    let sha = answer["CodeSha256"].as_str().unwrap().to_owned();
    assert_eq!(base64_simd::STANDARD.decode_to_vec(&sha).unwrap().len(), 32);
    let mut expected = json!({
        "Architectures": ["x86_64"],
        "CodeSha256": sha,
        "CodeSize": answer["CodeSize"],
        "Description": "",
        "Environment": { "Variables": {} },
        "EphemeralStorage": { "Size": 512 },
        "FunctionArn": format!("{ARN}:f"),
        "FunctionName": "f",
        "Handler": "app.handler",
        "LastModified": answer["LastModified"],
        "LoggingConfig": { "LogFormat": "Text", "LogGroup": "/aws/lambda/f" },
        "MemorySize": 128,
        "PackageType": "Zip",
        "RevisionId": answer["RevisionId"],
        "Role": "arn:aws:iam::000000000000:role/r",
        "Runtime": "python3.12",
        "RuntimeVersionConfig": answer["RuntimeVersionConfig"],
        "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
        "Timeout": 3,
        "TracingConfig": { "Mode": "PassThrough" },
        "Version": "$LATEST",
    });
    assert_eq!(answer, expected);
    assert!(answer["LastModified"].as_str().unwrap().ends_with("+0000"));
    settle(&api).await;
    let shown = get(&api, &format!("{FUNCTIONS}/f/configuration")).await;
    assert_ne!(shown["RevisionId"], answer["RevisionId"], "becoming active is a revision of its own");
    for member in ["StateReason", "StateReasonCode"] {
        expected.as_object_mut().unwrap().remove(member);
    }
    expected["State"] = json!("Active");
    expected["LastUpdateStatus"] = json!("Successful");
    expected["RevisionId"] = shown["RevisionId"].clone();
    assert_eq!(shown, expected);
    let listed = &get(&api, FUNCTIONS).await["Functions"][0];
    for member in ["State", "LastUpdateStatus", "RuntimeVersionConfig"] {
        expected.as_object_mut().unwrap().remove(member);
    }
    assert_eq!(*listed, expected);
}

#[tokio::test]
async fn everything_that_can_be_said_is_shown() {
    let (api, _directory) = api().await;
    let said = json!({
        "Architectures": ["arm64"],
        "DeadLetterConfig": { "TargetArn": "arn:aws:sqs:us-east-1:000000000000:dlq" },
        "Description": "d",
        "Environment": { "Variables": { "NAME": "value" } },
        "EphemeralStorage": { "Size": 1024 },
        "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
        "LoggingConfig": { "LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN", "LogGroup": "g" },
        "MemorySize": 256,
        "Runtime": "java21",
        "Timeout": 30,
        "TracingConfig": { "Mode": "Active" },
    });
    let answer = create(&api, "f", said.clone()).await;
    for (member, value) in said.as_object().unwrap() {
        assert_eq!(answer[member], *value, "{member}");
    }
    settle(&api).await;
    let path = format!("{FUNCTIONS}/f/configuration");
    let vpc = json!({ "SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"] });
    let change = json!({
        "DeadLetterConfig": { "TargetArn": "" },
        "Environment": { "Variables": {} },
        "EphemeralStorage": { "Size": 512 },
        "KMSKeyArn": "",
        "LoggingConfig": { "LogFormat": "Text" },
        "SnapStart": { "ApplyOn": "PublishedVersions" },
        "VpcConfig": vpc,
    });
    let answer = done(&api, "PUT", &path, change).await;
    assert!(!members(&answer).contains(&"DeadLetterConfig") && !members(&answer).contains(&"KMSKeyArn"));
    assert_eq!(answer["LoggingConfig"], json!({ "LogFormat": "Text", "LogGroup": "g" }));
    assert_eq!(answer["SnapStart"], json!({ "ApplyOn": "PublishedVersions", "OptimizationStatus": "Off" }));
    assert_eq!(answer["VpcConfig"]["SubnetIds"], vpc["SubnetIds"]);
    assert_eq!(answer["VpcConfig"]["VpcId"].as_str().unwrap().len(), 21);
    assert_eq!(answer["Timeout"], 30, "what was not said stays");
    assert_eq!(answer["LastUpdateStatus"], "InProgress");
    assert_eq!(answer["LastUpdateStatusReasonCode"], "Creating");
}

#[tokio::test]
async fn an_image_is_kept_by_its_name() {
    let (api, _directory) = api().await;
    let uri = "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:1";
    let mut request = json!({
        "FunctionName": "f",
        "Role": "arn:aws:iam::000000000000:role/r",
        "PackageType": "Image",
        "Code": { "ImageUri": uri },
        "ImageConfig": { "Command": ["app.handler"] },
    });
    let answer = done(&api, "POST", FUNCTIONS, request.clone()).await;
    assert_eq!(answer["ImageConfigResponse"], json!({ "ImageConfig": { "Command": ["app.handler"] } }));
    assert_eq!((&answer["CodeSize"], &answer["PackageType"]), (&json!(0), &json!("Image")));
    for absent in ["Runtime", "Handler", "RuntimeVersionConfig"] {
        assert!(!members(&answer).contains(&absent), "{absent}");
    }
    let code = &get(&api, &format!("{FUNCTIONS}/f")).await["Code"];
    assert_eq!((&code["RepositoryType"], &code["ImageUri"]), (&json!("ECR"), &json!(uri)));
    let resolved = code["ResolvedImageUri"].as_str().unwrap();
    assert!(resolved.starts_with("000000000000.dkr.ecr.us-east-1.amazonaws.com/app@sha256:"), "{resolved}");
    request["FunctionName"] = json!("g");
    request["Handler"] = json!("x");
    let not_for_images =
        "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image.";
    assert_eq!(refused(&api, "POST", FUNCTIONS, request).await.1, not_for_images);
    settle(&api).await;
    let path = format!("{FUNCTIONS}/f/configuration");
    for change in [json!({ "Handler": "x" }), json!({ "Runtime": "python3.12" })] {
        assert_eq!(refused(&api, "PUT", &path, change).await, (400, not_for_images.to_owned()));
    }
    done(&api, "PUT", &path, json!({ "Timeout": 5 })).await;
}

#[tokio::test]
async fn the_code_can_be_had_back_for_a_while() {
    let (api, _directory) = active("f").await;
    let location =
        get(&api, &format!("{FUNCTIONS}/f")).await["Code"]["Location"].as_str().unwrap().to_owned();
    let path = location.strip_prefix("http://localhost").unwrap();
    assert!(path.starts_with(code::PATH));
    let (status, _) = send(&api, "GET", path, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let guessed = path.replace("Signature=", "Signature=0");
    let (status, _) = send(&api, "GET", &guessed, Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn code_that_nothing_names_is_thrown_away() {
    let (api, _directory) = active("f").await;
    let files = || std::fs::read_dir(api.code.directory()).unwrap().count();
    assert_eq!(files(), 1);
    let path = format!("{FUNCTIONS}/f/code");
    let dry = done(&api, "PUT", &path, json!({ "ZipFile": zip("2"), "DryRun": true })).await;
    let shown = get(&api, &format!("{FUNCTIONS}/f/configuration")).await;
    assert_ne!(dry["CodeSha256"], shown["CodeSha256"], "told, not done");
    for stands in ["RevisionId", "LastModified", "LastUpdateStatus", "Version", "FunctionArn"] {
        assert_eq!(dry[stands], shown[stands], "{stands}");
    }
    let answer = done(&api, "PUT", &path, json!({ "ZipFile": zip("2"), "Architectures": ["arm64"] })).await;
    assert_eq!(
        (&answer["LastUpdateStatus"], &answer["Architectures"][0]),
        (&json!("InProgress"), &json!("arm64"))
    );
    api.sweep().await;
    assert_eq!(files(), 1);
    settle(&api).await;
    done(&api, "DELETE", &format!("{FUNCTIONS}/f"), Value::Null).await;
    api.sweep().await;
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let (api, directory) = active("f").await;
    done(&api, "POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await;
    done(&api, "POST", &format!("{FUNCTIONS}/f/aliases"), json!({ "Name": "live", "FunctionVersion": "1" }))
        .await;
    let paths = ["/f/configuration", "/f/configuration?Qualifier=1", "/f/aliases/live", "/f/versions"];
    let mut before = Vec::new();
    for path in paths {
        before.push(get(&api, &format!("{FUNCTIONS}{path}")).await);
    }
    let settings: Settings = api.settings.clone();
    drop(api);
    let api = Api::open(Settings { directory: directory.path().to_owned(), ..settings }, None).await.unwrap();
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(get(&api, &format!("{FUNCTIONS}{path}")).await, before, "{path}");
    }
    let answer = create(&api, "g", json!({})).await;
    assert_eq!(answer["Version"], "$LATEST");
}

#[tokio::test]
async fn a_thousand_are_listed_page_by_page() {
    let (api, _directory) = active("f000").await;
    let (function, version) =
        (api.functions.get("f000").unwrap(), api.versions.get("f000:0000000000").unwrap());
    let mut change = api.change().await;
    for number in 1..1000 {
        let name = format!("f{number:03}");
        let mut version = super::super::Version::clone(&version);
        version.function.clone_from(&name);
        change.put(&api.versions, super::super::version_key(&name, 0), version);
        let function =
            super::super::Function { name: name.clone(), ..super::super::Function::clone(&function) };
        change.put(&api.functions, name, function);
    }
    change.commit().await.unwrap();
    let mut names = Vec::new();
    let mut path = FUNCTIONS.to_owned();
    let begun = tokio::time::Instant::now();
    loop {
        let page = get(&api, &path).await;
        let page_names = page["Functions"].as_array().unwrap().iter();
        names.extend(page_names.map(|function| function["FunctionName"].as_str().unwrap().to_owned()));
        let Some(next) = page["NextMarker"].as_str() else { break };
        path = format!("{FUNCTIONS}?Marker={next}");
    }
    let pages = begun.elapsed() / 20;
    assert!(pages < Duration::from_millis(100), "{pages:?} a page");
    assert_eq!(names.len(), 1000);
    assert!(names.is_sorted());
}
