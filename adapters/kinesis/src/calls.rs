//! The calls both ways of reading share.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType, StreamStatus};
use jiff::Timestamp;
use klr_aws::failure;
use klr_aws::shards::{Failure, Listing, Shard};
use klr_contract::{Error, Mark};

use crate::Config;

/// The code of a stream that is not ready yet.
pub(crate) const CREATING: &str = "kinesis-creating";
/// Kinesis: records in one answer.
const LIMIT: i32 = 10_000;

pub(crate) struct Calls {
    pub client: Client,
    pub config: Config,
    /// Whether we talk to some other server than AWS.
    elsewhere: bool,
}

impl Calls {
    /// Finds credentials; calls nothing yet.
    pub async fn new(config: Config) -> Self {
        let endpoint = config.endpoint.as_deref();
        let client = Client::new(&klr_aws::config(&config.arn.region, "KINESIS", endpoint).await);
        let elsewhere = klr_aws::elsewhere("KINESIS", endpoint);
        Self { client, config, elsewhere }
    }

    /// How the stream is named: its ARN (which may be another account's), or, to a server with one account of its own, its
    /// name.
    pub fn stream(&self) -> (Option<String>, Option<String>) {
        match self.elsewhere {
            true => (None, Some(self.config.stream().to_owned())),
            false => (Some(self.config.stream_arn()), None),
        }
    }

    /// The stream's shards as they are listed, and its identity: the time it was made.
    pub async fn list(&self) -> Result<(String, Vec<types::Shard>), Failure> {
        let (arn, name) = self.stream();
        let call =
            self.client.describe_stream_summary().set_stream_arn(arn.clone()).set_stream_name(name.clone());
        let answer = call.send().await.map_err(|error| self.failure("DescribeStreamSummary", &error))?;
        let summary = answer.stream_description_summary;
        let status = summary.as_ref().map(|summary| &summary.stream_status);
        let Some(summary) = summary.as_ref().filter(|_| status != Some(&StreamStatus::Deleting)) else {
            return Err(Failure::Gone(self.not_found()));
        };
        if status == Some(&StreamStatus::Creating) {
            let text = format!("{} is still being created", self.config.stream_arn());
            return Err(Error::retry(CREATING, text).into());
        }
        let made = summary.stream_creation_timestamp.to_millis().unwrap_or_default();
        let identity = format!("{}@{made}", self.config.stream());
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        loop {
            // A token names the stream, and the API refuses both.
            let call = self.client.list_shards();
            let call = match token {
                Some(token) => call.next_token(token),
                None => call.set_stream_arn(arn.clone()).set_stream_name(name.clone()),
            };
            let answer = call.send().await.map_err(|error| self.failure("ListShards", &error))?;
            shards.extend(answer.shards.unwrap_or_default());
            token = answer.next_token;
            if token.is_none() {
                return Ok((identity, shards));
            }
        }
    }

    /// An iterator for shared throughput.
    pub async fn iterator(&self, shard: &str, place: Place) -> Result<String, Failure> {
        let (arn, name) = self.stream();
        let numbered = place.sequence_number.is_some();
        let call = self
            .client
            .get_shard_iterator()
            .set_stream_arn(arn)
            .set_stream_name(name)
            .shard_id(shard)
            .shard_iterator_type(place.kind)
            .set_starting_sequence_number(place.sequence_number)
            .set_timestamp(place.moment);
        let answer = call.send().await.map_err(|error| {
            let refused = error.as_service_error().is_some_and(|error| error.is_invalid_argument_exception());
            // A number this stream never gave, or gives no more.
            if refused && numbered {
                return Failure::Trimmed;
            }
            self.failure("GetShardIterator", &error)
        })?;
        Ok(answer.shard_iterator.unwrap_or_default())
    }

    /// One answer of shared throughput.
    pub async fn records(&self, iterator: impl Into<String>) -> Result<GetRecordsOutput, Failure> {
        let call = self.client.get_records().shard_iterator(iterator).limit(LIMIT);
        let call = call.set_stream_arn(self.stream().0);
        call.send().await.map_err(|error| self.failure("GetRecords", &error))
    }

    /// What a failed call means to the reader.
    pub fn failure<E>(&self, operation: &str, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("ExpiredIteratorException") => Failure::Expired,
            Some("ResourceNotFoundException") => Failure::Gone(self.not_found()),
            _ => Failure::Failed(failure("Kinesis", operation, error)),
        }
    }

    /// AWS's words.
    pub fn not_found(&self) -> Error {
        let text = format!("Stream not found: {}", self.config.stream_arn());
        Error::retry("kinesis-no-stream", text).after(std::time::Duration::from_secs(10))
    }
}

pub(crate) fn listing(identity: String, shards: &[types::Shard]) -> Listing {
    let shard = |shard: &types::Shard| Shard {
        name: shard.shard_id.as_str().into(),
        parents: [&shard.parent_shard_id, &shard.adjacent_parent_shard_id]
            .into_iter()
            .filter_map(|parent| parent.as_deref().map(Into::into))
            .collect(),
        closed: is_closed(shard),
    };
    Listing { identity, shards: shards.iter().map(shard).collect() }
}

/// Only a closed shard has an end.
fn is_closed(shard: &types::Shard) -> bool {
    shard.sequence_number_range.as_ref().is_some_and(|range| range.ending_sequence_number.is_some())
}

/// A mark in the service's words: a kind of position, a sequence number, a moment.
#[derive(Clone)]
pub(crate) struct Place {
    pub kind: ShardIteratorType,
    pub sequence_number: Option<String>,
    pub moment: Option<DateTime>,
    /// Which part of an aggregate was handed over last.
    pub part: Option<u32>,
}

impl Place {
    /// `AFTER_SEQUENCE_NUMBER` says nothing if the record is gone: Kinesis then gives the oldest there is. So reading
    /// begins *at* the record that was done, and if that does not come first, the position is lost.
    pub fn of(mark: &Mark) -> Self {
        let place = |kind| Self { kind, sequence_number: None, moment: None, part: None };
        match mark {
            Mark::Oldest | Mark::Ended => place(ShardIteratorType::TrimHorizon),
            Mark::Moment(moment) => {
                Self { moment: Some(date(*moment)), ..place(ShardIteratorType::AtTimestamp) }
            }
            Mark::After(text) => {
                let (number, part) = match text.split_once(':') {
                    Some((number, part)) => (number, part.parse().ok()),
                    None => (text.as_str(), None),
                };
                let at = place(ShardIteratorType::AtSequenceNumber);
                Self { sequence_number: Some(number.to_owned()), part, ..at }
            }
        }
    }
}

impl Place {
    /// After a record that has come already: whether it is still there does not matter.
    pub fn after(number: impl Into<String>) -> Self {
        let kind = ShardIteratorType::AfterSequenceNumber;
        Self { kind, sequence_number: Some(number.into()), moment: None, part: None }
    }
}

fn date(moment: Timestamp) -> DateTime {
    DateTime::from_millis(moment.as_millisecond())
}
