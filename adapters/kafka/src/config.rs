//! What a mapping says about its topic.

use std::time::Duration;

use jiff::Timestamp;

use crate::Tokens;

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
    /// What decodes keys and values, if anything.
    pub registry: Option<Registry>,
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

/// A schema registry that speaks Confluent's API, and what it decodes.
#[derive(Clone)]
pub struct Registry {
    /// Its URL, with a path if its API is below one.
    pub url: String,
    /// What functions get.
    pub format: EventRecordFormat,
    /// Whether keys are decoded.
    pub key: bool,
    /// Whether values are.
    pub value: bool,
    /// Name and password for it, if it asks.
    pub user: Option<(String, String)>,
    /// Whom to trust beside the system's roots, and who we are.
    pub tls: Tls,
}

/// What a function gets of what was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRecordFormat {
    /// JSON, whatever it was.
    Json,
    /// The bytes behind the header.
    Source,
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
pub enum Sasl {
    /// A name and a password.
    Password {
        /// Which exchange.
        mechanism: Mechanism,
        /// Username.
        username: String,
        /// Password.
        password: String,
    },
    /// OAUTHBEARER: a token, renewed before it ends.
    Bearer(Tokens),
}

impl Sasl {
    /// As the protocol names it.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Password { mechanism: Mechanism::Plain, .. } => "PLAIN",
            Self::Password { mechanism: Mechanism::Scram256, .. } => "SCRAM-SHA-256",
            Self::Password { mechanism: Mechanism::Scram512, .. } => "SCRAM-SHA-512",
            Self::Bearer(_) => "OAUTHBEARER",
        }
    }
}

/// A SASL mechanism with a password.
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
impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("url", &self.url)
            .field("format", &self.format)
            .field("key", &self.key)
            .field("value", &self.value)
            .field("user", &self.user.is_some())
            .field("mtls", &self.tls.identity.is_some())
            .finish()
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security")
            .field("tls", &self.tls.is_some())
            .field("mtls", &self.tls.as_ref().is_some_and(|t| t.identity.is_some()))
            .field("sasl", &self.sasl.as_ref().map(Sasl::mechanism))
            .finish()
    }
}
