//! The sink records, answers as told, and can be down.

#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use klr_test_support::sink::{Answer, Sink};

#[test]
fn it_records_and_answers_what_the_script_says() {
    let sink = Sink::start(|request| match request.index {
        0 => Answer::json(r#"{"ok":true}"#).header("x-test", "1"),
        1 => Answer::cut(),
        _ => Answer::status(503).after(Duration::from_millis(100)),
    });
    let first = post(&sink.uri, "one").unwrap();
    assert!(
        first.starts_with("HTTP/1.1 200") && first.contains("x-test: 1") && first.ends_with(r#"{"ok":true}"#)
    );
    assert_eq!(post(&sink.uri, "two").as_deref(), Some(""), "cut without a byte");
    assert!(post(&sink.uri, "three").unwrap().starts_with("HTTP/1.1 503"));
    assert!(sink.wait_for(3, Duration::from_secs(1)));
    assert!(!sink.wait_for(4, Duration::from_millis(10)));
    let requests = sink.requests();
    assert_eq!(requests[1].body, "two");
    assert_eq!(requests[1].header("ce-id"), Some("x"));
    assert_eq!(sink.most_in_flight(), 1);
}

#[test]
fn it_can_be_down_and_come_back() {
    let mut sink = Sink::forgetful(|_| Answer::status(200));
    assert!(post(&sink.uri, "a").is_some());
    sink.down();
    assert!(post(&sink.uri, "b").is_none(), "refused");
    sink.up();
    assert!(post(&sink.uri, "c").is_some());
    assert_eq!((sink.count(), sink.requests().len()), (2, 0));
}

fn post(uri: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(uri.strip_prefix("http://")?).ok()?;
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nce-id: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
