//! What becomes of a change after it was answered.

use futures::FutureExt;
use serde_json::{Value, json};

use super::stage::{Stage, queue, stream};
use crate::{config::Source, lambda_api::tests::send};

#[tokio::test]
async fn one_change_at_a_time_unless_it_is_stuck() {
    let stage = Stage::new().await;
    let (_, made) = stage.create(json!({"EventSourceArn": queue("silent"), "FunctionName": "f"})).await;
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    let path = format!("/{uuid}");
    for (method, verb) in [("PUT", "update"), ("DELETE", "delete")] {
        let (status, refused) = stage.ask(method, &path, json!({})).await;
        let words = format!("Cannot {verb} the event source mapping because it is in use.");
        assert_eq!((status, refused), (400, json!({"Type": "User", "Message": words})));
    }
    // The source says why it does not answer: whoever made the mapping may put it right, or away.
    let status = loop {
        let status = stage.runner.statuses.lock().unwrap().get(&uuid.parse().unwrap()).cloned();
        match status {
            Some(status) => break status,
            None => tokio::task::yield_now().await,
        }
    };
    status.problem("the queue is not there");
    let (status, seen) = stage.ask("GET", &path, Value::Null).await;
    assert_eq!((status, &seen["State"]), (200, &json!("Creating")));
    assert_eq!(seen["LastProcessingResult"], "PROBLEM: the queue is not there");
    assert_eq!(stage.ask("DELETE", &path, Value::Null).await.0, 202);
    assert_eq!(stage.ask("DELETE", &path, Value::Null).await.0, 400, "once is enough");
    stage.gone(&uuid).await;
    assert_eq!(stage.log(), ["start", "stop", "forget"].map(|verb| format!("{verb} {uuid}")));
}

/// The server drops a handler whose caller has gone, wherever it waits.
#[tokio::test]
async fn what_was_begun_is_finished_without_its_caller() {
    let stage = Stage::new().await;
    let create = stage.create(json!({"EventSourceArn": queue("q"), "FunctionName": "f"}));
    assert!(create.now_or_never().is_none(), "it waits for the disk");
    let uuid = loop {
        let (_, listed) = stage.ask("GET", "", Value::Null).await;
        match listed["EventSourceMappings"][0]["UUID"].as_str() {
            Some(uuid) => break uuid.to_owned(),
            None => tokio::task::yield_now().await,
        }
    };
    stage.settled(&uuid, "Enabled").await;
    let path = format!("/{uuid}");
    assert!(stage.ask("DELETE", &path, Value::Null).now_or_never().is_none());
    stage.gone(&uuid).await;
}

#[tokio::test]
async fn a_restart_keeps_everything_and_finishes_what_was_begun() {
    let stage = Stage::new().await;
    let create = |name: &str, enabled: bool| {
        stage.create(json!({
            "EventSourceArn": stream(name), "FunctionName": "f", "StartingPosition": "LATEST", "Enabled": enabled,
        }))
    };
    let uuid = |made: Value| made["UUID"].as_str().unwrap().to_owned();
    let runs = uuid(create("runs", true).await.1);
    let rests = uuid(create("rests", false).await.1);
    let silent = uuid(create("silent", true).await.1);
    let before = stage.settled(&runs, "Enabled").await;

    let stage = stage.again().await;
    let after = stage.settled(&runs, "Enabled").await;
    assert_eq!(after, before);
    stage.settled(&rests, "Disabled").await;
    stage.settled(&silent, "Creating").await;
    loop {
        let log = stage.log();
        if log.len() == 3 {
            for line in [format!("start {runs}"), format!("rest {rests}"), format!("start {silent}")] {
                assert!(log.contains(&line), "{log:?}");
            }
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_cannot_go_on_says_so() {
    let stage = Stage::new().await;
    let request = json!({"EventSourceArn": stream("s"), "FunctionName": "f", "StartingPosition": "LATEST"});
    let (_, made) = stage.create(request).await;
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    stage.settled(&uuid, "Enabled").await;
    let status = stage.runner.statuses.lock().unwrap()[&uuid.parse().unwrap()].clone();
    status.halted("the stream is gone");
    let seen = stage.settled(&uuid, "Disabled").await;
    assert_eq!(seen["StateTransitionReason"], "Disabled by the service: the stream is gone");
    assert_eq!(seen["LastProcessingResult"], "PROBLEM: the stream is gone");
    // To say that it is to run is to try again.
    let (status, seen) = stage.ask("PUT", &format!("/{uuid}"), json!({"Enabled": true})).await;
    assert_eq!((status, &seen["State"]), (202, &json!("Updating")));
    let seen = stage.settled(&uuid, "Enabled").await;
    assert_eq!(seen["LastProcessingResult"], "No records processed");
}

/// AWS leaves the mappings of a function that is deleted.
#[tokio::test]
async fn a_mapping_outlives_its_function() {
    let stage = Stage::new().await;
    let (_, made) = stage.create(json!({"EventSourceArn": queue("q"), "FunctionName": "f"})).await;
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    stage.settled(&uuid, "Enabled").await;
    let mut change = stage.api.change().await;
    change.remove(&stage.api.functions, "f");
    change.commit().await.unwrap();
    stage.settled(&uuid, "Enabled").await;
    assert_eq!(stage.ask("PUT", &format!("/{uuid}"), json!({"Enabled": false})).await.0, 202);
    stage.settled(&uuid, "Disabled").await;
    let (status, refused) = stage.ask("PUT", &format!("/{uuid}"), json!({"FunctionName": "f"})).await;
    assert_eq!((status, refused["message"].as_str()), (400, Some("Function does not exist")));
}

/// AWS: `invokeIdentityArn` of Kinesis's records.
#[tokio::test]
async fn a_stream_is_read_by_its_functions_role() {
    let role = |stage: &Stage| match stage.runner.sources.lock().unwrap().last() {
        Some(Source::Kinesis(config)) => config.role.clone(),
        other => panic!("{other:?} is not Kinesis"),
    };
    let stage = Stage::new().await;
    let request =
        json!({"EventSourceArn": stream("s"), "FunctionName": "f:live", "StartingPosition": "LATEST"});
    let (_, made) = stage.create(request).await;
    let uuid = made["UUID"].as_str().unwrap().to_owned();
    stage.settled(&uuid, "Enabled").await;
    assert_eq!(role(&stage), "arn:aws:iam::000000000000:role/r");

    let stage = stage.again().await;
    stage.settled(&uuid, "Enabled").await;
    while stage.log().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(role(&stage), "arn:aws:iam::000000000000:role/r");
    assert_eq!(send(&stage.api, "DELETE", "/2015-03-31/functions/f", Value::Null).await.0, 204);

    let stage = stage.again().await;
    while stage.log().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        role(&stage),
        "arn:aws:iam::111111111111:role/klr",
        "of a function that is gone nothing is known"
    );
}
