//! The webhook over a real socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use klr_s3::{Config, Deliver, Event, LIMIT, Refusal, router};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Takes what comes, or says what it was told to say.
#[derive(Default)]
struct Sink {
    taken: Mutex<Vec<Event>>,
    refusal: Mutex<Option<Refusal>>,
}

#[async_trait]
impl Deliver for Sink {
    async fn deliver(&self, event: Event) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        self.taken.lock().unwrap().push(event);
        Ok(())
    }
}

struct Webhook {
    address: std::net::SocketAddr,
    sink: Arc<Sink>,
}

impl Webhook {
    async fn start(token: Option<&str>) -> Self {
        let sink = Arc::new(Sink::default());
        let config = Config { region: "us-east-1".to_owned(), ..Config::default() };
        let app = router(config, token.map(str::to_owned), sink.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, sink }
    }

    /// The whole answer, as text.
    async fn ask(&self, method: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} / HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has refused may close before it has read everything.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn post(&self, headers: &str, body: &str) -> u16 {
        status(&self.ask("POST", headers, body.as_bytes()).await)
    }

    fn keys(&self) -> Vec<String> {
        self.sink.taken.lock().unwrap().iter().map(|event| event.key.clone()).collect()
    }

    fn refuse(&self, refusal: Option<Refusal>) {
        *self.sink.refusal.lock().unwrap() = refusal;
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn notification(keys: &[&str]) -> String {
    let record = |key: &&str| {
        serde_json::json!({
            "eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": key } },
        })
    };
    serde_json::json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() }).to_string()
}

#[tokio::test]
async fn answers_once_the_sink_has_it() {
    let webhook = Webhook::start(None).await;
    assert_eq!(webhook.post("", &notification(&["a", "b"])).await, 200);
    assert_eq!(webhook.keys(), ["a", "b"]);

    webhook.refuse(Some(Refusal::Later(Some(Duration::from_millis(1500)))));
    let answer = webhook.ask("POST", "", notification(&["c"]).as_bytes()).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("retry-after: 2\r\n"), "{answer}");

    webhook.refuse(Some(Refusal::Never("the function does not want it".to_owned())));
    assert_eq!(webhook.post("", &notification(&["c"])).await, 422);
    webhook.refuse(None);
    assert_eq!(webhook.post("", &notification(&["c"])).await, 200);
    assert_eq!(webhook.keys(), ["a", "b", "c"]);
}

#[tokio::test]
async fn the_token_as_minio_sends_it() {
    let webhook = Webhook::start(Some("s3cret")).await;
    let body = notification(&["a"]);
    for (header, expected) in [
        ("", 401),
        ("authorization: Bearer s3cres\r\n", 401),
        ("authorization: Bearer s3cret2\r\n", 401),
        ("authorization: Bearer \r\n", 401),
        ("authorization: Basic s3cret\r\n", 401),
        ("authorization: Bearer s3cret\r\n", 200),
        ("authorization: bearer s3cret\r\n", 200),
        ("authorization: s3cret\r\n", 200),
    ] {
        assert_eq!(webhook.post(header, &body).await, expected, "{header}");
    }
    // Two words are sent as they were configured, whatever the first is.
    let webhook = Webhook::start(Some("Basic abc")).await;
    assert_eq!(webhook.post("authorization: Basic abc\r\n", &body).await, 200);
}

#[tokio::test]
async fn a_probe_needs_no_token_and_delivers_nothing() {
    let webhook = Webhook::start(Some("s3cret")).await;
    for method in ["HEAD", "GET"] {
        assert_eq!(status(&webhook.ask(method, "", b"").await), 200, "{method}");
    }
    assert_eq!(status(&webhook.ask("PUT", "", b"").await), 405);
    assert!(webhook.keys().is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let webhook = Webhook::start(None).await;
    for body in ["", "{", "null", "{}", r#"{"Records":[{}]}"#] {
        assert_eq!(webhook.post("", body).await, 400, "{body}");
    }
    assert_eq!(status(&webhook.ask("POST", "", &vec![b' '; LIMIT + 1]).await), 413);
    assert!(webhook.keys().is_empty());
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#;
    assert_eq!(webhook.post("", test).await, 200, "a test event is taken and goes nowhere");
}
