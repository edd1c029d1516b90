//! Shared throughput: `GetRecords`.

use std::time::Duration;

use async_trait::async_trait;
use klr_aws::shards::{Answer, Failure, Listing, Pace, Reading, Service};
use klr_contract::{Arrival, Mark};

use crate::calls::{Calls, Place, listing};
use crate::{Native, records};

/// Polls. Five calls and two megabytes a second are all a shard gives, to all who read it.
pub(crate) struct Poll(pub Calls);

/// An iterator, and the record that should come first because it was read already.
pub(crate) struct Cursor {
    iterator: Box<str>,
    stands_on: Option<Box<str>>,
}

#[async_trait]
impl Service for Poll {
    type Cursor = Cursor;

    fn pace(&self) -> Pace {
        Pace {
            idle: Duration::from_secs(1),
            busy: Duration::from_millis(200),
            bytes_per_second: Some(2 << 20),
            quiet: 1,
        }
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let (identity, shards) = self.0.list().await?;
        Ok(listing(identity, &shards))
    }

    async fn seek(&self, shard: &Reading, mark: &Mark) -> Result<Cursor, Failure> {
        let place = Place::of(mark);
        let (sequence_number, part) = (place.sequence_number.clone(), place.part);
        let iterator = self.0.iterator(&shard.shard, place).await?.into();
        // In the middle of an aggregate (the mapping was a consumer before) the whole comes again: it is not unpacked here.
        let stands_on = sequence_number.filter(|_| part.is_none()).map(Into::into);
        Ok(Cursor { iterator, stands_on })
    }

    async fn read(&self, shard: &Reading, cursor: Cursor) -> Result<Answer<Cursor>, Failure> {
        let answer = self.0.records(cursor.iterator).await?;
        let mut natives: Vec<Native> = answer.records.into_iter().map(Into::into).collect();
        let bytes = natives.iter().map(|native| native.data.len() + native.partition_key.len()).sum();
        let found = !natives.is_empty();
        let stands_on = pass_over(&mut natives, cursor.stands_on)?;
        Ok(Answer {
            arrivals: records(&self.0.config, shard, &natives).into_iter().map(Arrival::Record).collect(),
            bytes,
            next: answer.next_shard_iterator.map(|iterator| Cursor { iterator: iterator.into(), stands_on }),
            caught_up: answer.millis_behind_latest.map_or(!found, |behind| behind == 0),
        })
    }
}

/// Takes out the record that was read before; answers it if it has not come yet.
pub(crate) fn pass_over(
    natives: &mut Vec<Native>,
    stands_on: Option<Box<str>>,
) -> Result<Option<Box<str>>, Failure> {
    match (natives.first(), stands_on) {
        (Some(first), Some(number)) if *first.sequence_number == *number => {
            natives.remove(0);
            Ok(None)
        }
        (Some(_), Some(_)) => Err(Failure::Trimmed),
        (_, stands_on) => Ok(stands_on),
    }
}
