//! Tags.

use super::*;

#[tokio::test]
async fn tags_come_and_go() {
    let (api, _directory) = api().await;
    let created = create(&api, "f", json!({ "Tags": { "a": "1" } })).await;
    settle(&api).await;
    let path = format!("/2017-03-31/tags/{}", format!("{ARN}:f").replace(':', "%3A"));
    assert_eq!(get(&api, &path).await, json!({ "Tags": { "a": "1" } }));
    assert_eq!(get(&api, &format!("{FUNCTIONS}/f")).await["Tags"], json!({ "a": "1" }));
    done(&api, "POST", &path, json!({ "Tags": { "a": "2", "b": "", "c": "3" } })).await;
    assert_eq!(get(&api, &path).await, json!({ "Tags": { "a": "2", "b": "", "c": "3" } }));
    let shown = get(&api, &format!("{FUNCTIONS}/f/configuration")).await;
    assert_ne!(shown["RevisionId"], created["RevisionId"]);
    done(&api, "DELETE", &format!("{path}?tagKeys=a&tagKeys=c&tagKeys=x"), Value::Null).await;
    assert_eq!(get(&api, &path).await, json!({ "Tags": { "b": "" } }));
    done(&api, "DELETE", &format!("{path}?tagKeys=b"), Value::Null).await;
    assert_eq!(get(&api, &path).await, json!({ "Tags": {} }));
    assert!(get(&api, &format!("{FUNCTIONS}/f")).await.get("Tags").is_none());
}

#[tokio::test]
async fn what_cannot_be_tagged() {
    let (api, _directory) = active("f").await;
    let path = |arn: &str| format!("/2017-03-31/tags/{}", arn.replace(':', "%3A"));
    let own = path(&format!("{ARN}:f"));
    let many: serde_json::Map<_, _> = (0..51).map(|n| (format!("k{n}"), json!("v"))).collect();
    for (method, path, body, expected) in [
        (
            "POST",
            own.clone(),
            json!({ "Tags": {} }),
            "An error occurred and the request cannot be processed.".to_owned(),
        ),
        ("POST", own.clone(), json!({ "Tags": { "a": "1", "AWS:a": "1" } }), RESERVED.to_owned()),
        ("POST", own.clone(), json!({ "Tags": many }), "Number of tags exceeds resource tag limit.".to_owned()),
        (
            "DELETE",
            own,
            Value::Null,
            "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"
                .to_owned(),
        ),
        (
            "DELETE",
            format!("{}?tagKeys=a&tagKeys=", path(&format!("{ARN}:f"))),
            Value::Null,
            "1 validation error detected: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy \
             constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal \
             to 1, Member must satisfy regular expression pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*), Member must not be \
             null]"
                .to_owned(),
        ),
        (
            "GET",
            path("arn:aws:lambda:us-east-1:111111111111:function:f"),
            Value::Null,
            "User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:ListTags on resource: \
             arn:aws:lambda:us-east-1:111111111111:function:f because no resource-based policy allows the lambda:ListTags \
             action"
                .to_owned(),
        ),
        (
            "GET",
            path(&format!("{ARN}:f:1")),
            Value::Null,
            "Tags on function aliases and versions are not supported. Please specify a function ARN.".to_owned(),
        ),
        ("GET", path(&format!("{ARN}:g")), Value::Null, format!("Function not found: {ARN}:g")),
    ] {
        assert_eq!(refused(&api, method, &path, body).await.1, expected);
    }
    let (status, message) = refused(&api, "GET", &path("something"), Value::Null).await;
    assert_eq!(status, 400);
    let begins = "1 validation error detected: Value 'something' at 'resource' failed to satisfy constraint: Member must \
                  satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:";
    assert!(message.starts_with(begins), "{message}");
}
