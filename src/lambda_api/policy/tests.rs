use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::lambda_api::tests::{api, given, send};

const PATH: &str = "/2015-03-31/functions/f/policy";

fn grant(sid: &str) -> Value {
    json!({
        "StatementId": sid,
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
        "SourceArn": "arn:aws:s3:::bucket",
    })
}

fn parsed(text: &Value) -> Value {
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_permission_is_added_shown_and_taken_away() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    let (status, answer) = send(&api, "GET", PATH, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["Message"], "The resource you requested does not exist.");
    let (status, answer) = send(&api, "POST", PATH, grant("s3")).await;
    assert_eq!(status, StatusCode::CREATED);
    let statement = json!({
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "lambda:InvokeFunction",
        "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "Condition": { "ArnLike": { "AWS:SourceArn": "arn:aws:s3:::bucket" } },
    });
    assert_eq!(parsed(&answer["Statement"]), statement);
    let (status, answer) = send(&api, "GET", PATH, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let policy = json!({ "Version": "2012-10-17", "Id": "default", "Statement": [statement] });
    assert_eq!(parsed(&answer["Policy"]), policy);
    let revision = answer["RevisionId"].as_str().unwrap().to_owned();
    let (status, answer) = send(&api, "POST", PATH, grant("s3")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        answer["message"],
        "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing \
         statement."
    );
    let mut of_url = grant("url");
    of_url["FunctionUrlAuthType"] = json!("NONE");
    let (status, answer) = send(&api, "POST", PATH, of_url).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer["message"],
        "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
    );
    assert_eq!(send(&api, "DELETE", &format!("{PATH}/a%20b"), Value::Null).await.0, StatusCode::BAD_REQUEST);
    let remove = format!("{PATH}/s3");
    let (status, answer) = send(&api, "DELETE", &format!("{remove}?RevisionId=old"), Value::Null).await;
    assert_eq!((status, &answer["Type"]), (StatusCode::PRECONDITION_FAILED, &json!("User")));
    let remove = format!("{remove}?RevisionId={revision}");
    assert_eq!(send(&api, "DELETE", &remove, Value::Null).await, (StatusCode::NO_CONTENT, Value::Null));
    let (status, answer) = send(&api, "DELETE", &remove, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["Message"], "No policy is associated with the given resource.");
}

#[tokio::test]
async fn versions_and_aliases_have_policies_of_their_own() {
    let (api, _directory) = api().await;
    given(&api, "f", 1).await;
    for qualifier in ["1", "live"] {
        let path = format!("{PATH}?Qualifier={qualifier}");
        let (status, answer) = send(&api, "POST", &path, grant("same")).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let resource = format!("arn:aws:lambda:us-east-1:000000000000:function:f:{qualifier}");
        assert_eq!(parsed(&answer["Statement"])["Resource"], resource);
        assert_eq!(send(&api, "GET", &path, Value::Null).await.0, StatusCode::OK);
    }
    assert_eq!(send(&api, "GET", PATH, Value::Null).await.0, StatusCode::NOT_FOUND);
    for (qualifier, said) in [
        ("2", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:2"),
        ("beta", "Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:beta"),
        ("a$b", "The resource you requested does not exist."),
    ] {
        let (status, answer) = send(&api, "POST", &format!("{PATH}?Qualifier={qualifier}"), grant("s")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(answer["Message"], said);
    }
    let (status, answer) = send(&api, "POST", &format!("{PATH}?Qualifier=$LATEST"), grant("s")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["message"], "We currently do not support adding policies for $LATEST.");
}

#[tokio::test]
async fn what_cannot_be_a_statement_is_refused() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    let with = |member: &str, value: &str| {
        let mut grant = grant("s");
        grant[member] = json!(value);
        grant
    };
    for (grant, said) in [
        (
            with("StatementId", "a b"),
            "1 validation error detected: Value 'a b' at 'statementId' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: ([a-zA-Z0-9-_]+)",
        ),
        (
            with("Principal", "me"),
            "The provided principal was invalid. Please check the principal and try again.",
        ),
        (
            with("Action", "s3:GetObject"),
            "1 validation error detected: Value 's3:GetObject' at 'action' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])",
        ),
    ] {
        let (status, answer) = send(&api, "POST", PATH, grant).await;
        assert_eq!((status, answer["message"].as_str()), (StatusCode::BAD_REQUEST, Some(said)));
    }
    let (status, answer) = send(&api, "DELETE", "/2015-03-31/functions/g/policy/s", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["Message"], "No policy found for: arn:aws:lambda:us-east-1:000000000000:function:g");
}

#[tokio::test]
async fn permissions_change_the_revision() {
    let (api, _directory) = api().await;
    given(&api, "f", 1).await;
    let revision = || api.aliases.get("f:live").unwrap().revision_id.clone();
    let before = revision();
    let path = format!("{PATH}?Qualifier=live");
    let mut known = grant("one");
    known["RevisionId"] = json!(before);
    assert_eq!(send(&api, "POST", &path, known.clone()).await.0, StatusCode::CREATED);
    assert_ne!(revision(), before);
    known["StatementId"] = json!("two");
    let (status, answer) = send(&api, "POST", &path, known).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(
        answer["message"],
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve \
         the latest Revision Id"
    );
}

#[tokio::test]
async fn a_whole_policy_is_the_same_as_its_permissions() {
    let (api, _directory) = api().await;
    given(&api, "f", 0).await;
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let whole = format!("/2026-07-09/resource-policy/{}", arn.replace(':', "%3A"));
    assert_eq!(send(&api, "GET", &whole, Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(&api, "POST", PATH, grant("s3")).await.0, StatusCode::CREATED);
    let (_, shown) = send(&api, "GET", &whole, Value::Null).await;
    assert_eq!(shown, send(&api, "GET", PATH, Value::Null).await.1);
    let deny =
        json!({ "Sid": "no", "Effect": "Deny", "Principal": "*", "Action": "lambda:*", "Resource": arn });
    let policy = json!({ "Version": "2012-10-17", "Statement": deny }).to_string();
    let (status, put) = send(&api, "PUT", &whole, json!({ "Policy": policy })).await;
    assert_eq!(status, StatusCode::OK, "{put}");
    assert_eq!(parsed(&put["Policy"])["Statement"], json!([deny]), "it replaced what was there");
    assert_eq!(send(&api, "POST", PATH, grant("s3")).await.0, StatusCode::CREATED);
    let old = json!({ "Policy": policy, "RevisionId": put["RevisionId"] });
    assert_eq!(send(&api, "PUT", &whole, old).await.0, StatusCode::PRECONDITION_FAILED);
    for wrong in ["no", "{}", r#"{"Statement":[{"Effect":"Allow"}]}"#] {
        let (status, _) = send(&api, "PUT", &whole, json!({ "Policy": wrong })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(send(&api, "DELETE", &format!("{PATH}/no"), Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(&api, "DELETE", &whole, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(&api, "GET", PATH, Value::Null).await.0, StatusCode::NOT_FOUND);
}
