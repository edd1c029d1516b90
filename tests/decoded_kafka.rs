//! Promise: what producers wrote by a schema registry a function gets as JSON; what cannot be decoded goes to the mapping's
//! destination, and is committed. On the way in the bridge shows a token, as a cluster with OAUTHBEARER wants it.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use klr_test_support::eventually;
use klr_test_support::kafka::{Message, Topic};
use klr_test_support::klr::Setup;
use klr_test_support::servers::{Apicurio, Kafka};
use klr_test_support::sink::{Answer, Request, Sink};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A token as Kafka's validator of unsecured ones takes it, for whoever has the password.
fn authorize(request: &Request) -> Answer {
    let credentials = STANDARD.encode("bridge:s3cret");
    if request.header("authorization") != Some(format!("Basic {credentials}").as_str()) {
        return Answer::status(401);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(json!({"sub": "bridge", "iat": now, "exp": now + 60}));
    let token = format!("{}.{claims}.", part(json!({"alg": "none"})));
    Answer::json(json!({"access_token": token, "expires_in": 60}).to_string())
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn a_function_gets_json_and_a_destination_the_rest() {
    let Some(kafka) = Kafka::shared() else { return };
    let Some(registry) = Apicurio::shared() else { return };
    let schema = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"note","type":["null","string"]}]}"#;
    let id = registry.register("orders-value", &json!({ "schema": schema }).to_string());
    let topic = Topic::create(kafka, 1);
    let framed = |bytes: &[u8]| [&[0], &id.to_be_bytes()[..], bytes].concat();
    // 21 and "é"; no wire format; an unknown schema; a branch that is not there.
    for value in [&framed(&[42, 2, 4, 0xc3, 0xa9]), &b"plain"[..], &[0, 0xff, 0, 0, 1, 2], &framed(&[42, 6])]
    {
        topic.send(Message { key: Some(b"k"), value: Some(value), ..Message::default() });
    }
    topic.flush();

    let authority = Sink::start(authorize);
    let (function, letters) = (Sink::start(|_| Answer::status(200)), Sink::start(|_| Answer::status(200)));
    let particulars = format!(
        "selfManagedKafkaEventSourceConfig: {{ consumerGroupId: {}, schemaRegistryConfig: {{ schemaRegistryURI: '{}', \
         eventRecordFormat: JSON, schemaValidationConfigs: [ {{ attribute: VALUE }} ] }} }}",
        topic.name, registry.url
    );
    let mapping = topic
        .mapping_without_group(&[
            "startingPosition: TRIM_HORIZON",
            "sourceAccessConfigurations: [ { type: OAUTHBEARER_AUTH, uri: 'env:OAUTH' }, { type: SERVER_ROOT_CA_CERTIFICATE, uri: 'env:CA' } ]",
            &particulars,
            &format!("sink: {{ uri: '{}' }}", function.uri),
            &format!("destinationConfig: {{ onFailure: {{ destination: '{}' }} }}", letters.uri),
        ])
        .replace(&kafka.bootstrap, &kafka.sasl_bootstrap);
    let secret = json!({
        "oauthTokenEndpointUrl": authority.uri, "oauthClientId": "bridge", "oauthClientSecret": "s3cret",
    });
    let ca = std::fs::read_to_string(&kafka.ca).unwrap();
    let bridge = Setup::run(env!("CARGO_BIN_EXE_klr"))
        .resources("orders.yaml", &mapping)
        .env("OAUTH", &secret.to_string())
        .env("CA", &json!({ "certificate": ca }).to_string())
        .start();
    assert!(topic.group().wait_committed(&topic.ends(), PATIENCE), "{}", bridge.stderr());

    let [request] = &function.requests()[..] else { panic!("one batch, not {}", function.count()) };
    let records = &body(request)["records"][format!("{}-0", topic.name)];
    assert_eq!(records.as_array().unwrap().len(), 1, "{records}");
    let value = STANDARD.decode(records[0]["value"].as_str().unwrap()).unwrap();
    assert_eq!(std::str::from_utf8(&value).unwrap(), r#"{"id":21,"note":"é"}"#);
    assert_eq!(records[0]["valueSchemaMetadata"], json!({"dataFormat": "AVRO", "schemaId": id.to_string()}));
    assert_eq!((&records[0]["key"], &records[0]["keySchemaMetadata"]), (&json!("aw=="), &Value::Null));

    assert!(eventually(PATIENCE, || letters.count() == 3), "{}", letters.count());
    let letters: Vec<_> = letters.requests().iter().map(body).collect();
    let conditions: Vec<_> =
        letters.iter().map(|letter| letter["requestContext"]["condition"].as_str().unwrap()).collect();
    assert_eq!(conditions, ["DESERIALIZATION_ERROR", "SCHEMA_NOT_FOUND", "DESERIALIZATION_ERROR"]);
    let span = &letters[1]["KafkaBatchInfo"]["recordsInfo"][format!("{}-0", topic.name)];
    assert_eq!((&span["firstRecordOffset"], &span["lastRecordOffset"]), (&json!("2"), &json!("2")));
    assert!(!bridge.stderr().contains("s3cret"), "{}", bridge.stderr());
}
