//! What a mapping reads, and what follows for what it may be told and what is echoed without being told.

use uuid::Uuid;

use super::settings::{
    Destination, Destinations, FilterCriteria, Kafka, Metrics, Pollers, Scaling, Settings,
};
use crate::pattern;

/// Which of AWS's parameter tables applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sqs,
    Kinesis,
    DynamoDb,
    Msk,
    SelfManaged,
    Mq,
    DocumentDb,
}

impl Kind {
    /// `None`: AWS does not know such a source.
    pub fn of(settings: &Settings) -> Option<Self> {
        let Some(arn) = &settings.event_source_arn else {
            return settings.self_managed_event_source.as_ref().map(|_| Self::SelfManaged);
        };
        match arn.split(':').nth(2)? {
            "sqs" => Some(Self::Sqs),
            "kinesis" => Some(Self::Kinesis),
            "dynamodb" => Some(Self::DynamoDb),
            "kafka" => Some(Self::Msk),
            "mq" => Some(Self::Mq),
            "rds" => Some(Self::DocumentDb),
            _ => None,
        }
    }

    pub fn kafka(self) -> bool {
        matches!(self, Self::Msk | Self::SelfManaged)
    }

    pub fn stream(self) -> bool {
        matches!(self, Self::Kinesis | Self::DynamoDb)
    }

    /// What has an order, and so a place to begin at.
    pub fn log(self) -> bool {
        self.kafka() || self.stream() || self == Self::DocumentDb
    }

    /// AWS's poller for streams is older than the others', and words it otherwise.
    pub fn reason(self) -> &'static str {
        if self.stream() { "User action" } else { "USER_INITIATED" }
    }

    /// Where a filter's pattern finds its records' data. AWS: change events of DocumentDB are not filtered.
    pub fn pattern_source(self) -> Option<pattern::Source> {
        match self {
            Self::Sqs => Some(pattern::Source::Sqs),
            Self::Kinesis => Some(pattern::Source::Kinesis),
            Self::DynamoDb => Some(pattern::Source::DynamoDb),
            Self::Msk | Self::SelfManaged => Some(pattern::Source::Kafka),
            Self::Mq => Some(pattern::Source::Mq),
            Self::DocumentDb => None,
        }
    }

    /// Fills in what AWS answers unasked, and takes out what it does not: an empty text or an empty object says "none".
    pub fn settle(self, uuid: Uuid, settings: &mut Settings) {
        settings.batch_size.get_or_insert(if self == Self::Sqs { 10 } else { 100 });
        if self == Self::Sqs || self.stream() {
            // Where it is 500 ms until somebody says otherwise, AWS does not say so.
            settings.maximum_batching_window_in_seconds.get_or_insert(0);
            settings.function_response_types.get_or_insert_default();
        }
        if self.stream() {
            settings.bisect_batch_on_function_error.get_or_insert(false);
            settings.maximum_record_age_in_seconds.get_or_insert(-1);
            settings.maximum_retry_attempts.get_or_insert(-1);
            settings.parallelization_factor.get_or_insert(1);
            settings.tumbling_window_in_seconds.get_or_insert(0);
        }
        let group = match self {
            Self::Msk => Some(&mut settings.amazon_managed_kafka_event_source_config),
            Self::SelfManaged => Some(&mut settings.self_managed_kafka_event_source_config),
            _ => None,
        };
        if let Some(config) = group {
            let Kafka { consumer_group_id, .. } = config.get_or_insert_default();
            consumer_group_id.get_or_insert_with(|| uuid.to_string());
        }
        self.settle_destination(settings);
        let empty = |text: &mut String| text.is_empty();
        settings.kms_key_arn.take_if(empty);
        let none = |it: &mut FilterCriteria| it.filters.as_ref().is_none_or(Vec::is_empty);
        settings.filter_criteria.take_if(none);
        settings.scaling_config.take_if(|it| *it == Scaling::default());
        settings.metrics_config.take_if(|it| *it == Metrics::default());
        settings.provisioned_poller_config.take_if(|it| *it == Pollers::default());
        if let Some(pollers) = &mut settings.provisioned_poller_config {
            pollers.minimum_pollers.get_or_insert(if self == Self::Sqs { 2 } else { 1 });
            pollers.maximum_pollers.get_or_insert(200);
            pollers.poller_group_name.take_if(empty);
        }
    }

    /// A stream has the frame of a destination even without one.
    fn settle_destination(self, settings: &mut Settings) {
        let failure = settings.destination_config.take().and_then(|config| config.on_failure);
        let destination = failure.and_then(|to| to.destination).filter(|to| !to.is_empty());
        if destination.is_some() || self.stream() {
            let on_failure = Some(Destination { destination });
            settings.destination_config = Some(Destinations { on_success: None, on_failure });
        }
    }
}
