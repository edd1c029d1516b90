//! librdkafka's errors in the contract's two kinds, with the words AWS uses where it has some (spec/esm.md §6).

use klr_contract::Error;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What the cluster or the network did. `reason` is librdkafka's own text; it names brokers, never secrets or payloads.
/// `None`: nothing a person needs to hear (one connection of several went away, and will be opened again).
pub(crate) fn classify(error: &KafkaError, reason: &str) -> Option<Error> {
    let Some(code) = error.rdkafka_error_code() else {
        return Some(Error::retry("kafka.error", format!("kafka: {error}")));
    };
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Some(Error::stop("kafka.fatal", format!("the kafka client gave up: {code}: {reason}")));
    }
    let reason = if reason.is_empty() { code.to_string() } else { reason.to_owned() };
    Some(match code {
        Code::PartitionEOF | Code::BrokerTransportFailure | Code::OperationTimedOut => return None,
        Code::Authentication | Code::SaslAuthenticationFailed => Error::retry(
            "kafka.authentication",
            format!("SASL authentication failed: check mechanism and credentials: {reason}"),
        ),
        Code::SSL => tls(&reason),
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => Error::retry(
            "kafka.authorization",
            format!(
                "Cluster failed to authorize Lambda: allow Read and Describe on the topic and Read on the \
                     consumer group: {reason}"
            ),
        ),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Error::retry("kafka.topic", format!("the topic is not there: {reason}"))
        }
        Code::AllBrokersDown | Code::Resolve => unreachable(&reason),
        _ => Error::retry("kafka.error", format!("kafka: {code}: {reason}")),
    })
}

/// There is no token to show.
pub(crate) fn token(why: &str) -> Error {
    Error::retry("kafka.token", format!("SASL authentication failed: {why}"))
}

/// A schema cannot be had just now.
#[cfg(feature = "registry")]
pub(crate) fn registry(why: &crate::registry::Error, id: u32) -> Error {
    Error::retry("kafka.registry", format!("schema {id} is waited for, and records with it: {why}"))
}

/// No schema will ever be had.
pub(crate) fn no_registry(why: impl std::fmt::Display) -> Error {
    Error::stop("kafka.configuration", why.to_string())
}

/// The code of [`unreachable`].
pub(crate) const UNREACHABLE: &str = "kafka.unreachable";

/// Nobody answers.
pub(crate) fn unreachable(reason: &str) -> Error {
    Error::retry(UNREACHABLE, format!("no broker answers: check the bootstrap servers: {reason}"))
}

/// Who refused whom can be told only from OpenSSL's text.
fn tls(reason: &str) -> Error {
    if reason.contains("verify failed") || reason.contains("CERTIFICATE_VERIFY_FAILED") {
        let hint = "Lambda failed to authenticate server: its certificate is not signed by a trusted CA or not for this \
                    name";
        return Error::retry("kafka.server_certificate", format!("{hint}: {reason}"));
    }
    if reason.contains("alert") {
        let hint = "Server failed to authenticate Lambda: it refused the client certificate or wants one";
        return Error::retry("kafka.client_certificate", format!("{hint}: {reason}"));
    }
    Error::retry("kafka.tls", format!("the TLS handshake failed: {reason}"))
}

/// The client could not be made: nothing but another configuration helps.
pub(crate) fn configuration(error: &KafkaError) -> Error {
    let pem = |text: &str| {
        ["ssl.key", "ssl.certificate", "private key", "certificate"].iter().any(|t| text.contains(t))
    };
    match error {
        // Its own text would repeat the value, which may be a secret.
        KafkaError::ClientConfig(_, _, option, _) => Error::stop(
            "kafka.configuration",
            format!("the kafka client refused the value of its option {option}"),
        ),
        KafkaError::ClientCreation(reason) if pem(reason) => Error::stop(
            "kafka.certificate",
            format!(
                "Provided certificate or private key is invalid: expected PEM, the key in PKCS#8: {reason}"
            ),
        ),
        other => {
            Error::stop("kafka.configuration", format!("the kafka client refused its configuration: {other}"))
        }
    }
}

/// Whether a refused commit may succeed later. Everything that has to do with who is in the group just now may: the
/// rebalance under way will say who owns what.
pub(crate) fn commit_is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::InvalidCommitOffsetSize
                | Code::OffsetMetadataTooLarge
                | Code::Fatal
        )
    )
}

/// A commit that will not succeed.
pub(crate) fn commit(error: &KafkaError, topic: &str) -> Error {
    classify(error, "")
        .unwrap_or_else(|| Error::retry("kafka.commit", format!("commit on topic {topic}: {error}")))
}
