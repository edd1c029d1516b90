//! What there is of Kinesis and DynamoDB Streams without AWS. All of them forget everything when stopped.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::server::Server;

/// A server that is started with nothing but its ports.
macro_rules! server {
    ($(#[doc = $doc:literal])+ $name:ident = $script:literal, $ports:literal ports, needs $needs:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub struct $name {
            /// `http://host:port`.
            pub endpoint: String,
            server: Server,
        }

        impl $name {
            #[doc = concat!("One for this test alone. `None`: no ", $needs, " here.")]
            pub fn start() -> Option<Self> {
                let server = Server::start::<$ports>($script, HashMap::new())?;
                Some(Self { endpoint: server.endpoint(), server })
            }

            /// The one all tests of this process share; give every test its own streams.
            pub fn shared() -> Option<&'static Self> {
                static SHARED: OnceLock<Option<$name>> = OnceLock::new();
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
    };
}

server! {
    /// kinesis-mock, without streams; account 000000000000, any keys, any region.
    KinesisMock = "kinesis-mock", 2 ports, needs "Node"
}

server! {
    /// DynamoDB Local with streams, without tables; account 000000000000, region `ddblocal` in its ARNs. It never splits a
    /// shard.
    DynamoDbLocal = "dynamodb-local", 1 ports, needs "Java"
}

server! {
    /// LocalStack: the only one that serves `SubscribeToShard`; account 000000000000.
    LocalStack = "localstack", 1 ports, needs "Python or Node"
}
