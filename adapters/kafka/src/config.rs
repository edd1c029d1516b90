//! What a mapping says about its topic.

use std::time::Duration;

use jiff::Timestamp;

/// A topic to read as a member of a consumer group. Valid by construction: the root's `config` checks what a user wrote.
#[derive(Debug, Clone)]
pub struct Config {
    /// `host:port` of the bootstrap servers; joined with `,` they stand in every event as `bootstrapServers`.
    pub bootstrap: Vec<String>,
    /// The one topic.
    pub topic: String,
    /// The consumer group: the mapping's own UUID unless set.
    pub group: String,
    /// Where a group without committed offsets begins.
    pub start: Start,
    /// The MSK cluster's ARN: the event then has `eventSource` `aws:kafka` and `eventSourceArn`; without it
    /// `SelfManagedKafka` and no ARN.
    pub arn: Option<String>,
    /// How to connect.
    pub security: Security,
    /// The longest a rebalance callback waits for the engine to drain (bounded again by half of `max.poll.interval.ms`).
    pub drain_timeout: Duration,
    /// Finish each partition with `Ended` at the end it had when it was first gained (`klr run --once`).
    pub once: bool,
}

/// Where a group without committed offsets begins. A partition that appears later starts at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record.
    TrimHorizon,
    /// After the newest record, as of the mapping's first start.
    Latest,
    /// At the first record with this time or a later one.
    AtTimestamp(Timestamp),
}

/// How to connect. The default is PLAINTEXT.
#[derive(Clone, Default)]
pub struct Security {
    /// TLS, if any.
    pub tls: Option<Tls>,
    /// SASL, if any; with `tls` unset SASL_PLAINTEXT, which AWS does not have.
    pub sasl: Option<Sasl>,
}

/// TLS settings; everything is PEM text.
#[derive(Clone, Default)]
pub struct Tls {
    /// Root certificates to trust instead of the system's.
    pub ca: Option<String>,
    /// Client certificate chain and PKCS#8 key, for mTLS.
    pub identity: Option<Identity>,
}

/// A client certificate.
#[derive(Clone)]
pub struct Identity {
    /// PEM chain.
    pub certificate: String,
    /// PEM PKCS#8 key.
    pub private_key: String,
    /// Its password, when it is encrypted.
    pub password: Option<String>,
}

/// SASL credentials.
#[derive(Clone)]
pub struct Sasl {
    /// Which exchange.
    pub mechanism: Mechanism,
    /// Username.
    pub username: String,
    /// Password.
    pub password: String,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN (`BASIC_AUTH`).
    Plain,
    /// SCRAM-SHA-256.
    Scram256,
    /// SCRAM-SHA-512.
    Scram512,
}

// Secrets are never printed.
impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security")
            .field("tls", &self.tls.is_some())
            .field("mtls", &self.tls.as_ref().is_some_and(|t| t.identity.is_some()))
            .field("sasl", &self.sasl.as_ref().map(|s| s.mechanism))
            .finish()
    }
}
