//! OAUTHBEARER against a real broker, which looks at a token's end: tokens run out while records flow, the authorization
//! server goes away and comes back.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{PATIENCE, Scene, read_records, values};
use klr_contract::{Destination as _, Error, FailureRecord, Kind, Log};
use klr_kafka::{ClientCredentials, Config, Destination, Sasl, Security, Source, Tls, Tokens};
use klr_test_support::servers::Kafka;
use klr_test_support::sink::{Answer, Request, Sink};
use serde_json::json;
use tokio::time::timeout;

/// How long the tokens of these tests live. A loaded machine must get through a handshake in what is left of it.
const LIFE: u64 = 6;

/// An authorization server with a switch.
struct Authority {
    server: Sink,
    well: Arc<AtomicBool>,
    life: Arc<AtomicU64>,
}

impl Authority {
    fn start() -> Self {
        let (well, life) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(LIFE)));
        let (is_well, lives) = (Arc::clone(&well), Arc::clone(&life));
        let server = Sink::start(move |_| {
            if is_well.load(Ordering::Relaxed) {
                token(lives.load(Ordering::Relaxed))
            } else {
                Answer::status(401).body(r#"{"error":"invalid_client","error_description":"s3cret"}"#)
            }
        });
        Self { server, well, life }
    }

    fn tokens(&self) -> Tokens {
        let endpoint = format!("{}/oauth2/token?x=1", self.server.uri);
        let new = ClientCredentials::new(&endpoint, "klr:1".to_owned(), "p/w d".to_owned(), None).unwrap();
        Tokens::ClientCredentials(new.scope(Some("kafka read".to_owned())).audience(Some("a&b".to_owned())))
    }

    fn security(&self, kafka: &Kafka) -> Security {
        let ca = Some(std::fs::read_to_string(&kafka.ca).unwrap());
        Security { tls: Some(Tls { ca, identity: None }), sasl: Some(Sasl::Bearer(self.tokens())) }
    }

    fn config(&self, kafka: &Kafka, scene: &Scene) -> Config {
        let bootstrap = vec![kafka.sasl_bootstrap.clone()];
        Config { bootstrap, security: self.security(kafka), ..scene.config() }
    }
}

fn token(life: u64) -> Answer {
    Answer::json(json!({"access_token": jwt(life), "token_type": "Bearer", "expires_in": life}).to_string())
}

/// What Kafka's validator of unsecured tokens takes.
fn jwt(life: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(json!({"sub": "klr", "iat": now, "exp": now + life}));
    format!("{}.{claims}.", part(json!({"alg": "none"})))
}

/// The first error with this code.
async fn told(log: &Source, code: &str) -> Error {
    let heard = timeout(PATIENCE, async {
        loop {
            match log.next(1).await {
                Err(error) if error.code() == code => break error,
                Err(error) => println!("before: {error}"),
                Ok(arrivals) => assert!(arrivals.is_empty(), "{arrivals:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    heard.await.unwrap_or_else(|_| panic!("expected {code}"))
}

fn given_up(value: &str) -> FailureRecord {
    FailureRecord {
        json: json!({"version": "1.0"}).to_string().into(),
        payload: Some(json!({ "value": value }).to_string().into()),
        request_id: "r".to_owned(),
        mapping: "m".to_owned(),
        shard: "s".to_owned(),
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        key: None,
    }
}

fn expected_request(request: &Request) {
    let credentials = STANDARD.encode("klr%3A1:p%2Fw%20d");
    assert_eq!(request.header("authorization"), Some(format!("Basic {credentials}").as_str()));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.uri.path(), "/oauth2/token");
    let body = std::str::from_utf8(&request.body).unwrap();
    assert_eq!(body, "grant_type=client_credentials&scope=kafka%20read&audience=a%26b");
}

/// Consumer and producer, for some lives of a token.
#[tokio::test]
async fn tokens_are_renewed_while_records_flow() {
    let Some(kafka) = common::kafka().await else { return };
    let authority = Authority::start();
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let letters = Scene::new(&kafka.bootstrap, 1).await;
    let config = authority.config(kafka, &scene);
    let destination = Destination::open(&config, &letters.topic).unwrap();
    let log = Source::open(config).unwrap();
    for n in 0..LIFE * 3 {
        scene.send(0, &n.to_string()).await;
        let seen = read_records(&log, 1).await;
        assert_eq!(values(&seen), [n.to_string()]);
        log.checkpoint(&[common::through(&seen[0])]).await.unwrap();
        let failure = given_up(&n.to_string());
        // Asked again, as the engine does: on a busy machine a token this short may be over before the next is there.
        if destination.put(&failure).await.is_err() {
            destination.put(&failure).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    scene.expect_committed(&[(0, 3 * LIFE as i64)]).await;
    log.close().await.unwrap();
    drop((log, destination));
    let requests = authority.server.requests();
    requests.iter().for_each(expected_request);
    // Each of the two fetches one in half a life or somewhat more, and stops with its client.
    assert!((8..=40).contains(&requests.len()), "{} tokens", requests.len());
    tokio::time::sleep(Duration::from_secs(LIFE)).await;
    assert!(authority.server.count() <= requests.len() + 1, "the keeper ends with its client");
}

#[tokio::test]
async fn an_authority_that_is_down_is_waited_for() {
    let Some(kafka) = common::kafka().await else { return };
    let authority = Authority::start();
    authority.well.store(false, Ordering::Relaxed);
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send(0, "a").await;
    let log = Source::open(authority.config(kafka, &scene)).unwrap();
    let error = told(&log, "kafka.token").await;
    assert!(matches!(error.kind(), Kind::Retry { .. }));
    let text = error.to_string();
    assert!(text.contains("status 401 invalid_client") && text.contains("/oauth2/token,"), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("p/w d"), "{text}");
    authority.well.store(true, Ordering::Relaxed);
    assert_eq!(values(&read_records(&log, 1).await), ["a"]);
    // Down for longer than the last token lives: told, and over when it is back.
    authority.well.store(false, Ordering::Relaxed);
    let error = told(&log, "kafka.authentication").await;
    assert!(matches!(error.kind(), Kind::Retry { .. }));
    scene.send(0, "b").await;
    authority.well.store(true, Ordering::Relaxed);
    assert_eq!(values(&read_records(&log, 1).await), ["b"]);
    log.close().await.unwrap();
}

/// Good by our clock, but not by the broker's word.
#[tokio::test]
async fn a_token_the_broker_refuses_is_told() {
    let Some(kafka) = common::kafka().await else { return };
    let server = Sink::start(|_| Answer::json(r#"{"access_token":"s3cret","expires_in":60}"#));
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let authority = Authority::start();
    authority.life.store(60, Ordering::Relaxed);
    let new = ClientCredentials::new(&server.uri, "id".to_owned(), "x".to_owned(), None).unwrap();
    let sasl = Some(Sasl::Bearer(Tokens::ClientCredentials(new)));
    let security = Security { sasl, ..authority.security(kafka) };
    let log = Source::open(Config { security, ..authority.config(kafka, &scene) }).unwrap();
    let error = told(&log, "kafka.authentication").await;
    assert!(error.to_string().starts_with("SASL authentication failed"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    log.close().await.unwrap();
}

/// AWS as the authority: STS's GetWebIdentityToken, played by a script, since no emulator has it.
#[cfg(feature = "iam")]
#[tokio::test]
async fn aws_vouches_for_us() {
    let Some(kafka) = common::kafka().await else { return };
    let sts = Sink::start(|_| {
        let end = jiff::Timestamp::now() + Duration::from_secs(LIFE);
        let result =
            format!("<WebIdentityToken>{}</WebIdentityToken><Expiration>{end:.0}</Expiration>", jwt(LIFE));
        let answer = format!(
            "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetWebIdentityTokenResult>\
             {result}</GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"
        );
        Answer::status(200).header("content-type", "text/xml").body(answer)
    });
    let identity = klr_kafka::WebIdentity::new("eu-west-1", "kafka-cluster", Some(&sts.uri)).await;
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send(0, "a").await;
    let authority = Authority::start();
    let security =
        Security { sasl: Some(Sasl::Bearer(Tokens::WebIdentity(identity))), ..authority.security(kafka) };
    let log = Source::open(Config { security, ..authority.config(kafka, &scene) }).unwrap();
    assert_eq!(values(&read_records(&log, 1).await), ["a"]);
    tokio::time::sleep(Duration::from_secs(LIFE)).await;
    scene.send(0, "b").await;
    assert_eq!(values(&read_records(&log, 1).await), ["b"]);
    log.close().await.unwrap();
    let requests = sts.requests();
    assert!(requests.len() >= 2, "{}", requests.len());
    let body = std::str::from_utf8(&requests[0].body).unwrap();
    assert_eq!(
        body,
        "Action=GetWebIdentityToken&Version=2011-06-15&Audience.member.1=kafka-cluster&DurationSeconds=900&SigningAlgorithm=RS256"
    );
}
