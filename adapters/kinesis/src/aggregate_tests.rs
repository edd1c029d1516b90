//! Aggregates, packed as the library does.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const ALL: HashKeys = 0..=u128::MAX;

/// Each: its key, an explicit hash key, its data.
fn pack(users: &[(&str, Option<u128>, &[u8])]) -> Native {
    let aggregate = Aggregate {
        partition_keys: users.iter().map(|(key, ..)| (*key).to_owned()).collect(),
        explicit_hash_keys: users
            .iter()
            .filter_map(|(_, hash, _)| hash.map(|hash| hash.to_string()))
            .collect(),
        records: (0..)
            .zip(users)
            .scan(0, |explicit, (index, (_, hash, data))| {
                let explicit_hash_key = hash.map(|_| std::mem::replace(explicit, *explicit + 1));
                Some(User { partition_key: index, explicit_hash_key, data: data.to_vec() })
            })
            .collect(),
    };
    let message = aggregate.encode_to_vec();
    let data = [&MAGIC[..], &message, &Md5::digest(&message)].concat();
    native(data)
}

fn native(data: Vec<u8>) -> Native {
    Native {
        sequence_number: "495".to_owned(),
        part: None,
        arrival: Timestamp::UNIX_EPOCH,
        data,
        partition_key: "a".to_owned(),
        encrypted: false,
    }
}

fn keys(natives: &[Native]) -> Vec<&str> {
    natives.iter().map(|native| native.partition_key.as_str()).collect()
}

#[test]
fn user_records_come_out_in_order() {
    let out = unpack(pack(&[("k1", None, b"one"), ("k2", Some(5), b"two"), ("k3", None, b"")]), &ALL, None);
    assert_eq!(keys(&out), ["k1", "k2", "k3"]);
    assert_eq!(out[1].data, b"two");
    assert!(out.iter().all(|native| native.sequence_number == "495"));
    let parts: Vec<_> = out.iter().map(|native| native.part.unwrap()).collect();
    assert_eq!(parts[2], Part { index: 2, last: true });
    assert!(!parts[1].last);
}

#[test]
fn records_of_other_shards_are_dropped() {
    // MD5 of "k1" as a number decides where it belongs.
    let hash = u128::from_be_bytes(Md5::digest(b"k1").into());
    let packed = pack(&[("k1", None, b"one"), ("k2", Some(7), b"two")]);
    assert_eq!(keys(&unpack(packed.clone(), &(hash..=hash), None)), ["k1"]);
    assert_eq!(keys(&unpack(packed.clone(), &(0..=7), None)), ["k2"]);
    assert!(unpack(packed, &(8..=8), None).is_empty());
}

#[test]
fn a_restart_goes_on_within_an_aggregate() {
    let packed = pack(&[("k1", None, b"1"), ("k2", None, b"2"), ("k3", None, b"3")]);
    assert_eq!(keys(&unpack(packed.clone(), &ALL, Some(0))), ["k2", "k3"]);
    assert!(unpack(packed, &ALL, Some(2)).is_empty());
}

#[test]
fn what_only_looks_like_one_is_left_alone() {
    let whole = pack(&[("k", None, b"d")]);
    let mut wrong_sum = whole.clone();
    *wrong_sum.data.last_mut().unwrap() ^= 1;
    let garbage = [&MAGIC[..], b"\xff\xff", &Md5::digest(b"\xff\xff")].concat();
    for plain in
        [wrong_sum, native(b"hello".to_vec()), native(MAGIC.to_vec()), native(garbage), native(vec![])]
    {
        assert_eq!(unpack(plain.clone(), &ALL, None), [plain]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..200), tail in any::<bool>()) {
        let data = if tail { [&MAGIC[..], &data, &Md5::digest(&data)].concat() } else { [&MAGIC[..], &data].concat() };
        unpack(native(data), &ALL, None);
    }
}
