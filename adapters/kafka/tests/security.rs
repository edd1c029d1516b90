//! TLS, mTLS and SASL against a real broker, and what a person is told when they fail.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use common::{PATIENCE, Scene, read_records, values};
use klr_contract::{Error, Kind, Log};
use klr_kafka::{Config, Identity, Mechanism, Sasl, Security, Source, Tls};
use klr_test_support::servers::Kafka;
use tokio::time::timeout;

fn pem(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn tls(kafka: &Kafka) -> Tls {
    Tls { ca: Some(pem(&kafka.ca)), identity: None }
}

fn sasl(kafka: &Kafka, mechanism: Mechanism) -> Sasl {
    Sasl::Password { mechanism, username: kafka.user.to_owned(), password: kafka.password.to_owned() }
}

fn secured(scene: &Scene, bootstrap: &str, security: Security) -> Config {
    Config { bootstrap: vec![bootstrap.to_owned()], security, ..scene.config() }
}

/// A record goes through.
async fn works(kafka: &Kafka, bootstrap: &str, security: Security) {
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send(0, "a").await;
    let log = Source::open(secured(&scene, bootstrap, security)).unwrap();
    let seen = read_records(&log, 1).await;
    assert_eq!(values(&seen), ["a"]);
    log.checkpoint(&[common::through(&seen[0])]).await.unwrap();
    log.close().await.unwrap();
}

/// The first error with this code; what comes before (a broker that hung up) is not the cause.
async fn refused(kafka: &Kafka, bootstrap: &str, security: Security, code: &str) -> Error {
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let log = Source::open(secured(&scene, bootstrap, security)).unwrap();
    let mut before = Vec::new();
    let error = timeout(PATIENCE, async {
        loop {
            let error = log.next(1).await.expect_err("nothing comes without permission");
            if error.code() == code {
                break error;
            }
            before.push(error.to_string());
        }
    })
    .await;
    log.close().await.unwrap();
    error.unwrap_or_else(|_| panic!("expected {code}, heard {before:?}"))
}

#[tokio::test]
async fn sasl_over_tls() {
    let Some(kafka) = common::kafka().await else { return };
    for mechanism in [Mechanism::Plain, Mechanism::Scram256, Mechanism::Scram512] {
        let security = Security { tls: Some(tls(kafka)), sasl: Some(sasl(kafka, mechanism)) };
        works(kafka, &kafka.sasl_bootstrap, security).await;
    }
}

#[tokio::test]
async fn tls_with_and_without_a_client_certificate() {
    let Some(kafka) = common::kafka().await else { return };
    works(kafka, &kafka.tls_bootstrap, Security { tls: Some(tls(kafka)), sasl: None }).await;
    let identity = Identity {
        certificate: pem(&kafka.client_certificate),
        private_key: pem(&kafka.client_key),
        password: None,
    };
    let tls = Tls { identity: Some(identity), ..tls(kafka) };
    works(kafka, &kafka.tls_bootstrap, Security { tls: Some(tls), sasl: None }).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_tried_again() {
    let Some(kafka) = common::kafka().await else { return };
    for mechanism in [Mechanism::Plain, Mechanism::Scram512] {
        let (username, password) = (kafka.user.to_owned(), "s3cret-and-wrong".to_owned());
        let sasl = Sasl::Password { mechanism, username, password };
        let security = Security { tls: Some(tls(kafka)), sasl: Some(sasl) };
        let error = refused(kafka, &kafka.sasl_bootstrap, security, "kafka.authentication").await;
        assert!(matches!(error.kind(), Kind::Retry { .. }));
        assert!(error.to_string().starts_with("SASL authentication failed"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_told() {
    let Some(kafka) = common::kafka().await else { return };
    // The system's roots have never heard of the test's CA.
    let security = Security { tls: Some(Tls::default()), sasl: None };
    let error = refused(kafka, &kafka.tls_bootstrap, security, "kafka.server_certificate").await;
    assert!(error.to_string().starts_with("Lambda failed to authenticate server"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_none_stops() {
    let Some(kafka) = common::kafka().await else { return };
    let identity = Identity {
        certificate: pem(&kafka.client_certificate),
        private_key: "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n".to_owned(),
        password: None,
    };
    let tls = Tls { identity: Some(identity), ..tls(kafka) };
    let security = Security { tls: Some(tls), sasl: None };
    let error = refused(kafka, &kafka.tls_bootstrap, security, "kafka.certificate").await;
    assert_eq!(error.kind(), Kind::Stop);
    assert!(error.to_string().starts_with("Provided certificate or private key is invalid"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_told() {
    let Some(kafka) = common::kafka().await else { return };
    let error = refused(kafka, "127.0.0.1:1", Security::default(), "kafka.unreachable").await;
    assert!(matches!(error.kind(), Kind::Retry { .. }));
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let config = Security {
        tls: Some(Tls { ca: None, identity: None }),
        sasl: Some(Sasl::Password {
            mechanism: Mechanism::Plain,
            username: "u".to_owned(),
            password: "s3cret".to_owned(),
        }),
    };
    assert!(!format!("{config:?}").contains("s3cret"));
}
