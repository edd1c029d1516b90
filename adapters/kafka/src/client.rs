//! What librdkafka is told.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::{Config, Sasl, Security};

/// librdkafka's default, spelled out because half of it bounds how long a rebalance may wait for the engine.
pub(crate) const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);

/// The consumer's options.
pub(crate) fn options(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.bootstrap.join(","))
        .set("group.id", &config.group)
        .set("client.id", "klr-bridge")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A position is ours to choose, never the library's.
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("max.poll.interval.ms", MAX_POLL_INTERVAL.as_millis().to_string())
        // The partitions of a bridge that crashed stand still for this long. Heartbeats come from a thread of the library's
        // own, which no slow function holds up. Kafka's default since 3.0, 45 s, forgives longer gaps of the network; the
        // 10 s from before it are chosen because a crash or a node that is gone is the likelier case here.
        .set("session.timeout.ms", "10000")
        // Tells how far transaction markers reach, and where an empty partition ends.
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("topic.metadata.refresh.interval.ms", "60000")
        .set("statistics.interval.ms", "2000")
        // Memory: what is prefetched, over all partitions, and what one answer may bring. A single record may be larger
        // than either; a broker always sends the first.
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.max.bytes", "8388608")
        // A full queue is looked at again after this; the default of a second would be most of the time when fast.
        .set("fetch.queue.backoff.ms", "5")
        // A broker that restarts is noticed within two seconds, not ten.
        .set("reconnect.backoff.max.ms", "2000");
    secure(&mut client, &config.security);
    client
}

/// The options of a producer on the same cluster, for what is given up.
pub(crate) fn producer(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.bootstrap.join(","))
        .set("client.id", "klr-bridge")
        // A message is sent when all replicas in sync have it.
        .set("acks", "all")
        // An outage is reported within this; the engine sends again.
        .set("message.timeout.ms", "30000")
        // The largest is refused by the broker, which looks at it compressed, and not here.
        .set("message.max.bytes", "20971520")
        .set("queue.buffering.max.kbytes", "65536")
        // Base64 is a quarter air. Every consumer reads gzip.
        .set("compression.type", "gzip")
        .set("reconnect.backoff.max.ms", "2000");
    secure(&mut client, &config.security);
    client
}

/// Everything about the connection; PEM stays in memory.
fn secure(client: &mut ClientConfig, security: &Security) {
    let protocol = match (&security.tls, &security.sasl) {
        (None, None) => "PLAINTEXT",
        (Some(_), None) => "SSL",
        (None, Some(_)) => "SASL_PLAINTEXT",
        (Some(_), Some(_)) => "SASL_SSL",
    };
    client.set("security.protocol", protocol);
    if let Some(tls) = &security.tls {
        if let Some(ca) = &tls.ca {
            client.set("ssl.ca.pem", ca);
        }
        if let Some(identity) = &tls.identity {
            client.set("ssl.certificate.pem", &identity.certificate);
            client.set("ssl.key.pem", &identity.private_key);
            if let Some(password) = &identity.password {
                client.set("ssl.key.password", password);
            }
        }
    }
    if let Some(sasl) = &security.sasl {
        client.set("sasl.mechanism", sasl.mechanism());
        // A token is asked for when it is needed.
        if let Sasl::Password { username, password, .. } = sasl {
            client.set("sasl.username", username);
            client.set("sasl.password", password);
        }
    }
}
