//! Who should own what: rendezvous hashing, nobody more than its share. Pure.
//!
//! Every member computes the same from the same shards and members, so nobody has to be asked. Plain rendezvous hashing
//! spreads few shards badly (four over two members can be four to none), so each member has room for its share, rounded
//! up, and who is full is passed over.

use std::collections::HashMap;

/// The member that should own each shard, in the order of `shards`. Both lists must be sorted: everybody deals alike.
pub(super) fn owners<'a>(shards: &[&str], members: &'a [String]) -> Vec<&'a str> {
    let Some(room) = shards.len().checked_div(members.len()) else { return Vec::new() };
    let room = room + usize::from(!shards.len().is_multiple_of(members.len()));
    let mut dealt: HashMap<&str, usize> = HashMap::with_capacity(members.len());
    shards
        .iter()
        .map(|shard| {
            let free = members.iter().filter(|member| dealt.get(member.as_str()).is_none_or(|n| *n < room));
            let best = free.max_by_key(|member| (weight(member, shard), *member));
            let best = best.expect("the shares add up to the shards or more");
            *dealt.entry(best).or_default() += 1;
            best.as_str()
        })
        .collect()
}

/// How much a member wants a shard: the same in every process and version.
fn weight(member: &str, shard: &str) -> u64 {
    mix(fnv(shard.as_bytes(), fnv(member.as_bytes(), FNV)))
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(bytes: &[u8], from: u64) -> u64 {
    bytes.iter().fold(from, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// FNV's high bits hardly depend on the last characters, which is where shard ids differ (SplitMix64's finish).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number for a position, to find it again.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    mix(fnv(bytes, FNV))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(stem: &str, count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{stem}-{n:012}")).collect()
    }

    fn deal<'a>(shards: &[String], members: &'a [String]) -> Vec<&'a str> {
        owners(&shards.iter().map(String::as_str).collect::<Vec<_>>(), members)
    }

    #[test]
    fn without_members_nobody_owns() {
        assert!(owners(&["a"], &[]).is_empty());
        assert!(owners(&[], &names("m", 2)).is_empty());
    }

    /// Who leaves takes little of the others' with it: most shards stay where they were.
    #[test]
    fn few_shards_move() {
        let (shards, members) = (names("shardId", 1000), names("member", 5));
        let before = deal(&shards, &members);
        let after = deal(&shards, &members[..4]);
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a && **b != members[4]).count();
        assert!(moved < 250, "{moved} of 800 moved without need");
    }

    proptest! {
        #[test]
        fn nobody_has_more_than_its_share(shards in 0_usize..200, members in 1_usize..9) {
            let (shards, members) = (names("s", shards), names("m", members));
            let dealt = deal(&shards, &members);
            prop_assert_eq!(dealt.len(), shards.len());
            for member in &members {
                let has = dealt.iter().filter(|owner| *owner == member).count();
                prop_assert!(has <= shards.len().div_ceil(members.len()));
            }
        }
    }
}
