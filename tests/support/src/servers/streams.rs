//! What there is of Kinesis and DynamoDB Streams without AWS.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::server::Server;

/// kinesis-mock, without streams; account 000000000000, any keys, any region. It forgets everything when stopped.
#[derive(Debug)]
pub struct KinesisMock {
    /// `http://host:port`.
    pub endpoint: String,
    server: Server,
}

impl KinesisMock {
    /// One for this test alone. `None`: no Node here.
    pub fn start() -> Option<Self> {
        let server = Server::start::<2>("kinesis-mock", HashMap::new())?;
        Some(Self { endpoint: server.endpoint(), server })
    }

    /// The one all tests of this process share; give every test its own streams.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<KinesisMock>> = OnceLock::new();
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

/// DynamoDB Local with streams, without tables; account 000000000000, region `ddblocal` in its ARNs. It never splits a shard, and
/// forgets everything when stopped.
#[derive(Debug)]
pub struct DynamoDbLocal {
    /// `http://host:port`.
    pub endpoint: String,
    server: Server,
}

impl DynamoDbLocal {
    /// One for this test alone. `None`: no Java here.
    pub fn start() -> Option<Self> {
        let server = Server::start::<1>("dynamodb-local", HashMap::new())?;
        Some(Self { endpoint: server.endpoint(), server })
    }

    /// The one all tests of this process share; give every test its own streams.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<DynamoDbLocal>> = OnceLock::new();
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

/// LocalStack: the only one that serves `SubscribeToShard`; account 000000000000. It forgets everything when stopped.
#[derive(Debug)]
pub struct LocalStack {
    /// `http://host:port`.
    pub endpoint: String,
    server: Server,
}

impl LocalStack {
    /// One for this test alone. `None`: no Python or Node here.
    pub fn start() -> Option<Self> {
        let server = Server::start::<1>("localstack", HashMap::new())?;
        Some(Self { endpoint: server.endpoint(), server })
    }

    /// The one all tests of this process share; give every test its own streams.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<LocalStack>> = OnceLock::new();
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
