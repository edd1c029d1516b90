//! The two dialects of SQS there are without AWS.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::server::Server;

/// ElasticMQ, without queues; account 000000000000, any keys. It forgets everything when stopped.
#[derive(Debug)]
pub struct ElasticMq {
    /// `http://host:port`.
    pub endpoint: String,
    server: Server,
}

/// moto: SQS and Secrets Manager among others; account 123456789012, any keys. It forgets everything when stopped.
#[derive(Debug)]
pub struct Moto {
    /// `http://host:port`.
    pub endpoint: String,
    server: Server,
}

impl ElasticMq {
    /// One for this test alone. `None`: no Java here.
    pub fn start() -> Option<Self> {
        Self::start_with_heap("128m")
    }

    /// One with this much Java heap (it keeps all messages there).
    pub fn start_with_heap(heap: &str) -> Option<Self> {
        let server =
            Server::start::<1>("elasticmq", HashMap::from([("EMQ_HEAP".to_owned(), heap.to_owned())]))?;
        Some(Self { endpoint: server.endpoint(), server })
    }

    /// The one all tests of this process share; give every test its own queues.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<ElasticMq>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A crash.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        self.server.start_again();
    }
}

impl Moto {
    /// One for this test alone. `None`: no Python here.
    pub fn start() -> Option<Self> {
        let server = Server::start::<1>("moto", HashMap::new())?;
        Some(Self { endpoint: server.endpoint(), server })
    }

    /// The one all tests of this process share; give every test its own queues and secrets.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Moto>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A crash.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        self.server.start_again();
    }
}
