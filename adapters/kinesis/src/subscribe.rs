//! Enhanced fan-out: `SubscribeToShard`. Records are pushed for up to five minutes, then we subscribe again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    self, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream as Event,
};
use aws_smithy_types::event_stream::RawMessage;
use klr_aws::shards::{Answer, Failure, Listing, Pace, Reading, Service};
use klr_contract::{Arrival, Error, Mark, Position};
use tokio::time::{Instant, sleep_until};

use crate::aggregate::{HashKeys, unpack};
use crate::calls::{Calls, Place, listing};
use crate::poll::pass_over;
use crate::{Native, records};

/// Kinesis: who subscribes again sooner than this after a success is told that the resource is in use.
const AGAIN: Duration = Duration::from_secs(5);

/// Reads with the dedicated throughput of a consumer.
pub(crate) struct Subscribe {
    calls: Calls,
    /// Each shard's, as last listed: an aggregate may hold records of others.
    hash_keys: Mutex<HashMap<String, HashKeys>>,
}

/// A subscription, or where one is to begin.
pub(crate) enum Cursor {
    Begin(Box<Begin>),
    Open(Box<Open>),
}

#[derive(Clone)]
pub(crate) struct Begin {
    place: Place,
    /// The record at `place` was read already, and has to come first.
    read: bool,
    not_before: Option<Instant>,
}

pub(crate) struct Open {
    events: SubscribeToShardOutput,
    stands_on: Option<Box<str>>,
    part: Option<(Box<str>, u32)>,
    /// Where the next subscription begins. (Not where the service says: LocalStack's word is wrong.)
    next: Begin,
    caught_up: bool,
}

impl Subscribe {
    pub fn new(calls: Calls) -> Self {
        Self { calls, hash_keys: Mutex::default() }
    }

    fn hash_keys(&self, shard: &str) -> HashKeys {
        let known = self.hash_keys.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(shard).cloned().unwrap_or(0..=u128::MAX)
    }

    async fn open(&self, shard: &Reading, begin: Begin) -> Result<Open, Failure> {
        if let Some(instant) = begin.not_before {
            sleep_until(instant).await;
        }
        let Place { kind, sequence_number, moment, part } = begin.place.clone();
        let position = StartingPosition::builder()
            .r#type(kind)
            .set_sequence_number(sequence_number.clone())
            .set_timestamp(moment)
            .build()
            .map_err(|error| Error::stop("kinesis-subscribe", format!("no starting position: {error}")))?;
        let call = self
            .calls
            .client
            .subscribe_to_shard()
            .consumer_arn(self.calls.config.arn.to_string())
            .shard_id(&*shard.shard)
            .starting_position(position);
        let events = call.send().await.map_err(|error| match &error {
            // Another member has the shard's only subscription of this consumer, or we had it a moment ago.
            SdkError::ServiceError(refused) if refused.err().is_resource_in_use_exception() => {
                let text =
                    format!("{} of {} is subscribed to by another", shard.shard, self.calls.config.arn);
                Error::retry("kinesis-consumer-in-use", text).after(AGAIN).into()
            }
            SdkError::ServiceError(refused)
                if refused.err().is_invalid_argument_exception() && sequence_number.is_some() =>
            {
                Failure::Trimmed
            }
            _ => self.calls.failure("SubscribeToShard", &error),
        })?;
        let number: Option<Box<str>> = sequence_number.filter(|_| begin.read).map(Into::into);
        let since = Instant::now();
        Ok(Open {
            events,
            part: number.clone().zip(part),
            stands_on: number.filter(|_| part.is_none()),
            next: Begin { not_before: Some(since + AGAIN), ..begin },
            caught_up: false,
        })
    }

    fn cut_off(
        &self,
        shard: &Reading,
        error: &SdkError<SubscribeToShardEventStreamError, RawMessage>,
    ) -> Failure {
        match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("ResourceNotFoundException") => Failure::Gone(self.calls.not_found()),
            code => {
                let (arn, shard) = (&self.calls.config.arn, &shard.shard);
                let why = code.map_or_else(|| DisplayErrorContext(error).to_string(), str::to_owned);
                let text = format!("the subscription of {arn} to {shard} was cut off: {why}");
                Error::retry("kinesis-subscription", text).after(AGAIN).into()
            }
        }
    }

    /// A subscription is over. At the end of a closed shard AWS names its children first; a server that does not is asked
    /// by the other way of reading whether that was the end.
    async fn over(
        &self,
        shard: &Reading,
        open: Open,
        failure: Option<Failure>,
    ) -> Result<Answer<Cursor>, Failure> {
        let begin = open.next;
        let end = shard.closed && open.caught_up && self.is_end(shard, begin.place.clone()).await?;
        let next = (!end).then_some(Cursor::Begin(Box::new(begin)));
        match failure {
            Some(failure) if !end => Err(failure),
            _ => Ok(Answer { arrivals: vec![], bytes: 0, caught_up: open.caught_up, next }),
        }
    }

    async fn is_end(&self, shard: &Reading, place: Place) -> Result<bool, Failure> {
        let mut next = Some(self.calls.iterator(&shard.shard, place).await?);
        while let Some(iterator) = next {
            let answer = self.calls.records(iterator).await?;
            if !answer.records.is_empty() {
                return Ok(false);
            }
            next = answer.next_shard_iterator;
        }
        Ok(true)
    }

    fn answer(
        &self,
        shard: &Reading,
        mut open: Box<Open>,
        event: SubscribeToShardEvent,
    ) -> Result<Answer<Cursor>, Failure> {
        let mut natives: Vec<Native> = event.records.into_iter().map(Into::into).collect();
        let last = natives.last().map(|last| last.sequence_number.clone());
        open.stands_on = pass_over(&mut natives, open.stands_on.take())?;
        let after = open.part.take_if(|_| !natives.is_empty());
        if let Some((number, _)) = &after
            && natives.first().is_some_and(|first| *first.sequence_number != **number)
        {
            return Err(Failure::Trimmed);
        }
        open.caught_up = event.millis_behind_latest == 0;
        if let Some(number) = last {
            (open.next.place, open.next.read) = (Place::after(number), false);
        }
        let caught_up = open.caught_up;
        let children = event.child_shards.is_some_and(|children| !children.is_empty());
        Ok(Answer {
            arrivals: self.unpack(shard, natives, after.map(|(_, part)| part)),
            bytes: 0,
            next: (!children).then_some(Cursor::Open(open)),
            caught_up,
        })
    }

    /// The user records of a push, in order. Of an aggregate that is all others', the place is passed over.
    fn unpack(&self, shard: &Reading, natives: Vec<Native>, mut after: Option<u32>) -> Vec<Arrival> {
        let hash_keys = self.hash_keys(&shard.shard);
        let mut arrivals = Vec::with_capacity(natives.len());
        let mut ours = Vec::with_capacity(natives.len());
        for native in natives {
            let (number, at) = (native.sequence_number.clone(), native.arrival);
            let users = unpack(native, &hash_keys, after.take());
            if users.is_empty() {
                arrivals.extend(records(&self.calls.config, shard, &ours).into_iter().map(Arrival::Record));
                ours.clear();
                arrivals.push(Arrival::Passed(shard.partition, Position::Opaque(number.into()), Some(at)));
            }
            ours.extend(users);
        }
        arrivals.extend(records(&self.calls.config, shard, &ours).into_iter().map(Arrival::Record));
        arrivals
    }
}

#[async_trait]
impl Service for Subscribe {
    type Cursor = Cursor;

    fn pace(&self) -> Pace {
        // What is pushed is taken as it comes.
        Pace { idle: Duration::ZERO, busy: Duration::ZERO, bytes_per_second: None, quiet: 1 }
    }

    fn pushes(&self) -> bool {
        true
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let (identity, shards) = self.calls.list().await?;
        let hash_keys = shards.iter().filter_map(|shard| Some((shard.shard_id.clone(), hash_keys(shard)?)));
        *self.hash_keys.lock().unwrap_or_else(PoisonError::into_inner) = hash_keys.collect();
        Ok(listing(identity, &shards))
    }

    async fn seek(&self, _: &Reading, mark: &Mark) -> Result<Cursor, Failure> {
        let place = Place::of(mark);
        let read = place.sequence_number.is_some();
        Ok(Cursor::Begin(Box::new(Begin { place, read, not_before: None })))
    }

    async fn read(&self, shard: &Reading, cursor: Cursor) -> Result<Answer<Cursor>, Failure> {
        let mut open = match cursor {
            Cursor::Begin(begin) => Box::new(self.open(shard, *begin).await?),
            Cursor::Open(open) => open,
        };
        match open.events.event_stream.recv().await {
            Ok(Some(Event::SubscribeToShardEvent(event))) => self.answer(shard, open, event),
            Ok(Some(_)) => {
                Ok(Answer { arrivals: vec![], bytes: 0, caught_up: false, next: Some(Cursor::Open(open)) })
            }
            // The five minutes are over, or a server closed the connection.
            Ok(None) => self.over(shard, *open, None).await,
            Err(error) => {
                let failure = self.cut_off(shard, &error);
                self.over(shard, *open, Some(failure)).await
            }
        }
    }
}

fn hash_keys(shard: &types::Shard) -> Option<HashKeys> {
    let range = shard.hash_key_range.as_ref()?;
    Some(range.starting_hash_key.parse().ok()?..=range.ending_hash_key.parse().ok()?)
}
