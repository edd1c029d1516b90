//! What the Kinesis Producer Library packs into one record: magic, a Protobuf message, its MD5.

use md5::{Digest, Md5};
use prost::Message;

use crate::record::{Native, Part};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const MD5_LEN: usize = 16;

/// The message, as the library's documentation has it; its tags were never used.
#[derive(Clone, PartialEq, Message)]
struct Aggregate {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<User>,
}

#[derive(Clone, PartialEq, Message)]
struct User {
    #[prost(uint64, required, tag = "1")]
    partition_key: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key: Option<u64>,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

/// The hash keys a shard takes, both ends included.
pub(crate) type HashKeys = std::ops::RangeInclusive<u128>;

/// The user records of an aggregate that belong to the shard, after part `after` of it. A record that is no aggregate is
/// itself. None at all: all of them belong to others (they were packed before a split), and AWS drops them silently.
pub(crate) fn unpack(native: Native, shard: &HashKeys, after: Option<u32>) -> Vec<Native> {
    let Some(aggregate) = decode(&native.data) else { return vec![native] };
    let mut ours: Vec<Native> = (0..)
        .zip(aggregate.records)
        .filter_map(|(index, user)| {
            let key = aggregate.partition_keys.get(usize::try_from(user.partition_key).ok()?)?;
            let explicit =
                user.explicit_hash_key.map(|at| aggregate.explicit_hash_keys.get(usize::try_from(at).ok()?));
            let hash = match explicit {
                Some(text) => text?.parse().ok()?,
                None => u128::from_be_bytes(Md5::digest(key.as_bytes()).into()),
            };
            shard.contains(&hash).then(|| Native {
                part: Some(Part { index, last: false }),
                data: user.data,
                partition_key: key.clone(),
                sequence_number: native.sequence_number.clone(),
                ..native
            })
        })
        .collect();
    if let Some(Native { part: Some(part), .. }) = ours.last_mut() {
        part.last = true;
    }
    let later = |native: &Native| native.part.is_none_or(|part| after.is_none_or(|after| part.index > after));
    ours.retain(later);
    ours
}

/// Anything that only looks like an aggregate is somebody's data.
fn decode(data: &[u8]) -> Option<Aggregate> {
    let rest = data.strip_prefix(&MAGIC)?;
    let (message, sum) = rest.split_at_checked(rest.len().checked_sub(MD5_LEN)?)?;
    (Md5::digest(message).as_slice() == sum).then(|| Aggregate::decode(message).ok())?
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
