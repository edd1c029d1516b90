//! Events that come slowly: who sends one holds up nobody.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{BOOTSTRAP, bootstrap, code, event, header, provided, start};
use klr_host::{Host, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A caller that has sent so much of its event, of `all` bytes.
struct Slow {
    stream: TcpStream,
    rest: usize,
}

impl Slow {
    async fn sends(host: &Host, sent: usize, all: usize) -> Self {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\nce-specversion: 1.0\r\nce-id: 1\r\n\
             ce-source: /\r\nce-type: t\r\nconnection: close\r\ncontent-length: {all}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // White space before the event itself, which ends with its last byte.
        stream.write_all(" ".repeat(sent).as_bytes()).await.unwrap();
        Self { stream, rest: all - sent }
    }

    /// Sends the rest; the status it gets, and the answer.
    async fn ends(mut self) -> (u16, String) {
        let rest = " ".repeat(self.rest - 1) + "7";
        self.stream.write_all(rest.as_bytes()).await.unwrap();
        self.answer().await
    }

    async fn is_answered(&self) {
        self.stream.peek(&mut [0]).await.unwrap();
    }

    async fn answer(mut self) -> (u16, String) {
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }
}

#[tokio::test]
async fn senders_that_are_slow_take_no_place_from_the_others() {
    let (host, _code) = bootstrap().await;
    let mut slow = Vec::new();
    // More than there are places: one that runs and ten that wait.
    for _ in 0..30 {
        slow.push(Slow::sends(&host, 100, 1000).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..3 {
        assert_eq!(event(&host, "[1]").send().await.unwrap().status(), 200);
    }
    assert_eq!(host.metrics().throttles(), 0);
    // Nor are they turned away when they get done, in their turn.
    for slow in slow {
        let (status, answer) = slow.ends().await;
        assert!(status == 200 && answer.ends_with('7'), "{answer}");
    }
}

/// There is room for as much as the places could hold: one place, of six mebibytes.
#[tokio::test]
async fn what_has_come_of_unfinished_events_is_bounded() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { waiting: 0, ..provided(&code) }).await;
    let mebibyte = 1024 * 1024;
    let one = Slow::sends(&host, 4 * mebibyte, 5 * mebibyte).await;
    let other = Slow::sends(&host, 3 * mebibyte, 5 * mebibyte).await;
    // Who brings the seventh is turned away, and told when nothing more of it has come for a while. Which of the two it is
    // depends on whose bytes are read first.
    let (refused, kept) = tokio::select! {
        () = one.is_answered() => (one, other),
        () = other.is_answered() => (other, one),
    };
    let (status, answer) = refused.answer().await;
    assert!(status == 429 && answer.contains("retry-after: 1\r\n"), "{answer}");
    assert_eq!(host.metrics().throttles(), 1);
    // A small one needs none of it.
    let small = event(&host, "[1]").send().await.unwrap();
    assert_eq!((small.status().as_u16(), header(&small, "retry-after")), (200, None));
    assert_eq!(kept.ends().await.0, 200);
    // With who goes, goes what came of it, once that is seen.
    drop(Slow::sends(&host, 4 * mebibyte, 5 * mebibyte).await);
    let next = async || Slow::sends(&host, 4 * mebibyte, 5 * mebibyte).await.ends().await.0;
    let let_in = async { while next().await != 200 {} };
    tokio::time::timeout(Duration::from_secs(20), let_in).await.expect("there is room again");
}
