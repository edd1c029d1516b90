//! A field that patterns ask for, and who asks: where many do, what they ask is looked up.

use std::sync::Arc;

use super::json::Kind;
use super::rules::Condition;
use super::value::{Test, Value};

/// From here on questions of one kind are looked up instead of asked one by one.
const MANY: usize = 16;

/// A field that is asked for.
#[derive(Debug)]
pub(super) struct Leaf {
    pub path: Arc<str>,
    /// Somebody wants to know what number, what address a value is, which characters it has; where there is none.
    pub numeric: bool,
    pub address: bool,
    pub wildcards: bool,
    pub watched: bool,
    /// Conditions asked of each value,
    each: Vec<u32>,
    /// and those that only certain strings answer: these, and what begins or ends with these.
    strings: Index,
    prefixes: Index,
    suffixes: Index,
}

/// Conditions by a text, those of one length together.
#[derive(Debug, Default)]
struct Index(Vec<(usize, Vec<Entry>)>);

/// A text, and the conditions that ask for it.
type Entry = (Box<[u8]>, Vec<u32>);

impl Leaf {
    pub fn new(path: &Arc<str>) -> Self {
        Self {
            path: Arc::clone(path),
            numeric: false,
            address: false,
            wildcards: false,
            watched: false,
            each: Vec::new(),
            strings: Index::default(),
            prefixes: Index::default(),
            suffixes: Index::default(),
        }
    }

    pub fn ask(&mut self, number: u32, condition: &Condition) {
        let tests = &condition.field.tests;
        self.numeric |= condition.numeric;
        self.address |= tests.iter().any(Test::is_address);
        self.watched |= condition.absent;
        // What can reach to a quote around the value is longer than the value, and not looked up.
        let of = |test: &Test| match test {
            Test::Is(_) => true,
            Test::Begins(text) => !text.ends_with(b"\""),
            Test::Ends(text) => !text.starts_with(b"\""),
            _ => false,
        };
        if !tests.iter().all(of) {
            return self.each.push(number);
        }
        for test in tests {
            match test {
                Test::Is(text) => self.strings.add(text, number),
                Test::Begins(text) => self.prefixes.add(text, number),
                Test::Ends(text) => self.suffixes.add(text, number),
                _ => {}
            }
        }
    }

    /// After the last question: a few are asked one by one.
    pub fn settle(&mut self) {
        let indexed =
            [&self.strings, &self.prefixes, &self.suffixes].iter().map(|index| index.len()).sum::<usize>();
        if indexed < MANY {
            for index in [&mut self.strings, &mut self.prefixes, &mut self.suffixes] {
                let texts = std::mem::take(&mut index.0).into_iter().flat_map(|(_, texts)| texts);
                self.each.extend(texts.flat_map(|(_, conditions)| conditions));
            }
            self.each.sort_unstable();
            self.each.dedup();
        }
        // The characters of a value are worth knowing only to many.
        self.wildcards = self.each.len() >= MANY;
    }

    /// Calls with each condition that a value may answer.
    #[inline]
    pub fn of(&self, value: &Value<'_>, mut ask: impl FnMut(u32)) {
        self.each.iter().for_each(|number| ask(*number));
        if value.kind != Kind::String
            || self.strings.0.is_empty() && self.prefixes.0.is_empty() && self.suffixes.0.is_empty()
        {
            return;
        }
        let text = value.text;
        self.strings.with(text, |length| (length == text.len()).then_some(text), &mut ask);
        self.prefixes.with(text, |length| text.get(..length), &mut ask);
        self.suffixes.with(text, |length| text.get(text.len().checked_sub(length)?..), &mut ask);
    }
}

impl Index {
    fn len(&self) -> usize {
        self.0.iter().map(|(_, texts)| texts.len()).sum()
    }

    fn add(&mut self, text: &[u8], number: u32) {
        let of_length = match self.0.binary_search_by_key(&text.len(), |(length, _)| *length) {
            Ok(at) => &mut self.0[at].1,
            Err(at) => {
                self.0.insert(at, (text.len(), Vec::new()));
                &mut self.0[at].1
            }
        };
        match of_length.binary_search_by(|(known, _)| (**known).cmp(text)) {
            Ok(at) => of_length[at].1.push(number),
            Err(at) => of_length.insert(at, (text.into(), vec![number])),
        }
    }

    /// Calls with the conditions of each text that `part` cuts out of a value, given its length.
    fn with<'v>(&self, value: &'v [u8], part: impl Fn(usize) -> Option<&'v [u8]>, ask: &mut impl FnMut(u32)) {
        for (length, texts) in &self.0 {
            if *length > value.len() {
                return;
            }
            let Some(part) = part(*length) else { continue };
            if let Ok(at) = texts.binary_search_by(|(text, _)| (**text).cmp(part)) {
                texts[at].1.iter().for_each(|number| ask(*number));
            }
        }
    }
}
