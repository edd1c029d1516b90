//! Aliases.

use super::*;

#[tokio::test]
async fn an_alias_lives() {
    let (api, _directory) = active("f").await;
    let aliases = format!("{FUNCTIONS}/f/aliases");
    for description in ["1", "2"] {
        done(&api, "PUT", &format!("{FUNCTIONS}/f/configuration"), json!({ "Description": description }))
            .await;
        settle(&api).await;
        done(&api, "POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await;
    }
    let weights = json!({ "AdditionalVersionWeights": { "2": 0.25 } });
    let body = json!({ "Name": "live", "FunctionVersion": "1", "RoutingConfig": weights });
    let (status, created) = send(&api, "POST", &aliases, body.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    let expected = json!({
        "AliasArn": format!("{ARN}:f:live"),
        "Description": "",
        "FunctionVersion": "1",
        "Name": "live",
        "RevisionId": created["RevisionId"],
        "RoutingConfig": weights,
    });
    assert_eq!(created, expected);
    assert_eq!(
        refused(&api, "POST", &aliases, body).await,
        (409, format!("Alias already exists: {ARN}:f:live"))
    );
    assert_eq!(get(&api, &format!("{aliases}/live")).await, expected);
    let shown = get(&api, &format!("{FUNCTIONS}/f?Qualifier=live")).await["Configuration"].clone();
    assert_eq!((&shown["FunctionArn"], &shown["Version"]), (&json!(format!("{ARN}:f:live")), &json!("1")));
    let stale = refused(&api, "PUT", &format!("{aliases}/live"), json!({ "RevisionId": "x" })).await;
    assert_eq!(stale.0, 412);
    let change = json!({ "RoutingConfig": {}, "FunctionVersion": "2", "RevisionId": created["RevisionId"] });
    let updated = done(&api, "PUT", &format!("{aliases}/live"), change).await;
    assert!(updated.get("RoutingConfig").is_none());
    assert_ne!(updated["RevisionId"], created["RevisionId"]);
    done(&api, "POST", &aliases, json!({ "Name": "dev", "FunctionVersion": "$LATEST" })).await;
    let names = async |query: &str| {
        let listed = get(&api, &format!("{aliases}{query}")).await;
        let names = listed["Aliases"].as_array().unwrap().iter().map(|alias| alias["Name"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["dev", "live"]);
    assert_eq!(names("?FunctionVersion=2").await, ["live"]);
    assert_eq!(names("?MaxItems=1").await, ["dev"]);
    done(&api, "DELETE", &format!("{aliases}/live"), Value::Null).await;
    done(&api, "DELETE", &format!("{aliases}/live"), Value::Null).await;
    assert_eq!(
        refused(&api, "GET", &format!("{aliases}/live"), Value::Null).await,
        (404, format!("Cannot find alias arn: {ARN}:f:live"))
    );
    assert_eq!(
        refused(&api, "PUT", &format!("{aliases}/live"), json!({})).await,
        (404, format!("Alias not found: {ARN}:f:live"))
    );
}

#[tokio::test]
async fn what_an_alias_may_not_be() {
    let (api, _directory) = active("f").await;
    done(&api, "POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await;
    let field = "routingConfig.additionalVersionWeights";
    for (name, version, weights, expected) in [
        (
            "12",
            "1",
            json!({}),
            "1 validation error detected: Value '12' at 'name' failed to satisfy constraint: Member must satisfy regular \
             expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"
                .to_owned(),
        ),
        ("a", "7", json!({}), format!("Function not found: {ARN}:f:7")),
        (
            "a",
            "1",
            json!({ "1": 0.5, "2": 0.5 }),
            "Number of items in AdditionalVersionWeights cannot be greater than 1".to_owned(),
        ),
        (
            "a",
            "1",
            json!({ "1": 0.5 }),
            "Invalid function version 1. Function version 1 is already included in routing configuration.".to_owned(),
        ),
        (
            "a",
            "$LATEST",
            json!({ "1": 0.5 }),
            "$LATEST is not supported for an alias pointing to more than 1 version".to_owned(),
        ),
        (
            "a",
            "1",
            json!({ "2": 2 }),
            format!(
                "1 validation error detected: Value '{{2=2.0}}' at '{field}' failed to satisfy constraint: Map value must \
                 satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than \
                 or equal to 0.0, Member must not be null]"
            ),
        ),
        (
            "a",
            "1",
            json!({ "$LATEST": 0.5 }),
            format!(
                "1 validation error detected: Value '{{$LATEST=0.5}}' at '{field}' failed to satisfy constraint: Map keys \
                 must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length \
                 greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]"
            ),
        ),
        (
            "a",
            "7",
            json!({ "x": 0.5, "2": 2 }),
            format!(
                "2 validation errors detected: Value '{{2=2.0, x=0.5}}' at '{field}' failed to satisfy constraint: Map keys \
                 must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length \
                 greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be \
                 null]; Value '{{2=2.0, x=0.5}}' at '{field}' failed to satisfy constraint: Map value must satisfy \
                 constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or \
                 equal to 0.0, Member must not be null]"
            ),
        ),
        ("a", "1", json!({ "7": 0.5 }), format!("Function not found: {ARN}:f:7")),
    ] {
        let routing = json!({ "AdditionalVersionWeights": weights });
        let body = json!({ "Name": name, "FunctionVersion": version, "RoutingConfig": routing });
        assert_eq!(refused(&api, "POST", &format!("{FUNCTIONS}/f/aliases"), body).await.1, expected);
    }
}

/// What an update leaves unsaid counts as much as what it says.
#[tokio::test]
async fn an_update_is_looked_at_with_what_it_leaves() {
    let (api, _directory) = active("f").await;
    for description in ["1", "2"] {
        done(&api, "PUT", &format!("{FUNCTIONS}/f/configuration"), json!({ "Description": description }))
            .await;
        settle(&api).await;
        done(&api, "POST", &format!("{FUNCTIONS}/f/versions"), json!({})).await;
    }
    let routing = |weights: Value| json!({ "AdditionalVersionWeights": weights });
    let body = json!({ "Name": "a", "FunctionVersion": "1", "RoutingConfig": routing(json!({ "2": 1.0 })) });
    let made = done(&api, "POST", &format!("{FUNCTIONS}/f/aliases"), body).await;
    assert_eq!(made["RoutingConfig"], routing(json!({ "2": 1.0 })), "AWS: at most 1.0");
    let path = format!("{FUNCTIONS}/f/aliases/a");
    let same = |version: u32| {
        format!(
            "Invalid function version {version}. Function version {version} is already included in routing configuration."
        )
    };
    for (body, expected) in [
        (json!({ "FunctionVersion": "2" }), same(2)),
        (json!({ "RoutingConfig": routing(json!({ "1": 0.5 })) }), same(1)),
        (
            json!({ "FunctionVersion": "$LATEST" }),
            "$LATEST is not supported for an alias pointing to more than 1 version".to_owned(),
        ),
    ] {
        assert_eq!(refused(&api, "PUT", &path, body).await, (400, expected));
    }
    let swapped = json!({ "FunctionVersion": "2", "RoutingConfig": routing(json!({ "1": 0.5 })) });
    assert_eq!(done(&api, "PUT", &path, swapped).await["FunctionVersion"], "2");
    let alone = json!({ "FunctionVersion": "$LATEST", "RoutingConfig": {} });
    assert!(done(&api, "PUT", &path, alone).await.get("RoutingConfig").is_none());
}
