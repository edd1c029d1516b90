//! Mappings to on-failure destinations.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use klr_contract::{BatchInfo, Destination, Shape};

use crate::{
    config::{self, destination::Destination as To},
    deliver::{
        AckMode,
        cloudevent::Envelope,
        destination,
        failure::{Delivery, Exhausted, Form, Template},
        sink::{self, Sink},
    },
};

/// How long a sink may take over a failure record.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a mapping sends what it gives up, if anywhere.
pub(super) async fn open(
    mapping: &config::Mapping,
    shape: &Arc<dyn Shape>,
    info: Option<Arc<dyn BatchInfo>>,
    batches: &Envelope,
) -> anyhow::Result<Option<Arc<Delivery>>> {
    let (Some(to), Some(info)) = (&mapping.destination, info) else { return Ok(None) };
    let region = region().await;
    let source = Some(batches.source.as_str()).filter(|source| source.starts_with("arn:"));
    let template = Template {
        function_arn: config::function_arn(&mapping.function, source, &region),
        mapping: mapping.uuid,
        form: match to {
            To::Kafka(_) => Form::Each(Exhausted::default()),
            _ => Form::Batch,
        },
        shape: Arc::clone(shape),
        info,
    };
    let destination = reach(mapping, to, batches, &region).await.context("destinationConfig.onFailure")?;
    Ok(Some(Arc::new(Delivery { template, destination })))
}

/// Credentials and endpoints are the chain's: a mapping's own endpoint is its source's.
#[allow(unused_variables, reason = "what only one destination needs")]
async fn reach(
    mapping: &config::Mapping,
    to: &To,
    batches: &Envelope,
    region: &str,
) -> anyhow::Result<Arc<dyn Destination>> {
    Ok(match to {
        #[cfg(feature = "sqs")]
        To::Sqs(arn) => Arc::new(klr_sqs::Destination::open(&arn.parse()?, None).await),
        #[cfg(feature = "sns")]
        To::Sns(arn) => Arc::new(klr_sns::Destination::open(&arn.parse()?, None).await),
        #[cfg(feature = "s3-destination")]
        To::S3(bucket) => Arc::new(klr_s3::Destination::open(bucket, region, None).await),
        #[cfg(feature = "kafka")]
        To::Kafka(topic) => Arc::new(kafka(mapping, topic).await?),
        To::Sink(uri) => {
            let settings = sink::Settings {
                uri: uri.clone(),
                ack_mode: AckMode::Accepted,
                http2: false,
                ca_certs: None,
                audience: None,
                timeout: Some(TIMEOUT),
            };
            Arc::new(destination::Destination::new(Sink::new(settings)?, batches.clone(), TIMEOUT)?)
        }
        #[allow(unreachable_patterns, reason = "with every destination built in")]
        _ => anyhow::bail!("this klr was built without this kind of destination"),
    })
}

/// Where what no ARN names is.
async fn region() -> String {
    #[cfg(feature = "aws")]
    if let Some(region) = klr_aws::region().await {
        return region;
    }
    "us-east-1".to_owned()
}

#[cfg(feature = "kafka")]
#[allow(irrefutable_let_patterns, reason = "with Kafka alone there is nothing else")]
async fn kafka(mapping: &config::Mapping, topic: &str) -> anyhow::Result<klr_kafka::Destination> {
    let config::Source::Kafka { config, access, .. } = &mapping.source else {
        anyhow::bail!("kafka:// is a topic of the cluster that is read: only a Kafka mapping has one")
    };
    let config = klr_kafka::Config { security: config::resolve(access).await?, ..config.clone() };
    Ok(klr_kafka::Destination::open(&config, topic)?)
}
