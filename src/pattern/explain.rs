//! Which clause of a pattern decided.

use std::fmt;

use super::rules::Way;
use super::{Malformed, Pattern, Position, Scratch, walk};

/// Why a pattern matches an event, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it matches.
    pub matches: bool,
    /// For each way the pattern can match (`$or` has several) the clauses that decided: all of them for the way that
    /// matches, and for one that does not the first that fails.
    pub ways: Vec<Vec<Clause>>,
}

/// One field's list, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The field's path, its steps joined by dots.
    pub path: String,
    /// Its list as it is written.
    pub list: String,
    /// Where that stands in the pattern.
    pub at: Position,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A value answers it, or there is none and it asks for that.
    Holds,
    /// The event has no value there.
    NoValue,
    /// No value there is one of those asked for.
    NoneFits,
    /// It fits by itself, but not in the array element where the clauses before it do.
    NotInOneElement,
    /// The record's data is of another kind: text where the pattern has an object, or the other way round.
    Mismatch,
    /// The same, where such records are passed on.
    Ignored,
}

impl Outcome {
    /// Whether the clause let the event pass.
    pub fn holds(self) -> bool {
        matches!(self, Self::Holds | Self::Ignored)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::NoValue => "the event has no value there",
            Self::NoneFits => "no value there is one of these",
            Self::NotInOneElement => {
                "holds by itself, but not in the array element where the clauses before it do"
            }
            Self::Mismatch => "the data is of another kind: text against an object",
            Self::Ignored => "left out: the data is of another kind, and such records are passed on",
        })
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}): {}", self.path, self.list, self.at, self.outcome)
    }
}

impl Pattern {
    /// Says which clauses decide about an event.
    pub fn explain(&self, event: &[u8]) -> Result<Explanation, Malformed> {
        let mut scratch = Scratch::default();
        walk::walk(&self.rules, event, walk::Until::End, &mut scratch)?;
        let mut ways = Vec::new();
        let mut sorted = false;
        for way in &self.rules.alternatives {
            if self.rules.holds(way, &mut scratch, &mut sorted) {
                let clauses = way.conditions.iter().map(|number| self.clause(*number, &scratch)).collect();
                return Ok(Explanation { matches: true, ways: vec![clauses] });
            }
            ways.push(vec![self.culprit(way, &mut scratch, &mut sorted)]);
        }
        Ok(Explanation { matches: false, ways })
    }

    /// The first clause that fails: by itself, or with those before it.
    fn culprit(&self, way: &Way, scratch: &mut Scratch, sorted: &mut bool) -> Clause {
        let clauses = || way.conditions.iter().map(|number| self.clause(*number, scratch));
        if let Some(clause) = clauses().find(|clause| !clause.outcome.holds()) {
            return clause;
        }
        let fails = (1..way.conditions.len()).find(|last| {
            let head = Way { rule: way.rule, conditions: way.conditions[..=*last].into() };
            !self.rules.holds(&head, scratch, sorted)
        });
        let last = fails.unwrap_or(way.conditions.len() - 1);
        Clause { outcome: Outcome::NotInOneElement, ..self.clause(way.conditions[last], scratch) }
    }

    fn clause(&self, number: u32, scratch: &Scratch) -> Clause {
        let condition = &self.rules.conditions[number as usize];
        let leaf = &self.rules.leaves[condition.leaf as usize];
        let found = &scratch.found;
        // An absence that a field elsewhere in the event spoils is one only within an array's element.
        let absent =
            condition.absent && (!found.present[condition.leaf as usize] || found.elements.len() > 1);
        let outcome = match self.rules.mismatch(condition, found.class) {
            Some(true) => Outcome::Ignored,
            Some(false) => Outcome::Mismatch,
            None if found.hit[number as usize] || absent => Outcome::Holds,
            None if found.present[condition.leaf as usize] => Outcome::NoneFits,
            None => Outcome::NoValue,
        };
        Clause {
            path: leaf.path.to_string(),
            list: condition.field.text.to_string(),
            at: condition.field.at,
            outcome,
        }
    }
}
