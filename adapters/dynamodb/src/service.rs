//! The calls of DynamoDB Streams.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types::{self, ShardIteratorType as Kind};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use klr_aws::failure;
use klr_aws::shards::{Answer, Failure, Listing, Pace, Reading, Service, Shard};
use klr_contract::{Arrival, Error, Mark};

use crate::{Config, Native, records};

/// DynamoDB: records in one answer.
const LIMIT: i32 = 1000;

/// The calls to a table's stream.
pub struct Stream {
    client: Client,
    config: Config,
    /// Whether we talk to some other server than AWS.
    elsewhere: bool,
}

/// An iterator, and the moment before which records are passed over where no iterator can find it.
pub struct Cursor {
    iterator: Box<str>,
    from: Option<Timestamp>,
}

impl Stream {
    /// Finds credentials; calls nothing yet.
    pub async fn new(config: Config) -> Self {
        let endpoint = config.endpoint.as_deref();
        let client = Client::new(&klr_aws::config(&config.arn.region, "DYNAMODB_STREAMS", endpoint).await);
        let elsewhere = klr_aws::elsewhere("DYNAMODB_STREAMS", endpoint);
        Self { client, config, elsewhere }
    }

    fn seek_call(&self, shard: &str, kind: Kind) -> GetShardIteratorFluentBuilder {
        let arn = self.config.arn.to_string();
        self.client.get_shard_iterator().stream_arn(arn).shard_id(shard).shard_iterator_type(kind)
    }

    async fn iterator(&self, call: GetShardIteratorFluentBuilder) -> Result<Box<str>, Failure> {
        let answer = call.send().await.map_err(|error| self.failure("GetShardIterator", &error))?;
        Ok(answer.shard_iterator.unwrap_or_default().into())
    }

    /// At a moment. The times of records are rounded down to the second, and so is the moment, lest one be left out.
    ///
    /// `AT_TIMESTAMP` is young: where it is refused (by an emulator, or for a clock that runs ahead) the shard is read from
    /// its beginning and what is older is passed over. DynamoDB Local rounds to the minute.
    async fn at(&self, shard: &str, moment: Timestamp) -> Result<Cursor, Failure> {
        let floor = |unit| {
            moment.round(TimestampRound::new().smallest(unit).mode(RoundMode::Floor)).unwrap_or(moment)
        };
        let second = floor(Unit::Second);
        if !self.elsewhere {
            let call = self.seek_call(shard, Kind::AtTimestamp);
            match call.timestamp(DateTime::from_secs(second.as_second())).send().await {
                Ok(answer) => {
                    return Ok(Cursor {
                        iterator: answer.shard_iterator.unwrap_or_default().into(),
                        from: None,
                    });
                }
                Err(error) if code(&error) == Some("ValidationException") => {}
                Err(error) => return Err(self.failure("GetShardIterator", &error)),
            }
        }
        let from = if self.elsewhere { floor(Unit::Minute) } else { second };
        let iterator = self.iterator(self.seek_call(shard, Kind::TrimHorizon)).await?;
        Ok(Cursor { iterator, from: Some(from) })
    }

    fn failure<E>(&self, operation: &str, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match code(error) {
            Some("ExpiredIteratorException") => Failure::Expired,
            Some("TrimmedDataAccessException") => Failure::Trimmed,
            Some("ResourceNotFoundException") => Failure::Gone(self.not_found()),
            _ => Failure::Failed(failure("DynamoDB Streams", operation, error)),
        }
    }

    /// AWS's words.
    fn not_found(&self) -> Error {
        let text = format!("Stream not found: {}", self.config.arn);
        Error::retry("dynamodb-no-stream", text).after(Duration::from_secs(10))
    }
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

#[async_trait]
impl Service for Stream {
    type Cursor = Cursor;

    fn pace(&self) -> Pace {
        // A shard that is open gives empty answers in between: one is no proof of its end.
        let quiet = if self.elsewhere { 1 } else { 4 };
        // Behind, a shard is asked up to 50 times a second: far more than a table can write, and a closed one is not hammered.
        let busy = Duration::from_millis(20);
        Pace { idle: Duration::from_millis(250), busy, bytes_per_second: None, quiet }
    }

    /// The label in the ARN is the stream's identity: one that is made again has another.
    async fn list(&self) -> Result<Listing, Failure> {
        let arn = self.config.arn.to_string();
        let mut shards: Vec<Shard> = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let call = self.client.describe_stream().stream_arn(&arn).set_exclusive_start_shard_id(last);
            let answer = call.send().await.map_err(|error| self.failure("DescribeStream", &error))?;
            let Some(page) = answer.stream_description else { return Err(Failure::Gone(self.not_found())) };
            shards.extend(page.shards.unwrap_or_default().into_iter().filter_map(shard));
            last = page.last_evaluated_shard_id;
            if last.is_none() {
                return Ok(Listing { identity: arn, shards });
            }
        }
    }

    /// Elsewhere a moment is known to the minute only: the end of the shard is better.
    async fn tip(&self, shard: &str) -> Result<Option<Cursor>, Failure> {
        if !self.elsewhere {
            return Ok(None);
        }
        let iterator = self.iterator(self.seek_call(shard, Kind::Latest)).await?;
        Ok(Some(Cursor { iterator, from: None }))
    }

    async fn seek(&self, shard: &Reading, mark: &Mark) -> Result<Cursor, Failure> {
        let call = match mark {
            Mark::Moment(moment) => return self.at(&shard.shard, *moment).await,
            Mark::After(number) => {
                self.seek_call(&shard.shard, Kind::AfterSequenceNumber).sequence_number(number)
            }
            Mark::Oldest | Mark::Ended => self.seek_call(&shard.shard, Kind::TrimHorizon),
        };
        Ok(Cursor { iterator: self.iterator(call).await?, from: None })
    }

    async fn read(&self, shard: &Reading, cursor: Cursor) -> Result<Answer<Cursor>, Failure> {
        let call = self.client.get_records().shard_iterator(cursor.iterator).limit(LIMIT);
        let answer = call.send().await.map_err(|error| self.failure("GetRecords", &error))?;
        let mut natives: Vec<Native> =
            answer.records.unwrap_or_default().into_iter().map(Into::into).collect();
        let bytes = natives.iter().filter_map(|native| native.dynamodb.size_bytes).sum::<i64>();
        let found = !natives.is_empty();
        let mut from = cursor.from;
        if let Some(moment) = from {
            let time = |native: &Native| native.dynamodb.approximate_creation_date_time;
            let older =
                natives.iter().take_while(|native| time(native).is_some_and(|time| time < moment)).count();
            natives.drain(..older);
            from = from.filter(|_| natives.is_empty());
        }
        Ok(Answer {
            arrivals: records(&self.config, shard, natives).into_iter().map(Arrival::Record).collect(),
            bytes: usize::try_from(bytes).unwrap_or(0),
            next: answer.next_shard_iterator.map(|iterator| Cursor { iterator: iterator.into(), from }),
            // A closed shard is read to its end without a pause: its children wait.
            caught_up: !found && !shard.closed,
        })
    }
}

fn shard(sdk: types::Shard) -> Option<Shard> {
    let ending = sdk.sequence_number_range.and_then(|range| range.ending_sequence_number);
    Some(Shard {
        name: sdk.shard_id?.into(),
        parents: sdk.parent_shard_id.into_iter().map(Into::into).collect(),
        closed: ending.is_some(),
    })
}
