//! Versions.

use super::*;

async fn versions(api: &Arc<Api>) -> Vec<String> {
    let listed = get(api, &format!("{FUNCTIONS}/f/versions")).await;
    let versions = listed["Versions"].as_array().unwrap().iter();
    versions.map(|version| version["Version"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_version_is_published_once() {
    let (api, _directory) = active("f").await;
    let path = format!("{FUNCTIONS}/f/versions");
    let latest = get(&api, &format!("{FUNCTIONS}/f/configuration")).await;
    let wrong = refused(&api, "POST", &path, json!({ "CodeSha256": "x" })).await;
    let sha = latest["CodeSha256"].as_str().unwrap();
    assert_eq!(
        wrong,
        (
            400,
            format!(
                "CodeSHA256 (x) is different from current CodeSHA256 in $LATEST ({sha}). Please try again with the \
                 CodeSHA256 in $LATEST."
            )
        )
    );
    let body = json!({ "CodeSha256": sha, "RevisionId": latest["RevisionId"], "Description": "first" });
    let (status, first) = send(&api, "POST", &path, body).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(first["FunctionArn"], format!("{ARN}:f:1"));
    assert_eq!((&first["Version"], &first["Description"]), (&json!("1"), &json!("first")));
    assert_eq!((&first["State"], &first["LastUpdateStatus"]), (&json!("Active"), &json!("Successful")));
    assert_eq!(get(&api, &format!("{FUNCTIONS}/f/configuration?Qualifier=1")).await, first);
    let changed = get(&api, &format!("{FUNCTIONS}/f/configuration")).await;
    assert_ne!(changed["RevisionId"], latest["RevisionId"]);
    let again = done(&api, "POST", &path, json!({})).await;
    assert_eq!(again, first, "nothing has changed");
    done(&api, "PUT", &format!("{FUNCTIONS}/f/configuration"), json!({ "Timeout": 9 })).await;
    settle(&api).await;
    let second = done(&api, "POST", &path, json!({})).await;
    assert_eq!((&second["Version"], &second["Timeout"]), (&json!("2"), &json!(9)));
    assert_eq!(get(&api, &format!("{FUNCTIONS}/f:1")).await["Configuration"]["Timeout"], 3);
    assert_eq!(versions(&api).await, ["$LATEST", "1", "2"]);
    let all = get(&api, &format!("{FUNCTIONS}?FunctionVersion=ALL")).await;
    let arns: Vec<_> =
        all["Functions"].as_array().unwrap().iter().map(|one| one["FunctionArn"].clone()).collect();
    assert_eq!(arns, ["$LATEST", "1", "2"].map(|version| json!(format!("{ARN}:f:{version}"))));
    assert_eq!(refused(&api, "GET", &format!("{FUNCTIONS}?FunctionVersion=x"), Value::Null).await.0, 400);
}

#[tokio::test]
async fn a_version_comes_with_creation_or_new_code() {
    let (api, _directory) = api().await;
    let answer = create(&api, "f", json!({ "Publish": true })).await;
    assert_eq!((&answer["Version"], &answer["State"]), (&json!("1"), &json!("Pending")));
    assert_eq!(answer["FunctionArn"], format!("{ARN}:f"));
    settle(&api).await;
    let shown = get(&api, &format!("{FUNCTIONS}/f:1/configuration")).await;
    assert_eq!((&shown["State"], &shown["LastUpdateStatus"]), (&json!("Active"), &json!("Successful")));
    let code = format!("{FUNCTIONS}/f/code");
    let answer = done(&api, "PUT", &code, json!({ "ZipFile": zip("2"), "Publish": true })).await;
    assert_eq!((&answer["Version"], &answer["FunctionArn"]), (&json!("2"), &json!(format!("{ARN}:f:2"))));
    settle(&api).await;
    let answer = done(&api, "PUT", &code, json!({ "ZipFile": zip("2"), "Publish": true })).await;
    assert_eq!(answer["Version"], "2", "the same code is the same version");
}

#[tokio::test]
async fn versions_go_one_by_one() {
    let (api, _directory) = active("f").await;
    done(&api, "POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await;
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    done(&api, "POST", &format!("{FUNCTIONS}/f/aliases"), alias).await;
    for (qualifier, status, expected) in [
        ("$LATEST", 400, "$LATEST version cannot be deleted without deleting the function."),
        ("live", 400, "Deletion of aliases is not currently supported."),
        ("1", 409, "Unable to delete version because the following aliases reference it: [live]"),
    ] {
        let path = format!("{FUNCTIONS}/f?Qualifier={qualifier}");
        assert_eq!(refused(&api, "DELETE", &path, Value::Null).await, (status, expected.to_owned()));
    }
    done(&api, "DELETE", &format!("{FUNCTIONS}/f/aliases/live"), Value::Null).await;
    done(&api, "DELETE", &format!("{FUNCTIONS}/f?Qualifier=1"), Value::Null).await;
    done(&api, "DELETE", &format!("{FUNCTIONS}/f?Qualifier=99"), Value::Null).await;
    assert_eq!(versions(&api).await, ["$LATEST"]);
    let next = done(&api, "POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await;
    assert_eq!(next["Version"], "2", "a number is never used again");
    done(&api, "DELETE", &format!("{FUNCTIONS}/f"), Value::Null).await;
    assert!(api.versions.is_empty() && api.functions.is_empty());
}
