//! A line to a server that loses an answer, refuses a call, or is cut.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Debug)]
pub(super) struct Proxy {
    pub endpoint: String,
    line: Arc<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// The answer to the next request that contains these words is lost.
    lose: Mutex<Option<[&'static str; 2]>>,
    /// Calls of this operation are denied, as AWS denies them.
    deny: Mutex<Option<&'static str>>,
    cut: AtomicBool,
    requests: AtomicUsize,
}

impl Proxy {
    pub async fn before(endpoint: &str) -> Self {
        let server = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let line = Arc::new(Line::default());
        tokio::spawn({
            let line = Arc::clone(&line);
            async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let server = TcpStream::connect(&server).await.unwrap();
                    tokio::spawn(Arc::clone(&line).carry(client, server));
                }
            }
        });
        Self { endpoint, line }
    }

    pub fn lose(&self, operation: &'static str, word: &'static str) {
        *self.line.lose.lock().unwrap() = Some([operation, word]);
    }

    pub fn deny(&self, operation: &'static str) {
        *self.line.deny.lock().unwrap() = Some(operation);
    }

    /// Whether there is nothing left to lose.
    pub fn lost(&self) -> bool {
        self.line.lose.lock().unwrap().is_none()
    }

    pub fn cut(&self, cut: bool) {
        self.line.cut.store(cut, Ordering::SeqCst);
    }

    pub fn requests(&self) -> usize {
        self.line.requests.load(Ordering::SeqCst)
    }
}

impl Line {
    /// HTTP/1.1 without pipelining: one side speaks after the other. Small requests come in one or two reads.
    async fn carry(self: Arc<Self>, mut client: TcpStream, mut server: TcpStream) {
        let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut text = String::new();
        let mut lose = false;
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let Ok(read @ 1..) = read else { return };
                    if self.cut.load(Ordering::SeqCst) {
                        return;
                    }
                    let part = String::from_utf8_lossy(&request[..read]);
                    if part.starts_with("POST ") {
                        self.requests.fetch_add(1, Ordering::SeqCst);
                        text.clear();
                    }
                    text.push_str(&part);
                    if self.is_denied(&text) {
                        let _ = client.write_all(denial().as_bytes()).await;
                        return;
                    }
                    lose |= self.is_to_be_lost(&text);
                    if server.write_all(&request[..read]).await.is_err() {
                        return;
                    }
                }
                read = server.read(&mut answer) => {
                    let Ok(read @ 1..) = read else { return };
                    if lose || self.cut.load(Ordering::SeqCst) || client.write_all(&answer[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn is_denied(&self, request: &str) -> bool {
        self.deny.lock().unwrap().is_some_and(|operation| request.contains(operation))
    }

    /// Once.
    fn is_to_be_lost(&self, request: &str) -> bool {
        let mut words = self.lose.lock().unwrap();
        let found = words.is_some_and(|words| words.iter().all(|word| request.contains(word)));
        if found {
            *words = None;
        }
        found
    }
}

/// AWS's, to a caller without the permission.
fn denial() -> String {
    let body = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: arn:aws:iam::123456789012:user/u is not authorized"}"#;
    let length = body.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
