use http::header::CONTENT_TYPE;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{answer::posted, *};
use crate::{
    exchange::{
        Due,
        tests::{SECOND, exchange, flight},
    },
    pool::Pool,
    stream,
    threads::Threads,
};

#[test]
fn the_cause_is_taken_out_of_an_error_document_and_nothing_else_is_touched() {
    let mut headers = HeaderMap::new();
    let bytes = Bytes::from_static(br#"{"errorType":"E", "n":1.0,"errorCause":{"paths":[]}}"#);
    assert_eq!(posted(&headers, bytes.clone()), bytes);
    let kind = HeaderValue::from_static("application/vnd.aws.lambda.error.cause+json");
    headers.insert(CONTENT_TYPE, kind);
    assert_eq!(posted(&headers, bytes), r#"{"errorType":"E","n":1.0}"#);
}

#[test]
fn an_error_without_a_document_gets_one() {
    let mut headers = HeaderMap::new();
    headers.insert("lambda-runtime-function-error-type", HeaderValue::from_static("Runtime.Odd"));
    let told = posted(&headers, Bytes::new());
    assert!(told.starts_with(br#"{"errorType":"Runtime.Odd""#), "{told:?}");
}

/// The head of the next answer.
async fn head(client: &mut TcpStream) -> String {
    let mut read = String::new();
    while !read.contains("\r\n\r\n") {
        read.push(client.read_u8().await.unwrap().into());
    }
    read
}

#[tokio::test]
async fn a_stream_that_nobody_reads_until_its_deadline_is_no_reply() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let exchange = exchange(&pool, None);
    let thread = Threads::start(1).unwrap().least();
    let endpoint = Endpoint::bind(thread, Arc::clone(&exchange), false).unwrap();
    let (mut one, mut told) = flight("1");
    let (sender, _unread) = stream::channel();
    one.invocation.stream = Some(sender);
    pool.submit(one);
    let mut client = TcpStream::connect(endpoint.address).await.unwrap();
    client.write_all(format!("GET {INVOCATION}next HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200"));
    client.read_exact(&mut [0; 2]).await.unwrap();
    let reply = format!(
        "POST {INVOCATION}1/response HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
    );
    let (mut answers, mut calls) = client.into_split();
    let calling = tokio::spawn(async move {
        calls.write_all(reply.as_bytes()).await.unwrap();
        while calls.write_all(&[b' '; 4096]).await.is_ok() {}
    });
    let mut status = [0; 12];
    tokio::time::timeout(5 * SECOND, answers.read_exact(&mut status)).await.unwrap().unwrap();
    calling.abort();
    assert_eq!(&status, b"HTTP/1.1 410", "{}", String::from_utf8_lossy(&status));
    assert!(told.try_recv().is_err(), "who watches the process tells that it took too long");
    assert_eq!(exchange.overdue(tokio::time::Instant::now()), Due::Stuck);
}
