//! Decoding by a schema registry: a real one (Apicurio), a real broker, and producers' bytes in Confluent's wire format.
#![cfg(feature = "registry")]
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use common::{PATIENCE, Scene, json, read_records, records};
use klr_contract::{Arrival, Kind, Log, Record};
use klr_kafka::{Config, EventRecordFormat, Registry, Source, Tls};
use klr_test_support::servers::{Apicurio, Kafka};
use klr_test_support::sink::{Answer, Sink};
use rdkafka::producer::FutureRecord;
use serde_json::{Value, json};
use tokio::time::timeout;

async fn servers() -> Option<(&'static Kafka, &'static Apicurio)> {
    let registry = tokio::task::spawn_blocking(Apicurio::shared);
    let (kafka, registry) = (common::kafka().await?, registry.await.unwrap()?);
    Some((kafka, registry))
}

fn decoding(url: &str, format: EventRecordFormat) -> Registry {
    Registry { url: url.to_owned(), format, key: false, value: true, user: None, tls: Tls::default() }
}

fn config(scene: &Scene, registry: Registry) -> Config {
    Config { registry: Some(registry), ..scene.config() }
}

fn register(registry: &Apicurio, subject: &str, schema: &Value) -> u32 {
    registry.register(subject, &schema.to_string())
}

fn framed(id: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], bytes].concat()
}

async fn send(scene: &Scene, key: Option<&[u8]>, value: Option<&[u8]>) {
    let mut record = FutureRecord::<[u8], [u8]>::to(&scene.topic).partition(0).timestamp(1_700_000_000_000);
    if let Some(key) = key {
        record = record.key(key);
    }
    if let Some(value) = value {
        record = record.payload(value);
    }
    scene.producer.send(record, PATIENCE).await.unwrap();
}

/// The bytes of an attribute, and what its metadata says.
fn attribute(record: &Record, name: &str) -> (Vec<u8>, Value) {
    let record = json(record);
    let bytes = STANDARD.decode(record[name].as_str().unwrap()).unwrap();
    (bytes, record[format!("{name}SchemaMetadata")].clone())
}

fn value_json(record: &Record) -> Value {
    serde_json::from_slice(&attribute(record, "value").0).unwrap()
}

fn metadata(format: &str, id: u32) -> Value {
    json!({"dataFormat": format, "schemaId": id.to_string()})
}

/// Avro's zigzag, for numbers that fit into one byte.
fn zigzag(number: i8) -> u8 {
    ((number << 1) ^ (number >> 7)).cast_unsigned()
}

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"com.example","fields":[
    {"name":"id","type":"long"},{"name":"note","type":["null","string"]},
    {"name":"lines","type":{"type":"array","items":"com.example.Line"}}]}"#;
const LINE: &str = r#"{"type":"record","name":"Line","namespace":"com.example","fields":[
    {"name":"sku","type":"string"},{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#;

/// `{"id": -3, "note": "é", "lines": [{"sku": "a", "price": 0x01ff}]}`
fn order() -> Vec<u8> {
    let mut bytes = vec![zigzag(-3), zigzag(1), zigzag(2)];
    bytes.extend("é".as_bytes());
    bytes.extend([zigzag(1), zigzag(1), b'a', zigzag(2), 0x01, 0xff, 0]);
    bytes
}

#[tokio::test]
async fn avro_with_a_reference_becomes_json() {
    let Some((kafka, registry)) = servers().await else { return };
    register(registry, "line", &json!({"schema": LINE}));
    let reference = json!([{"name": "com.example.Line", "subject": "line", "version": 1}]);
    let id = register(registry, "orders-value", &json!({"schema": ORDER, "references": reference}));
    let key = register(registry, "orders-key", &json!({"schema": r#""string""#}));
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    send(&scene, Some(&framed(key, &[zigzag(1), b'k'])), Some(&framed(id, &order()))).await;
    send(&scene, None, None).await;
    let both = Registry { key: true, ..decoding(&registry.url, EventRecordFormat::Json) };
    let log = Source::open(config(&scene, both)).unwrap();
    let seen = read_records(&log, 2).await;
    let expected = r#"{"id":-3,"note":"é","lines":[{"sku":"a","price":"\u0001ÿ"}]}"#;
    let (value, schema) = attribute(&seen[0], "value");
    assert_eq!((std::str::from_utf8(&value).unwrap(), schema), (expected, metadata("AVRO", id)));
    assert_eq!(attribute(&seen[0], "key"), (br#""k""#.to_vec(), metadata("AVRO", key)));
    // Byte by byte, as an event has it; and a tombstone, which has nothing to decode.
    let text = |record: &Record| String::from_utf8(record.json.as_ref().unwrap().to_vec()).unwrap();
    let (k, v) = (STANDARD.encode(r#""k""#), STANDARD.encode(expected));
    let head = |offset| {
        format!(
            r#"{{"topic":"{}","partition":0,"offset":{offset},"timestamp":1700000000000,"timestampType":"CREATE_TIME""#,
            scene.topic
        )
    };
    assert_eq!(
        text(&seen[0]),
        format!(
            r#"{},"key":"{k}","value":"{v}","headers":[],"keySchemaMetadata":{{"dataFormat":"AVRO","schemaId":"{key}"}},"valueSchemaMetadata":{{"dataFormat":"AVRO","schemaId":"{id}"}}}}"#,
            head(0)
        )
    );
    assert_eq!(text(&seen[1]), format!(r#"{},"headers":[]}}"#, head(1)));
    log.close().await.unwrap();
}

const PROTO: &str = r#"syntax = "proto3";
package shop;
import "money.proto";
message First { string a = 1; }
message Order {
  message Tag { string name = 1; map<string, int32> counts = 2; }
  int64 order_id = 1;
  Money total = 2;
  bool paid = 3;
  repeated Tag tags = 4;
}
"#;
const MONEY: &str = "syntax = \"proto3\";\npackage shop;\nmessage Money { int32 cents = 1; }\n";

/// `order_id: 7, total: {cents: 5}` in Protobuf.
const PROTO_ORDER: [u8; 6] = [0x08, 7, 0x12, 2, 0x08, 5];

#[tokio::test]
async fn protobuf_becomes_json_or_stays_what_it_is() {
    let Some((kafka, registry)) = servers().await else { return };
    register(registry, "money", &json!({"schemaType": "PROTOBUF", "schema": MONEY}));
    let reference = json!([{"name": "money.proto", "subject": "money", "version": 1}]);
    let proto = json!({"schemaType": "PROTOBUF", "schema": PROTO, "references": reference});
    let id = register(registry, "shop-value", &proto);
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    // The first message (an empty list of indexes), the second, one within the second.
    send(&scene, None, Some(&framed(id, &[0, 0x0a, 1, b'x']))).await;
    send(&scene, None, Some(&framed(id, &[&[zigzag(1), zigzag(1)], &PROTO_ORDER[..]].concat()))).await;
    send(&scene, None, Some(&framed(id, &[zigzag(2), zigzag(1), 0, 0x0a, 1, b't']))).await;
    let log = Source::open(config(&scene, decoding(&registry.url, EventRecordFormat::Json))).unwrap();
    let seen = read_records(&log, 3).await;
    let values: Vec<_> = seen.iter().map(value_json).collect();
    assert_eq!(
        values,
        [json!({"a": "x"}), json!({"orderId": "7", "total": {"cents": 5}}), json!({"name": "t"})]
    );
    assert_eq!(attribute(&seen[0], "value").1, metadata("PROTOBUF", id));
    log.close().await.unwrap();

    let source = Config {
        group: format!("{}-source", scene.group),
        ..config(&scene, decoding(&registry.url, EventRecordFormat::Source))
    };
    let log = Source::open(source).unwrap();
    let seen = read_records(&log, 3).await;
    assert_eq!(attribute(&seen[1], "value").0, [&[zigzag(1), zigzag(1)], &PROTO_ORDER[..]].concat());
    assert_eq!(attribute(&seen[1], "value").1, metadata("PROTOBUF", id));
    log.close().await.unwrap();
}

#[tokio::test]
async fn json_is_checked_and_stays_as_it_is_written() {
    let Some((kafka, registry)) = servers().await else { return };
    let address = r#"{"type":"object","required":["zip"],"properties":{"zip":{"type":"string"}}}"#;
    register(registry, "address", &json!({"schemaType": "JSON", "schema": address}));
    let person = r#"{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"home":{"$ref":"address.json"}}}"#;
    let reference = json!([{"name": "address.json", "subject": "address", "version": 1}]);
    let schema = json!({"schemaType": "JSON", "schema": person, "references": reference});
    let id = register(registry, "people-value", &schema);
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let good = br#"{ "name": "x", "home": {"zip": "1"}, "more": 1.0 }"#;
    send(&scene, None, Some(&framed(id, good))).await;
    for bad in [&br#"{"home":{}}"#[..], br#"{"name":"x","home":{}}"#, b"{", b""] {
        send(&scene, None, Some(&framed(id, bad))).await;
    }
    let log = Source::open(config(&scene, decoding(&registry.url, EventRecordFormat::Json))).unwrap();
    let seen = read_records(&log, 5).await;
    assert_eq!(attribute(&seen[0], "value"), (good.to_vec(), metadata("JSON", id)));
    for record in &seen[1..] {
        assert_eq!(record.json.as_ref().unwrap_err().0, "DESERIALIZATION_ERROR");
    }
    log.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_decoded_keeps_its_place() {
    let Some((kafka, registry)) = servers().await else { return };
    let id = register(registry, "texts-value", &json!({"schema": r#""string""#}));
    let good = framed(id, &[zigzag(1), b'a']);
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let sent: [&[u8]; 6] = [
        b"plain",
        b"",
        &framed(4_000_000_000, b"x"),
        &framed(id, &[zigzag(5), b'a']),
        &framed(id, &[zigzag(1), 0xff]),
        &good,
    ];
    for value in sent {
        send(&scene, Some(b"key"), Some(value)).await;
    }
    let log = Source::open(config(&scene, decoding(&registry.url, EventRecordFormat::Json))).unwrap();
    let seen = read_records(&log, 6).await;
    let reasons: Vec<_> =
        seen.iter().map(|record| record.json.as_ref().err().map_or("", |why| why.0.as_str())).collect();
    let error = "DESERIALIZATION_ERROR";
    assert_eq!(reasons, [error, error, "SCHEMA_NOT_FOUND", error, error, ""]);
    // The key was not selected: it is what it is, and says nothing of a schema.
    assert_eq!(attribute(&seen[5], "key"), (b"key".to_vec(), Value::Null));
    log.checkpoint(&[common::through(&seen[5])]).await.unwrap();
    scene.expect_committed(&[(0, 6)]).await;
    log.close().await.unwrap();
}

/// A registry that is down holds the records, for as long as it takes, and in their order.
#[tokio::test]
async fn a_registry_that_is_down_is_waited_for() {
    let Some(kafka) = common::kafka().await else { return };
    let mut registry = Sink::start(|request| match request.uri.path() {
        "/api/schemas/ids/1" => Answer::json(r#"{"schema":"\"string\""}"#),
        "/api/schemas/ids/2" => Answer::json(r#"{"schema":"\"long\"","schemaType":"AVRO"}"#),
        // As from a wrong URL: no word of a registry's, and no verdict on a record.
        _ => Answer::status(404),
    });
    registry.down();
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    let decoding = decoding(&format!("{}/api/", registry.uri), EventRecordFormat::Json);
    let log = Source::open(config(&scene, decoding)).unwrap();
    for n in 0..50 {
        send(&scene, None, Some(&framed(1, &[zigzag(1), b'0' + n % 10]))).await;
    }
    let error = timeout(PATIENCE, async {
        loop {
            match log.next(100).await {
                Err(error) if error.code() == "kafka.registry" => break error,
                Err(error) => println!("before: {error}"),
                Ok(arrivals) => assert_eq!(records(&arrivals).len(), 0),
            }
        }
    });
    let error = error.await.unwrap();
    assert!(matches!(error.kind(), Kind::Retry { .. }), "{error}");
    assert!(error.to_string().contains("schemas/ids/1 cannot be reached"), "{error}");
    // Long enough for everything to be paused; more comes meanwhile.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for n in 0..50 {
        send(&scene, None, Some(&framed(2, &[zigzag(n)]))).await;
    }
    registry.up();
    let seen = read_records(&log, 100).await;
    let expected: Vec<_> =
        (0..50).map(|n| json!((n % 10).to_string())).chain((0..50).map(|n| json!(n))).collect();
    assert_eq!(seen.iter().map(value_json).collect::<Vec<_>>(), expected);
    // Each is asked for once: failures apart, two answers.
    assert_eq!(registry.count(), 2);
    // A registry that says nothing sensible costs no record either.
    send(&scene, None, Some(&framed(3, b"x"))).await;
    let told = timeout(PATIENCE, async {
        loop {
            if let Err(error) = log.next(100).await
                && error.to_string().contains("404")
            {
                break;
            }
        }
    });
    told.await.unwrap();
    log.close().await.unwrap();
    scene.expect_committed(&[(0, 0), (1, 0)]).await;
}

/// While a schema is waited for, what came before it goes on, the group hears of us, and we can leave.
#[tokio::test]
async fn a_registry_that_is_down_holds_nobody_else() {
    let Some(kafka) = common::kafka().await else { return };
    let mut registry = Sink::start(|_| Answer::json(r#"{"schema":"\"long\""}"#));
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    send(&scene, None, Some(&framed(1, &[zigzag(0)]))).await;
    let decoding = decoding(&registry.uri, EventRecordFormat::Json);
    let log = Source::open(config(&scene, decoding.clone())).unwrap();
    let first = read_records(&log, 1).await;
    log.checkpoint(&[common::through(&first[0])]).await.unwrap();
    registry.down();
    for (id, n) in [(1, 1), (2, 2), (1, 3)] {
        send(&scene, None, Some(&framed(id, &[zigzag(n)]))).await;
    }
    let seen = read_records(&log, 1).await;
    assert_eq!(seen.iter().map(value_json).collect::<Vec<_>>(), [json!(1)]);
    log.checkpoint(&[common::through(&seen[0])]).await.unwrap();
    // Another member comes, and is given a partition though we wait.
    let other = Source::open(config(&scene, decoding.clone())).unwrap();
    let moved = timeout(PATIENCE, async {
        let step = Duration::from_millis(100);
        loop {
            for arrival in timeout(step, log.next(100)).await.into_iter().flatten().flatten() {
                if let Arrival::Losing(partition) = arrival {
                    log.release(partition, None).await.unwrap();
                }
            }
            let arrivals = timeout(step, other.next(0)).await.into_iter().flatten().flatten();
            if arrivals.into_iter().any(|arrival| matches!(arrival, Arrival::Gained(_))) {
                break;
            }
        }
    });
    moved.await.expect("a partition moves");
    other.close().await.unwrap();
    // It leaves at once, though it waits; who comes next goes on behind what was done.
    timeout(Duration::from_secs(20), log.close()).await.unwrap().unwrap();
    registry.up();
    let log = Source::open(config(&scene, decoding)).unwrap();
    let seen = read_records(&log, 2).await;
    assert_eq!(seen.iter().map(value_json).collect::<Vec<_>>(), [json!(2), json!(3)]);
    log.close().await.unwrap();
}

#[tokio::test]
async fn a_registry_asks_who_we_are() {
    let Some(kafka) = common::kafka().await else { return };
    let registry = Sink::start(|request| {
        if request.header("authorization") == Some("Basic YXBwOnA6dw==") {
            Answer::json(r#"{"schema":"\"string\""}"#)
        } else {
            Answer::status(401)
        }
    });
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    send(&scene, None, Some(&framed(1, &[zigzag(1), b'a']))).await;
    let right = Registry {
        user: Some(("app".to_owned(), "p:w".to_owned())),
        ..decoding(&registry.uri, EventRecordFormat::Json)
    };
    assert!(!format!("{right:?}").contains("p:w"));
    let log = Source::open(config(&scene, right.clone())).unwrap();
    assert_eq!(value_json(&read_records(&log, 1).await[0]), json!("a"));
    log.close().await.unwrap();
    let wrong = Registry { user: None, ..right };
    let other = Config { group: "nobody".to_owned(), ..config(&scene, wrong) };
    let log = Source::open(other).unwrap();
    let told = timeout(PATIENCE, async {
        loop {
            if let Err(error) = log.next(1).await
                && error.code() == "kafka.registry"
            {
                break error.to_string();
            }
        }
    });
    let told = told.await.unwrap();
    assert!(told.contains("401") && told.contains("accessConfigs"), "{told}");
    log.close().await.unwrap();
}
