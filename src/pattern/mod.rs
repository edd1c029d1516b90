//! Event patterns: the language of EventBridge rules, Lambda filter criteria and SNS filter policies.
//!
//! A [`Pattern`] is a JSON object shaped like the events it matches, with lists of what a value may be in place of the
//! values: fields are AND-ed, a list's items OR-ed. The grammar is the one that AWS's event-ruler implements, and where
//! that surprises this does the same: numbers compare as doubles, `exists` looks at leaves, and fields that lie in the
//! objects of one array must match in the same object.
//!
//! ```
//! use klr::pattern::{Pattern, Scratch, Verdict};
//!
//! let pattern = Pattern::parse(r#"{"kind": ["order"], "total": [{"numeric": [">", 100]}]}"#)?;
//! assert!(pattern.matches(br#"{"kind": "order", "total": 250}"#));
//!
//! let mut scratch = Scratch::default(); // kept from event to event, it is allocated once
//! assert_eq!(pattern.verdict(br#"{"kind": "refund"}"#, &mut scratch), Verdict::NoMatch);
//! # Ok::<(), klr::pattern::Error>(())
//! ```
//!
//! A verdict takes one pass over the event's bytes: where no pattern looks, text is checked to be JSON and passed over.
//! [`Patterns`] asks many patterns of one event in one such pass. Nothing here panics, whatever the bytes: nesting is
//! bounded, wildcards that blow up are refused, `$or` makes at most a thousand alternatives.
//!
//! With `default-features = false` this module is all there is in the crate.

mod address;
mod arrays;
mod dialect;
mod error;
mod explain;
mod json;
mod leaf;
mod number;
mod operator;
mod parse;
mod paths;
mod rules;
mod scratch;
pub mod sns;
mod string;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod walk;

pub use dialect::{Dialect, Source};
pub use error::{Error, Malformed, Position};
pub use explain::{Clause, Explanation, Outcome};
pub use scratch::Scratch;

use arrays::Search;
use parse::Alternative;
use rules::{Rules, Way};
use walk::Until;

/// What a pattern says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It matches.
    Match,
    /// It does not.
    NoMatch,
    /// The event is no JSON object.
    Malformed(Malformed),
}

/// One pattern, ready to match.
#[derive(Debug)]
pub struct Pattern {
    dialect: Dialect,
    alternatives: Vec<Alternative>,
    warnings: Vec<String>,
    rules: Rules,
}

impl Pattern {
    /// Reads an EventBridge pattern.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_as(text, Dialect::EventBridge)
    }

    /// Reads a pattern as the service reads it that it is written for.
    pub fn parse_as(text: &str, dialect: Dialect) -> Result<Self, Error> {
        let parsed = parse::parse(text, dialect)?;
        let rules = Rules::of([&*parsed.alternatives].into_iter(), dialect.source());
        Ok(Self { dialect, alternatives: parsed.alternatives, warnings: parsed.warnings, rules })
    }

    /// Whether it matches a JSON object, with the least of looking: a match that nothing can undo is one, whatever follows it,
    /// and what no pattern asks for is not checked to be JSON. [`verdict`](Self::verdict) checks everything.
    pub fn matches(&self, event: &[u8]) -> bool {
        self.matches_in(event, &mut Scratch::default())
    }

    /// The same with memory that is used again.
    pub fn matches_in(&self, event: &[u8], scratch: &mut Scratch) -> bool {
        self.rules.verdict(event, Until::Sure, scratch) == Verdict::Match
    }

    /// Whether it matches, all of the event being checked to be a JSON object.
    pub fn verdict(&self, event: &[u8], scratch: &mut Scratch) -> Verdict {
        self.rules.verdict(event, Until::End, scratch)
    }

    /// What of it has no effect, though somebody wrote it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Who it is written for.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }
}

/// Many patterns, asked of an event together.
#[derive(Debug)]
pub struct Patterns {
    rules: Rules,
}

impl Patterns {
    /// Of patterns in one dialect.
    ///
    /// # Panics
    /// Where the dialects differ: an event is laid out for one of them.
    pub fn of<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> Self {
        let patterns: Vec<&Pattern> = patterns.into_iter().collect();
        let source = patterns.first().and_then(|pattern| pattern.dialect.source());
        assert!(patterns.iter().all(|pattern| pattern.dialect.source() == source), "patterns of one dialect");
        Self { rules: Rules::of(patterns.iter().map(|pattern| &*pattern.alternatives), source) }
    }

    /// The indices of those that match, in order.
    pub fn matching<'s>(&self, event: &[u8], scratch: &'s mut Scratch) -> Result<&'s [u32], Malformed> {
        self.rules.matching(event, Until::End, scratch, false)
    }

    /// Whether any does.
    pub fn verdict(&self, event: &[u8], scratch: &mut Scratch) -> Verdict {
        self.rules.verdict(event, Until::End, scratch)
    }
}

impl Rules {
    fn verdict(&self, event: &[u8], until: Until, scratch: &mut Scratch) -> Verdict {
        match self.matching(event, until, scratch, true) {
            Ok([]) => Verdict::NoMatch,
            Ok(_) => Verdict::Match,
            Err(malformed) => Verdict::Malformed(malformed),
        }
    }

    fn matching<'s>(
        &self,
        event: &[u8],
        until: Until,
        scratch: &'s mut Scratch,
        first: bool,
    ) -> Result<&'s [u32], Malformed> {
        walk::walk(self, event, until, scratch)?;
        let mut ways = std::mem::take(&mut scratch.ways);
        self.candidates(&scratch.found, &mut ways);
        let mut sorted = false;
        for way in ways.iter().map(|way| &self.alternatives[*way as usize]) {
            let known = scratch.matched.last() == Some(&way.rule);
            if !known && self.holds(way, scratch, &mut sorted) {
                scratch.matched.push(way.rule);
                if first {
                    break;
                }
            }
        }
        scratch.ways = ways;
        Ok(&scratch.matched)
    }

    /// Whether all conditions of `way` hold.
    fn holds(&self, way: &Way, scratch: &mut Scratch, sorted: &mut bool) -> bool {
        let found = &mut scratch.found;
        // Inside one array element a field can be absent that the event has elsewhere.
        let elements = found.elements.len() > 1 && way.conditions.len() > 1;
        let possible = way.conditions.iter().all(|number| {
            let condition = &self.conditions[*number as usize];
            let held = found.hit[*number as usize]
                || condition.absent && (elements || !found.present[condition.leaf as usize]);
            match condition.data {
                None => held,
                Some(_) => self.mismatch(condition, found.class).unwrap_or(held),
            }
        });
        if !possible || !elements {
            return possible;
        }
        if !*sorted {
            Search::begin(found);
            *sorted = true;
        }
        scratch.search.holds(self, way, found)
    }
}
