//! The servers start, answer, restart, and are gone with their owner.

#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use klr_test_support::servers::{ElasticMq, Kafka, Moto, Options, free_ports};
use klr_test_support::{eventually, python};

#[test]
fn kafka_listens_everywhere_and_restarts_on_the_same_ports() {
    let options = Options { properties: "num.partitions=7".to_owned(), ..Options::default() };
    let Some(mut kafka) = Kafka::start_with(options) else { return };
    for address in [&kafka.bootstrap, &kafka.sasl_bootstrap, &kafka.tls_bootstrap] {
        assert!(listens(address), "{address}");
    }
    for file in [&kafka.ca, &kafka.client_certificate, &kafka.client_key] {
        assert!(std::fs::read_to_string(file).unwrap().starts_with("-----BEGIN "), "{}", file.display());
    }
    kafka.kill();
    assert!(!listens(&kafka.bootstrap));
    kafka.start_again();
    assert!(listens(&kafka.bootstrap));
    let address = kafka.bootstrap.clone();
    drop(kafka);
    assert!(!listens(&address));
}

#[test]
fn elasticmq_answers_in_the_json_protocol() {
    let Some(server) = ElasticMq::shared() else { return };
    let answer = list_queues(&server.endpoint);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn moto_answers_in_the_json_protocol_also_after_a_restart() {
    let Some(mut server) = Moto::start() else { return };
    assert!(list_queues(&server.endpoint).starts_with("HTTP/1.1 200"));
    server.stop();
    server.start_again();
    assert!(list_queues(&server.endpoint).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_server_is_gone_when_its_lifeline_closes() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("moto");
    let [port] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let mut script = std::process::Command::new(klr_test_support::workspace().join("tests/servers/moto.sh"))
        .args([work.to_str().unwrap(), &port.to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    if !eventually(Duration::from_secs(60), || listens(&address)) {
        assert_eq!(script.wait().unwrap().code(), Some(3));
        return;
    }
    drop(script.stdin.take());
    assert!(eventually(Duration::from_secs(10), || !listens(&address)));
    script.wait().unwrap();
    assert!(!work.exists());
}

#[test]
fn python_has_its_packages() {
    let Some(venv) = python::venv(&["awslambdaric"]) else { return };
    let status =
        std::process::Command::new(venv.join("bin/python")).args(["-c", "import awslambdaric"]).status();
    assert!(status.unwrap().success());
}

fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

fn list_queues(endpoint: &str) -> String {
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "POST / HTTP/1.1\r\nHost: sqs.us-east-1.amazonaws.com\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n\
        Content-Type: application/x-amz-json-1.0\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
