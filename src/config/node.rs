//! What was typed, with its place: a value that knows its path, and says what is wrong with it.
//!
//! Serde's derive stops at the first error and forgets where it was; a user wants all of them, each with its line.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::document::Document;
use super::lines::join;
use super::problem::{Place, Problem};

/// What is wrong in one document, as it is found.
#[derive(Debug)]
pub(super) struct Report<'a> {
    document: &'a Document,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Self { document, problems: RefCell::default() }
    }

    /// The whole document.
    pub(super) fn root(&'a self) -> Node<'a> {
        Node { value: &self.document.value, path: String::new(), report: self }
    }

    /// Notes a problem with whatever is at `path`.
    pub(super) fn wrong(&self, path: &str, message: impl Display) {
        let problem =
            Problem { place: self.place(path), field: path.to_owned(), message: message.to_string() };
        self.problems.borrow_mut().push(problem);
    }

    fn place(&self, path: &str) -> Place {
        let document = self.document;
        Place::new(document.nth, document.file.clone(), document.lines.line(path))
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
    report: &'a Report<'a>,
}

impl<'a> Node<'a> {
    /// Notes a problem with this value.
    pub(super) fn wrong(&self, message: impl Display) {
        self.report.wrong(&self.path, message);
    }

    /// The same, where only a good value goes on.
    pub(super) fn refuse<T>(&self, message: impl Display) -> Option<T> {
        self.wrong(message);
        None
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.report.place(&self.path)
    }

    /// The document it stands in.
    pub(super) fn document(&self) -> &'a Document {
        self.report.document
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::String(text) => Some(text),
            _ => self.expected("text"),
        }
    }

    /// Text that is not empty.
    pub(super) fn word(&self) -> Option<&'a str> {
        match self.text()? {
            "" => self.refuse("must not be empty"),
            text => Some(text),
        }
    }

    /// Text, or a number as it is usually written: a version number needs no quotes.
    pub(super) fn scalar(&self) -> Option<String> {
        match self.value {
            Value::Number(number) => Some(number.to_string()),
            _ => self.text().map(str::to_owned),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(*value),
            _ => self.expected("true or false"),
        }
    }

    /// A whole number in `range`.
    pub(super) fn whole(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let Value::Number(number) = self.value else {
            return self.expected("a whole number");
        };
        let (least, most) = (range.start(), range.end());
        match number.as_i64() {
            Some(value) if range.contains(&value) => Some(value),
            _ => self.refuse(format!("must be a whole number from {least} to {most}, is {number}")),
        }
    }

    /// A size: a whole number in `range`, none of it negative.
    pub(super) fn size(&self, range: RangeInclusive<i64>) -> Option<usize> {
        self.whole(range).and_then(|value| usize::try_from(value).ok())
    }

    /// One of these words, spelled so.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.scalar()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.refuse(format!("must be {}, is {text}", or(&known)))
    }

    /// A list's items.
    pub(super) fn items(&self) -> Option<Vec<Node<'a>>> {
        let Value::Array(items) = self.value else {
            return self.expected("a list");
        };
        let report = self.report;
        let nodes = items.iter().enumerate().map(|(i, value)| Node {
            value,
            path: format!("{}[{i}]", self.path),
            report,
        });
        Some(nodes.collect())
    }

    /// The members of a mapping whose names the user chose.
    pub(super) fn entries(&self) -> Option<Vec<(&'a str, Node<'a>)>> {
        let Value::Object(members) = self.value else {
            return self.expected("a mapping");
        };
        Some(members.iter().map(|(name, value)| (name.as_str(), self.member(name, value))).collect())
    }

    /// The members of a mapping that has only these; every other is a problem.
    pub(super) fn fields(&self, known: &'static [&'static str]) -> Option<Fields<'a>> {
        let Value::Object(members) = self.value else {
            return self.expected("a mapping");
        };
        for (name, value) in members.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let unknown = self.member(name, value);
            match nearest(name, known) {
                Some(near) => unknown.wrong(format!("unknown field, did you mean {near}?")),
                None if known.len() > 10 => {
                    unknown.wrong("unknown field, and no known one is like it; remove it")
                }
                None => unknown.wrong(format!("unknown field; known here: {}", known.join(", "))),
            }
        }
        Some(Fields { node: self.clone(), members, known })
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_string()
    }

    /// A number, whole or not.
    pub(super) fn number(&self) -> Option<f64> {
        self.value.as_f64()
    }

    fn member(&self, name: &str, value: &'a Value) -> Node<'a> {
        Node { value, path: join(&self.path, name), report: self.report }
    }

    /// What was seen is named by its type: the value might be a secret in the wrong place.
    pub(super) fn expected<T>(&self, what: &str) -> Option<T> {
        let seen = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a mapping",
        };
        self.refuse(format!("expected {what}, seen {seen}"))
    }
}

/// A mapping with a known set of members.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    node: Node<'a>,
    members: &'a Map<String, Value>,
    known: &'static [&'static str],
}

impl<'a> Fields<'a> {
    /// A member, if it is set; null is unset.
    pub(super) fn get(&self, name: &'static str) -> Option<Node<'a>> {
        debug_assert!(self.known.contains(&name), "{name} would be refused as unknown");
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(self.node.member(name, value))
    }

    /// A member that must be there.
    pub(super) fn required(&self, name: &'static str) -> Option<Node<'a>> {
        let node = self.get(name);
        if node.is_none() {
            self.missing(name, "is required");
        }
        node
    }

    /// Notes a problem with a member that is not there.
    pub(super) fn missing(&self, name: &str, message: impl Display) {
        self.node.member(name, &Value::Null).wrong(message);
    }

    /// The mapping itself.
    pub(super) fn node(&self) -> &Node<'a> {
        &self.node
    }
}

/// The known name a person most likely meant: AWS's own spelling first, then a slip of the fingers.
pub(super) fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    if let Some(same) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return Some(same);
    }
    let lower = name.to_lowercase();
    let near = known.iter().map(|known| (strsim::jaro_winkler(&lower, &known.to_lowercase()), *known));
    let (likeness, best) = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
    // Below this, names that only share their beginning or a few letters are found alike.
    (likeness > 0.8).then_some(best)
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn or(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}
