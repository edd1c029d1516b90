//! Fields of one array element match together: a search for a choice of elements that all of a pattern's fields agree on.
//!
//! Each value lies in a chain of array elements. Two values agree if no array is in both chains with two elements. Fields
//! are taken in the order of their paths, so what is asked for inside one array follows each other; what no later field
//! can lie in is forgotten. A state that failed is not tried again, and elements that disagree are jumped over: the work
//! stays near what the walk found, however the event is built.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use super::rules::{Rules, Way};
use super::scratch::{Array, Found};

/// Memory of the search.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Elements chosen, below each other for every depth of the search.
    chosen: Vec<u32>,
    /// States that failed, one after the other, and where by their hash.
    failed: Vec<u32>,
    places: HashMap<u64, (u32, u32)>,
    hasher: RandomState,
}

impl Search {
    /// Sorts what was found, before the first question.
    pub fn begin(found: &mut Found) {
        found.hits.sort_unstable();
        found.hits.dedup();
        found.seen.sort_unstable();
        found.seen.dedup();
    }

    /// Whether all conditions of `way` hold together.
    pub fn holds(&mut self, rules: &Rules, way: &Way, found: &Found) -> bool {
        self.chosen.clear();
        self.failed.clear();
        self.places.clear();
        self.from(rules, &way.conditions, found, 0)
    }

    /// The rest of the conditions, with what is chosen from `start` on.
    fn from(&mut self, rules: &Rules, rest: &[u32], found: &Found, start: usize) -> bool {
        let Some((condition, later)) = rest.split_first() else { return true };
        let asked = &rules.conditions[*condition as usize];
        if let Some(passes) = rules.mismatch(asked, found.class) {
            return passes && self.from(rules, later, found, start);
        }
        let state = self.chosen.len();
        let hash = self.hash(rest.len(), start);
        if self.has_failed(hash, rest.len(), start) {
            return false;
        }
        let absent = asked.absent && next(&found.seen, asked.leaf, 0, &self.chosen[start..], found).is_none();
        if absent && self.from(rules, later, found, start) {
            return true;
        }
        let mut from = 0;
        while let Some(element) = next(&found.hits, *condition, from, &self.chosen[start..], found) {
            self.choose(rules, later, found, start, element);
            let holds = self.from(rules, later, found, state);
            self.chosen.truncate(state);
            if holds {
                return true;
            }
            from = element + 1;
        }
        self.fail(hash, rest.len(), start);
        false
    }

    /// Puts a state behind the others: what was chosen, with `element` and all it lies in, without what no longer matters.
    fn choose(&mut self, rules: &Rules, later: &[u32], found: &Found, start: usize, element: u32) {
        let state = self.chosen.len();
        let matters = |element: u32| {
            let array = &found.arrays[found.elements[element as usize].array as usize];
            let inside = array.node..rules.paths.node(array.node).end;
            later.iter().any(|condition| inside.contains(&rules.conditions[*condition as usize].node))
        };
        let mut inner = element;
        while inner != 0 {
            if matters(inner) {
                self.chosen.push(inner);
            }
            inner = found.elements[inner as usize].parent;
        }
        for at in start..state {
            let before = self.chosen[at];
            if matters(before) && !self.chosen[state..].contains(&before) {
                self.chosen.push(before);
            }
        }
        self.chosen[state..].sort_unstable();
    }

    fn hash(&self, rest: usize, start: usize) -> u64 {
        self.hasher.hash_one((rest, &self.chosen[start..]))
    }

    fn has_failed(&self, hash: u64, rest: usize, start: usize) -> bool {
        self.places.get(&hash).is_some_and(|(at, length)| {
            let entry = &self.failed[*at as usize..][..*length as usize];
            entry
                .split_first()
                .is_some_and(|(depth, state)| *depth == rest as u32 && *state == self.chosen[start..])
        })
    }

    fn fail(&mut self, hash: u64, rest: usize, start: usize) {
        let at = self.failed.len() as u32;
        self.failed.push(rest as u32);
        self.failed.extend_from_slice(&self.chosen[start..]);
        self.places.insert(hash, (at, self.failed.len() as u32 - at));
    }
}

/// The first element from `from` on that `what` was found in and that agrees with what is chosen.
fn next(entries: &[(u32, u32)], what: u32, from: u32, chosen: &[u32], found: &Found) -> Option<u32> {
    let mut at = (what, from);
    loop {
        let place = entries.partition_point(|entry| *entry < at);
        let (_, element) = *entries.get(place).filter(|(of, _)| *of == what)?;
        let jump = chosen.iter().find_map(|chosen| {
            let Array { first, end, .. } = found.arrays[found.elements[*chosen as usize].array as usize];
            let inside = *chosen..found.elements[*chosen as usize].end;
            let elsewhere = (first..end).contains(&element) && !inside.contains(&element);
            elsewhere.then_some(if element < *chosen { *chosen } else { end })
        });
        match jump {
            None => return Some(element),
            Some(past) => at = (what, past),
        }
    }
}
