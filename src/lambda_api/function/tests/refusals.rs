//! What is refused, in AWS's words.

use super::*;

const POINT: &str = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0";
const IMAGE_CONFIG: &str = "Please don't provide ImageConfig when the intended function PackageType is Zip.";

#[tokio::test]
async fn a_network_stays_while_a_file_system_needs_it() {
    let (api, _directory) = active("f").await;
    let path = format!("{FUNCTIONS}/f/configuration");
    let vpc = json!({ "SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"] });
    let mount = json!([{ "Arn": POINT, "LocalMountPath": "/mnt/a" }]);
    done(&api, "PUT", &path, json!({ "VpcConfig": vpc, "FileSystemConfigs": mount })).await;
    settle(&api).await;
    let none = json!({ "SubnetIds": [], "SecurityGroupIds": [] });
    assert_eq!(
        refused(&api, "PUT", &path, json!({ "VpcConfig": none })).await,
        (400, format!("Function VPC configuration cannot be removed with access point {POINT} referenced."))
    );
    let bare = done(&api, "PUT", &path, json!({ "VpcConfig": none, "FileSystemConfigs": [] })).await;
    assert_eq!(bare["VpcConfig"]["VpcId"], "");
}

/// What a change says is looked at with what stays.
#[tokio::test]
async fn changes() {
    let (api, _directory) = active("f").await;
    let path = format!("{FUNCTIONS}/f/configuration");
    let image = json!({ "ImageConfig": { "EntryPoint": ["a"] } });
    assert_eq!(refused(&api, "PUT", &path, image).await, (400, IMAGE_CONFIG.to_owned()));
    let changed = done(&api, "PUT", &path, json!({ "EphemeralStorage": { "Size": 513 }, "ImageConfig": {} }));
    assert!(changed.await.get("ImageConfigResponse").is_none());
    settle(&api).await;
    let (status, said) =
        refused(&api, "PUT", &path, json!({ "SnapStart": { "ApplyOn": "PublishedVersions" } })).await;
    assert!(status == 400 && said.starts_with("EphemeralStorage greater than 512 MB"), "{said}");
}

#[tokio::test]
async fn creations() {
    let (api, _directory) = active("f").await;
    let long = "x".repeat(65);
    let pattern = "Member must satisfy regular expression pattern:";
    for (other, status, expected) in [
        (json!({}), 409, "Function already exist: f".to_owned()),
        (
            json!({ "FunctionName": "g", "Role": "r1" }),
            400,
            format!(
                "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: {pattern} \
                 arn:(aws[a-zA-Z-]*)?:iam::\\d{{12}}:role/?[a-zA-Z_0-9+=,.@\\-_/]+"
            ),
        ),
        (
            json!({ "FunctionName": long }),
            400,
            format!(
                "1 validation error detected: Value '{long}' at 'functionName' failed to satisfy constraint: Member must \
                 have length less than or equal to 64"
            ),
        ),
        (
            json!({ "FunctionName": "g", "Architectures": ["x86_64", "arm64"] }),
            400,
            "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member \
             must have length less than or equal to 1"
                .to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "Architectures": ["X86_64"] }),
            400,
            "1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must \
             satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
                .to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "Timeout": 901, "MemorySize": 64 }),
            400,
            "2 validation errors detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value \
             less than or equal to 900; Value '64' at 'memorySize' failed to satisfy constraint: Member must have value \
             greater than or equal to 128"
                .to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "Code": { "ZipFile": base64_simd::STANDARD.encode_to_string("no zip") } }),
            400,
            "Could not unzip uploaded file. Please check your file, then try to upload again.".to_owned(),
        ),
        (json!({ "FunctionName": "g", "Code": {} }), 400, "Please provide a source for function code.".to_owned()),
        (
            json!({ "FunctionName": "g", "Code": { "S3Bucket": "bucket", "S3Key": "key" } }),
            400,
            "Error occurred while GetObject. S3 Error Code: NotImplemented. S3 Error Message: this klr was built without \
             S3: give the code as ZipFile"
                .to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "Handler": null }),
            400,
            "Runtime and Handler are mandatory parameters for functions created with deployment packages.".to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "Runtime": "nodejs22.x", "SnapStart": { "ApplyOn": "PublishedVersions" } }),
            400,
            "nodejs22.x is not supported for SnapStart enabled functions.".to_owned(),
        ),
        (
            json!({
                "FunctionName": "g", "SnapStart": { "ApplyOn": "PublishedVersions" }, "EphemeralStorage": { "Size": 513 },
            }),
            400,
            "EphemeralStorage greater than 512 MB is not supported for SnapStart enabled functions.".to_owned(),
        ),
        (json!({ "FunctionName": "g", "ImageConfig": { "Command": ["a"] } }), 400, IMAGE_CONFIG.to_owned()),
        (json!({ "FunctionName": "g", "Tags": { "a": "b", "aws:a": "b" } }), 400, RESERVED.to_owned()),
        (
            json!({ "FunctionName": "g", "SnapStart": { "ApplyOn": "invalidOption" } }),
            400,
            "1 validation error detected: Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: Member \
             must satisfy enum value set: [PublishedVersions, None]"
                .to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "EphemeralStorage": { "Size": 500 } }),
            400,
            "1 validation error detected: Value '500' at 'ephemeralStorage.size' failed to satisfy constraint: Member must \
             have value greater than or equal to 512"
                .to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:none:1"] }),
            400,
            "Layer version arn:aws:lambda:us-east-1:000000000000:layer:none:1 does not exist.".to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "Code": { "S3Bucket": "bucket", "S3Key": "" } }),
            400,
            "1 validation error detected: Value '' at 'code.s3Key' failed to satisfy constraint: Member must have length \
             greater than or equal to 1"
                .to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "VpcConfig": { "SubnetIds": ["subnet-1"], "SecurityGroupIds": [] } }),
            400,
            "SubnetIds and SecurityIds must coexist or be both empty list.".to_owned(),
        ),
        (
            json!({ "FunctionName": "g", "FileSystemConfigs": [{ "Arn": POINT, "LocalMountPath": "/mnt/a" }] }),
            400,
            format!("Function must be configured to execute in a VPC to reference access point {POINT}."),
        ),
    ] {
        assert_eq!(refused(&api, "POST", FUNCTIONS, request("f", other)).await, (status, expected));
    }
    assert_eq!(api.functions.len(), 1, "nothing half-made");
    assert_eq!(std::fs::read_dir(api.code.directory()).unwrap().count(), 1);
}

/// All that the model alone says is wrong, before anything is looked at.
#[tokio::test]
async fn what_the_front_door_says_first() {
    let (api, _directory) = active("f").await;
    let signed =
        json!({ "FunctionName": "g", "Runtime": null, "Layers": ["x"], "CodeSigningConfigArn": "y" });
    let (status, said) = refused(&api, "POST", FUNCTIONS, request("g", signed)).await;
    assert_eq!(status, 400);
    assert!(said.starts_with("2 validation errors detected: Value '[x]' at 'layers' failed"), "{said}");
    assert!(said.contains("; Value 'y' at 'codeSigningConfigArn' failed"), "{said}");
    for name in ["f", "missing"] {
        let path = format!("{FUNCTIONS}/{name}/configuration");
        let (status, said) = refused(&api, "PUT", &path, json!({ "Layers": ["x"], "Timeout": 0 })).await;
        assert_eq!(status, 400);
        let timeout = "2 validation errors detected: Value '0' at 'timeout' failed";
        assert!(said.starts_with(timeout) && said.contains("; Value '[x]' at 'layers' failed"), "{said}");
    }
}

/// What is asked of one version must not reach all of them.
#[tokio::test]
async fn a_qualifier_that_is_empty_is_none_of_the_functions() {
    let (api, _directory) = active("f").await;
    let empty = "1 validation error detected: Value '' at 'qualifier' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1";
    for method in ["DELETE", "GET"] {
        let path = format!("{FUNCTIONS}/f?Qualifier=");
        assert_eq!(refused(&api, method, &path, Value::Null).await, (400, empty.to_owned()));
    }
    get(&api, &format!("{FUNCTIONS}/f")).await;
}

#[tokio::test]
async fn what_is_not_an_image_of_ecrs() {
    let (api, _directory) = api().await;
    let image = |uri: &str| {
        json!({
            "FunctionName": "f",
            "Role": "arn:aws:iam::000000000000:role/r",
            "PackageType": "Image",
            "Code": { "ImageUri": uri },
        })
    };
    let not = |uri: &str| (400, format!("Source image {uri} is not valid. Provide a valid source image."));
    let registry = "000000000000.dkr.ecr.us-east-1.amazonaws.com";
    for uri in ["foo", "docker.io/library/app:1", registry, &format!("{registry}/app:")] {
        assert_eq!(refused(&api, "POST", FUNCTIONS, image(uri)).await, not(uri));
    }
    let digest = "0".repeat(64);
    done(&api, "POST", FUNCTIONS, image(&format!("{registry}.cn/team/app@sha256:{digest}"))).await;
    settle(&api).await;
    let path = format!("{FUNCTIONS}/f/code");
    assert_eq!(refused(&api, "PUT", &path, json!({ "ImageUri": "foo" })).await, not("foo"));
    done(&api, "PUT", &path, json!({ "ImageUri": format!("{registry}/app:1") })).await;
    settle(&api).await;
    done(&api, "PUT", &path, json!({ "ImageUri": "000000000000.dkr.ecr.us-east-1.local.test:4566/app" }))
        .await;
}

#[tokio::test]
async fn what_is_not_there() {
    let (api, _directory) = active("f").await;
    let missing = |arn: &str| (404, format!("Function not found: {ARN}:{arn}"));
    for (method, path, body) in [
        ("GET", "/g", Value::Null),
        ("GET", "/g/configuration", Value::Null),
        ("PUT", "/g/configuration", json!({})),
        ("PUT", "/g/code", json!({ "ZipFile": zip("x") })),
        ("DELETE", "/g", Value::Null),
        ("GET", "/g/versions", Value::Null),
        ("POST", "/g/versions", json!({})),
        ("GET", "/g/aliases", Value::Null),
        ("GET", "/g/aliases/live", Value::Null),
    ] {
        assert_eq!(
            refused(&api, method, &format!("{FUNCTIONS}{path}"), body).await,
            missing("g"),
            "{method} {path}"
        );
    }
    for qualifier in ["7", "live", "$LATES"] {
        let path = format!("{FUNCTIONS}/f?Qualifier={qualifier}");
        assert_eq!(refused(&api, "GET", &path, Value::Null).await, missing(&format!("f:{qualifier}")));
    }
    // Percent-encoded, as SDKs send ARNs.
    let arn = format!("{ARN}:f").replace(':', "%3A");
    assert_eq!(get(&api, &format!("{FUNCTIONS}/{arn}")).await["Configuration"]["FunctionName"], "f");
    let elsewhere = arn.replace("us-east-1", "us-west-2");
    assert_eq!(
        refused(&api, "GET", &format!("{FUNCTIONS}/{elsewhere}"), Value::Null).await,
        (404, "Functions from 'us-west-2' are not reachable in this region ('us-east-1')".to_owned())
    );
}

#[tokio::test]
async fn dead_letters_go_to_standard_queues_and_topics_alone() {
    let (api, _directory) = active("f").await;
    let path = format!("{FUNCTIONS}/f/configuration");
    let config = |arn: &str| json!({ "DeadLetterConfig": { "TargetArn": arn } });
    for wrong in [
        "arn:aws:sqs:us-east-1:000000000000:q.fifo",
        "arn:aws:sns:us-east-1:000000000000:t.fifo",
        "arn:aws:events:us-east-1:000000000000:event-bus/default",
        "arn:aws:s3:::bucket",
    ] {
        let words = format!(
            "The dead letter target {wrong} is invalid: expected the ARN of a standard SQS queue or a standard SNS topic."
        );
        let expected = (400, words);
        assert_eq!(refused(&api, "PUT", &path, config(wrong)).await, expected);
        assert_eq!(refused(&api, "POST", FUNCTIONS, request("g", config(wrong))).await, expected);
    }
    for fine in ["arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:sns:us-east-1:000000000000:t", ""] {
        done(&api, "PUT", &path, config(fine)).await;
        settle(&api).await;
    }
}

#[tokio::test]
async fn code_and_layers_that_are_too_large_together() {
    let (api, _directory) = active("f").await;
    let layer = json!({ "Content": { "ZipFile": zip("x") } });
    let made = done(&api, "POST", "/2018-10-31/layers/large/versions", layer).await;
    let (key, version) = api.layer_versions.find(|_| true).unwrap();
    // Nothing is as slow to unpack as zeros.
    let mut version = version.as_ref().clone();
    version.code.unpacked = 262_144_000;
    let mut change = api.change().await;
    change.put(&api.layer_versions, key, version);
    change.commit().await.unwrap();
    let layers = json!({ "Layers": [made["LayerVersionArn"]] });
    let words = "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual size is";
    let code = "def handler(event, context): return event".len();
    let expected = (400, format!("{words} {} bytes.", 262_144_000 + code));
    assert_eq!(refused(&api, "POST", FUNCTIONS, request("g", layers.clone())).await, expected);
    let path = format!("{FUNCTIONS}/f/configuration");
    assert_eq!(refused(&api, "PUT", &path, layers.clone()).await, expected);
    let (key, version) = api.layer_versions.find(|_| true).unwrap();
    let mut version = version.as_ref().clone();
    version.code.unpacked -= code as u64;
    let mut change = api.change().await;
    change.put(&api.layer_versions, key, version);
    change.commit().await.unwrap();
    done(&api, "PUT", &path, layers).await;
    settle(&api).await;
    let longer = json!({ "ZipFile": zip(&"x".repeat(code + 1)) });
    let expected = (400, format!("{words} 262144001 bytes."));
    assert_eq!(refused(&api, "PUT", &format!("{FUNCTIONS}/f/code"), longer).await, expected);
}

#[tokio::test]
async fn two_changes_at_once() {
    let (api, _directory) = api().await;
    create(&api, "f", json!({})).await;
    let path = format!("{FUNCTIONS}/f/configuration");
    assert_eq!(
        refused(&api, "PUT", &path, json!({ "Timeout": 5 })).await,
        (
            409,
            "The operation cannot be performed at this time. The function is currently in the following state: Pending"
                .to_owned()
        )
    );
    settle(&api).await;
    done(&api, "PUT", &path, json!({ "Timeout": 5 })).await;
    let busy = (
        409,
        format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {ARN}:f"
        ),
    );
    assert_eq!(refused(&api, "PUT", &path, json!({ "Timeout": 6 })).await, busy);
    let code = json!({ "ZipFile": zip("x") });
    assert_eq!(refused(&api, "PUT", &format!("{FUNCTIONS}/f/code"), code).await, busy);
    assert_eq!(refused(&api, "POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await, busy);
    settle(&api).await;
    done(&api, "PUT", &path, json!({ "Timeout": 6 })).await;
}

#[tokio::test]
async fn a_change_by_who_has_seen_another_revision() {
    let (api, _directory) = active("f").await;
    let stale = (
        412,
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the \
         latest Revision Id"
            .to_owned(),
    );
    let seen = get(&api, &format!("{FUNCTIONS}/f/configuration")).await["RevisionId"].clone();
    for (method, path) in [("PUT", "configuration"), ("PUT", "code"), ("POST", "versions")] {
        let body = json!({ "RevisionId": "other", "ZipFile": zip("x") });
        assert_eq!(refused(&api, method, &format!("{FUNCTIONS}/f/{path}"), body).await, stale, "{path}");
    }
    let body = json!({ "RevisionId": seen, "Description": "d" });
    done(&api, "PUT", &format!("{FUNCTIONS}/f/configuration"), body.clone()).await;
    settle(&api).await;
    assert_eq!(refused(&api, "PUT", &format!("{FUNCTIONS}/f/configuration"), body).await, stale);
}
