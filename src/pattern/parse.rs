//! A pattern's text to what it asks: alternatives (`$or` multiplied out), each a list of fields and what their values may be.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use super::address::{Hex, Range};
use super::dialect::Dialect;
use super::error::{Error, Position};
use super::json::{Cursor, DEEPEST, Fault, Kind, Scalar, Text};
use super::number::comparable;
use super::value::Test;

/// Alternatives a pattern may have once `$or` is multiplied out. EventBridge documents the same number.
const MOST_ALTERNATIVES: usize = 1000;
/// SNS: keys of a policy, and the product of what its lists hold.
const MOST_SNS_KEYS: usize = 5;
const MOST_SNS_COMBINATIONS: usize = 150;

/// Words that can be no field's name inside `$or`.
const RESERVED: &[&str] = &[
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

pub(super) type Refusal = Error;

/// One field of a pattern: what its values may be.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub tests: Box<[Test]>,
    /// Where its list begins, and the list as it is written.
    pub at: Position,
    pub text: Box<str>,
}

/// Fields by their path, the steps joined by dots: one way to match. All must hold.
pub(super) type Alternative = BTreeMap<Arc<str>, Arc<Field>>;

/// What a pattern asks.
#[derive(Debug)]
pub(super) struct Parsed {
    pub alternatives: Vec<Alternative>,
    pub warnings: Vec<String>,
}

pub(super) struct Parser<'t> {
    pub cursor: Cursor<'t>,
    pub dialect: Dialect,
    text: &'t str,
    path: Vec<String>,
    depth: usize,
    warnings: Vec<String>,
}

pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Parsed, Refusal> {
    let cursor = Cursor::new(text.as_bytes()).expect("a str is UTF-8");
    let mut parser = Parser { cursor, dialect, text, path: Vec::new(), depth: 0, warnings: Vec::new() };
    let mut alternatives = vec![Alternative::new()];
    let at = parser.here();
    if !parser.cursor.take(b'{') {
        return match parser.cursor.skip() {
            Ok(()) => parser.refuse(at, "Filter is not an object"),
            Err(Fault) => parser.malformed(),
        };
    }
    parser.object(&mut alternatives, false)?;
    parser.cursor.end().or_else(|Fault| parser.malformed())?;
    parser.check(&alternatives)?;
    Ok(Parsed { alternatives, warnings: parser.warnings })
}

impl<'t> Parser<'t> {
    /// Where what comes next begins.
    pub fn here(&mut self) -> usize {
        self.cursor.peek();
        self.cursor.at()
    }

    pub fn refuse<T>(&self, at: usize, reason: impl Display) -> Result<T, Refusal> {
        self.refused(at, reason, None)
    }

    pub fn refuse_with<T>(&self, at: usize, reason: impl Display, hint: String) -> Result<T, Refusal> {
        self.refused(at, reason, Some(hint))
    }

    fn refused<T>(&self, at: usize, reason: impl Display, hint: Option<String>) -> Result<T, Refusal> {
        let reason = reason.to_string();
        let terse = self.dialect.terse();
        // Where AWS's one sentence says nothing, its matcher's reason is our hint.
        let hint = match (terse, hint) {
            (true, Some(hint)) => Some(format!("{reason}; {hint}")),
            (true, None) => Some(reason.clone()),
            (false, hint) => hint,
        };
        Err(Error { prefix: self.dialect.prefix(), terse, reason, hint, at: Position::of(self.text, at) })
    }

    pub fn malformed<T>(&self) -> Result<T, Refusal> {
        let malformed = self.cursor.malformed();
        let seen = match self.text.get(malformed.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => format!("Unexpected character ('{c}' (code {}))", u32::from(c)),
            None => "Unexpected end-of-input".to_owned(),
        };
        self.refuse_with(malformed.at, seen, format!("expected {}", malformed.expected))
    }

    pub fn key(&mut self) -> Result<String, Refusal> {
        let key = self.cursor.key().or_else(|Fault| self.malformed())?;
        Ok(self.decoded(key))
    }

    pub fn scalar(&mut self) -> Result<Scalar<'t>, Refusal> {
        self.cursor.scalar().or_else(|Fault| self.malformed())
    }

    pub fn more(&mut self, close: u8) -> Result<bool, Refusal> {
        self.cursor.more(close).or_else(|Fault| self.malformed())
    }

    pub fn decoded(&self, text: Text<'_>) -> String {
        let mut decoded = Vec::new();
        text.append_to(&mut decoded);
        String::from_utf8_lossy(&decoded).into_owned()
    }

    /// An object's fields, after its opening brace, into each of `alternatives`.
    fn object(&mut self, alternatives: &mut Vec<Alternative>, inside_or: bool) -> Result<(), Refusal> {
        let at = self.here();
        self.depth += 1;
        if self.depth > DEEPEST / 4 {
            return self.refuse(at, "Rule is nested too deeply");
        }
        if self.cursor.take(b'}') {
            return self.refuse(at, "Empty objects are not allowed");
        }
        loop {
            let at = self.here();
            let key = self.key()?;
            if key == "$or" {
                self.or(alternatives)?;
            } else if inside_or && RESERVED.contains(&key.as_str()) {
                let reason = format!("{key} is Ruler reserved fieldName which cannot be used inside $or.");
                return self.refuse(at, reason);
            } else {
                self.member(at, key, alternatives, inside_or)?;
            }
            if !self.more(b'}')? {
                self.depth -= 1;
                return Ok(());
            }
        }
    }

    fn member(
        &mut self,
        at: usize,
        key: String,
        alternatives: &mut Vec<Alternative>,
        inside_or: bool,
    ) -> Result<(), Refusal> {
        match self.cursor.peek() {
            Some(b'{') if self.dialect == Dialect::SnsAttributes => {
                self.refuse(at, "Filter policy scope MessageAttributes does not support nested filter policy")
            }
            Some(b'{') => {
                self.cursor.take(b'{');
                self.path.push(key);
                self.object(alternatives, inside_or)?;
                self.path.pop();
                Ok(())
            }
            Some(b'[') => self.field(&key, alternatives),
            _ => {
                // What is no JSON at all is said to be that.
                self.cursor.skip().or_else(|Fault| self.malformed())?;
                self.refuse_with(
                    at,
                    format!("\"{key}\" must be an object or an array"),
                    "a value that must be equal stands in a list: [\"value\"]".to_owned(),
                )
            }
        }
    }

    fn or(&mut self, alternatives: &mut Vec<Alternative>) -> Result<(), Refusal> {
        let at = self.here();
        if !self.cursor.take(b'[') {
            return self.refuse(at, "It must be an Array followed with $or.");
        }
        let before = std::mem::take(alternatives);
        let mut branches = 0;
        if !self.cursor.take(b']') {
            loop {
                let at = self.here();
                if !self.cursor.take(b'{') {
                    return self.refuse(at, "Only JSON object is allowed in array of $or relationship.");
                }
                let mut branch = before.clone();
                self.object(&mut branch, true)?;
                alternatives.append(&mut branch);
                branches += 1;
                if alternatives.len() > MOST_ALTERNATIVES {
                    return self.refuse_with(
                        at,
                        "Rule is too complex - try using fewer conditions inside $or",
                        format!("its branches make more than {MOST_ALTERNATIVES} alternatives"),
                    );
                }
                if !self.more(b']')? {
                    break;
                }
            }
        }
        if branches < 2 {
            return self.refuse(at, "There must have at least 2 Objects in $or relationship.");
        }
        Ok(())
    }

    /// A field's list, into each alternative. Where the same path comes again, the last counts, as on AWS.
    fn field(&mut self, key: &str, alternatives: &mut [Alternative]) -> Result<(), Refusal> {
        let start = self.here();
        let tests = self.list()?;
        let base = self.path.join(".");
        // Sic: event-ruler sets no dot behind a path that is empty.
        let path: Arc<str> = if base.is_empty() { key.into() } else { format!("{base}.{key}").into() };
        let at = Position::of(self.text, start);
        let text = self.text.get(start..self.cursor.at()).unwrap_or_default().into();
        let field = Arc::new(Field { tests: tests.into(), at, text });
        let mut again = false;
        for alternative in alternatives {
            again |= alternative.insert(Arc::clone(&path), Arc::clone(&field)).is_some();
        }
        if again {
            self.warnings.push(format!("{path} is there twice; only the list at {at} counts"));
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Test>, Refusal> {
        let at = self.here();
        self.cursor.take(b'[');
        if self.cursor.take(b']') {
            return self.refuse(at, "Empty arrays are not allowed");
        }
        let mut tests = Vec::new();
        loop {
            tests.push(self.item()?);
            if !self.more(b']')? {
                return Ok(tests);
            }
        }
    }

    fn item(&mut self) -> Result<Test, Refusal> {
        let at = self.here();
        match self.cursor.peek() {
            Some(b'{') => {
                self.cursor.take(b'{');
                self.matcher()
            }
            Some(b'[') => self.refuse(at, "Match value must be String, number, true, false, or null"),
            _ => {
                let scalar = self.scalar()?;
                Ok(self.literal(&scalar))
            }
        }
    }

    fn literal(&self, scalar: &Scalar<'_>) -> Test {
        let raw = scalar.text.raw;
        match scalar.kind {
            Kind::Literal => Test::Literal(raw.into()),
            Kind::Number => match comparable(raw) {
                Some(number) => Test::Number(number),
                None => Test::Digits(raw.into()),
            },
            Kind::String => {
                let text = self.decoded(scalar.text).into_bytes();
                match Hex::of(&text) {
                    Some(address) => Test::Address(Range::only(address)),
                    None => Test::Is(text.into()),
                }
            }
        }
    }

    /// What only some services limit.
    fn check(&self, alternatives: &[Alternative]) -> Result<(), Refusal> {
        if self.dialect.sns() {
            let keys: std::collections::BTreeSet<&str> =
                alternatives.iter().flat_map(|fields| fields.keys()).map(|path| &**path).collect();
            if keys.len() > MOST_SNS_KEYS {
                return self.refuse(0, format!("Filter policy can not have more than {MOST_SNS_KEYS} keys"));
            }
            let combinations = |fields: &Alternative| {
                fields.iter().fold(1_usize, |product, (path, field)| {
                    let levels = if self.dialect == Dialect::SnsBody { path.split('.').count() } else { 1 };
                    product.saturating_mul(field.tests.len() * levels)
                })
            };
            let all = alternatives.iter().map(combinations).fold(0, usize::saturating_add);
            if all > MOST_SNS_COMBINATIONS {
                return self.refuse(0, "Filter policy is too complex");
            }
        }
        let Some(source) = self.dialect.source() else { return Ok(()) };
        let plain = alternatives.iter().find_map(|fields| fields.get(source.data()));
        // What these carry is JSON; a pattern for plain text could match nothing.
        match (source, plain) {
            (super::Source::Kinesis | super::Source::DynamoDb, Some(field)) => {
                let reason = format!("\"{}\" must be an object", source.data());
                let mut error = self.refused::<()>(0, reason, None).expect_err("it refuses");
                error.at = field.at;
                Err(error)
            }
            _ => Ok(()),
        }
    }
}
