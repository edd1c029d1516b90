//! Mappings to sources.

use std::sync::Arc;

use klr_contract::{BatchInfo, Shape, Source};

use super::Wiring;
use crate::{config, deliver::cloudevent::Envelope, mapping::Lanes};

/// What failure records say of a source's records; queues have none.
type Info = Option<Arc<dyn BatchInfo>>;

/// What a mapping reads, and how its batches look and are called.
pub(super) struct Read {
    pub source: Source,
    pub shape: Arc<dyn Shape>,
    pub info: Info,
    pub envelope: Envelope,
}

impl Wiring {
    pub(super) async fn source(&self, mapping: &config::Mapping) -> anyhow::Result<Read> {
        match &mapping.source {
            #[cfg(feature = "sqs")]
            config::Source::Sqs(config) => {
                let envelope = Envelope::sqs(config.arn.clone(), config.name.clone());
                let queue = klr_sqs::Queue::open(config.clone()).await;
                let source = Source::Queue(Box::new(queue));
                Ok(Read { source, shape: Arc::new(klr_sqs::Shape), info: None, envelope })
            }
            #[cfg(feature = "kafka")]
            config::Source::Kafka { config, access, registry_access } => {
                let mut config = config.clone();
                config.security = config::resolve(access).await?;
                config.registry = config::resolve_registry(config.registry.as_ref(), registry_access).await?;
                config.drain_timeout = self.drain;
                config.once = self.once;
                let first = config.bootstrap.first().map_or("", String::as_str);
                let envelope = Envelope::kafka(config.arn.clone(), first, config.topic.clone());
                let shape = Arc::new(klr_kafka::Shape::new(&config));
                let info: Info = Some(Arc::new(klr_kafka::BatchInfo::new(&config)));
                let source = Source::Log(Box::new(klr_kafka::Source::open(config)?));
                Ok(Read { source, shape, info, envelope })
            }
            #[cfg(feature = "kinesis")]
            config::Source::Kinesis(config) => {
                let config = klr_kinesis::Config { once: self.once, ..config.clone() };
                let name = config.stream().to_owned();
                let envelope = Envelope::stream("kinesis", config.arn.to_string(), name);
                let info: Info = Some(Arc::new(config.batch_info()));
                let source = klr_kinesis::Source::open(config, self.state.store().await?).await;
                let source = Source::Log(Box::new(source));
                Ok(Read { source, shape: Arc::new(klr_kinesis::Shape), info, envelope })
            }
            #[cfg(feature = "dynamodb")]
            config::Source::DynamoDb(config) => {
                let config = klr_dynamodb::Config { once: self.once, ..config.clone() };
                let name = config.table().to_owned();
                let envelope = Envelope::stream("dynamodb", config.arn.to_string(), name);
                let info: Info = Some(Arc::new(config.batch_info()));
                let source = klr_dynamodb::Source::open(config, self.state.store().await?).await;
                let source = Source::Log(Box::new(source));
                Ok(Read { source, shape: Arc::new(klr_dynamodb::Shape), info, envelope })
            }
            #[cfg(not(any(feature = "sqs", feature = "kafka", feature = "kinesis", feature = "dynamodb")))]
            _ => anyhow::bail!("this klr was built without any source"),
        }
    }
}

/// The unit of order of a mapping's source.
pub(super) fn lanes(mapping: &config::Mapping) -> Lanes {
    match &mapping.source {
        #[cfg(feature = "kinesis")]
        config::Source::Kinesis(_) => keys(mapping),
        #[cfg(feature = "dynamodb")]
        config::Source::DynamoDb(_) => keys(mapping),
        #[allow(unreachable_patterns, reason = "with streams alone there is nothing else")]
        _ => Lanes::Partitions,
    }
}

#[cfg(any(feature = "kinesis", feature = "dynamodb"))]
fn keys(mapping: &config::Mapping) -> Lanes {
    let (parallel, tumbling) = (mapping.parallelization_factor, mapping.tumbling);
    if parallel > 1 && tumbling.is_some() {
        tracing::warn!(
            mapping = mapping.name,
            "a tumbling window's state is per shard: each shard is read in one lane, whatever parallelizationFactor says"
        );
    }
    Lanes::Keys { parallel, tumbling }
}
