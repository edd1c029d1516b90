//! The front door's constraints: everything that is wrong, at once.

use std::{fmt::Display, ops::RangeInclusive, sync::OnceLock};

use regex::Regex;

use super::{
    super::error::{Code, Error},
    Fields,
};

/// A regular expression, shown to the caller as AWS writes it.
#[derive(Debug)]
pub(in super::super) struct Pattern {
    text: &'static str,
    regex: OnceLock<Regex>,
}

impl Pattern {
    /// The whole value must match.
    pub(in super::super) const fn new(text: &'static str) -> Self {
        Self { text, regex: OnceLock::new() }
    }

    /// As AWS writes it.
    pub(in super::super) fn text(&self) -> &'static str {
        self.text
    }

    /// Whether the whole value matches. What AWS shows was recorded before it had regions like `eusc-de-east-1`, which it takes.
    pub(in super::super) fn matches(&self, value: &str) -> bool {
        let compile = || {
            let today = self.text.replace("[a-z]{2}(", "(eusc-)?[a-z]{2}(");
            Regex::new(&format!("^(?:{today})$")).expect("AWS's patterns are well formed")
        };
        self.regex.get_or_init(compile).is_match(value)
    }
}

/// What is wrong with a request, in AWS's words, in the order it was found.
#[derive(Debug, Default)]
pub(in super::super) struct Constraints(Vec<String>);

impl Constraints {
    /// A value in quotation marks does not satisfy a constraint, which is spelled from `Member must` on.
    pub(in super::super) fn broken(&mut self, field: &str, value: impl Display, constraint: impl Display) {
        self.0.push(format!("Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"));
    }

    /// The same of what is nobody's to read.
    pub(in super::super) fn hidden(&mut self, field: &str, constraint: impl Display) {
        self.0.push(format!("Value at '{field}' failed to satisfy constraint: {constraint}"));
    }

    /// Something required is missing.
    pub(in super::super) fn missing(&mut self, field: &str) {
        self.0.push(format!("Value null at '{field}' failed to satisfy constraint: Member must not be null"));
    }

    /// So many characters.
    pub(in super::super) fn length(&mut self, field: &str, value: &str, allowed: RangeInclusive<usize>) {
        self.count(field, value, value.chars().count(), allowed);
    }

    /// So many members of a list, which is shown as `[a, b]`.
    pub(in super::super) fn members(&mut self, field: &str, list: &[String], allowed: RangeInclusive<usize>) {
        self.count(field, &format!("[{}]", list.join(", ")), list.len(), allowed);
    }

    /// So many of what is shown like this.
    pub(in super::super) fn count(
        &mut self,
        field: &str,
        shown: &str,
        count: usize,
        allowed: RangeInclusive<usize>,
    ) {
        let bound =
            |word: &str, bound: &usize| format!("Member must have length {word} than or equal to {bound}");
        if count > *allowed.end() {
            self.broken(field, shown, bound("less", allowed.end()));
        }
        if count < *allowed.start() {
            self.broken(field, shown, bound("greater", allowed.start()));
        }
    }

    /// A number between bounds.
    pub(in super::super) fn within(&mut self, field: &str, value: i64, allowed: RangeInclusive<i64>) {
        let bound =
            |word: &str, bound: &i64| format!("Member must have value {word} than or equal to {bound}");
        if value > *allowed.end() {
            self.broken(field, value, bound("less", allowed.end()));
        }
        if value < *allowed.start() {
            self.broken(field, value, bound("greater", allowed.start()));
        }
    }

    /// A pattern.
    pub(in super::super) fn pattern(&mut self, field: &str, value: &str, pattern: &Pattern) {
        if !pattern.matches(value) {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.text());
            self.broken(field, value, constraint);
        }
    }

    /// The patterns of members: how each is spelled in a request and in errors, and whether it must be there.
    pub(in super::super) fn patterns(
        &mut self,
        fields: &Fields<'_>,
        members: &[(&str, &str, &Pattern, bool)],
    ) -> Result<(), Error> {
        for (member, field, pattern, required) in members {
            match fields.text(member)? {
                Some(text) => self.pattern(field, text, pattern),
                None if *required => self.missing(field),
                None => {}
            }
        }
        Ok(())
    }

    /// One of some words, in the order AWS shows them.
    pub(in super::super) fn one_of(&mut self, field: &str, value: &str, words: &[&str]) {
        if !words.contains(&value) {
            let constraint = format!("Member must satisfy enum value set: [{}]", words.join(", "));
            self.broken(field, value, constraint);
        }
    }

    /// `ValidationException` with everything that was wrong.
    pub(in super::super) fn check(self) -> Result<(), Error> {
        self.check_as(Code::Validation)
    }

    /// The same text under another code, as a few operations have it.
    pub(in super::super) fn check_as(self, code: Code) -> Result<(), Error> {
        let count = self.0.len();
        match count {
            0 => Ok(()),
            1 => Err(Error::new(code, format!("1 validation error detected: {}", self.0[0]))),
            _ => Err(Error::new(code, format!("{count} validation errors detected: {}", self.0.join("; ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_told_at_once() {
        let mut constraints = Constraints::default();
        constraints.within("timeout", 901, 1..=900);
        constraints.within("memorySize", 128, 128..=10_240);
        constraints.length("handler", "", 1..=128);
        constraints.missing("role");
        assert_eq!(
            constraints.check().unwrap_err().message(),
            "3 validation errors detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value \
             less than or equal to 900; Value '' at 'handler' failed to satisfy constraint: Member must have length \
             greater than or equal to 1; Value null at 'role' failed to satisfy constraint: Member must not be null"
        );
    }

    #[test]
    fn patterns_match_the_whole_value() {
        static VERSION: Pattern = Pattern::new(r"\$LATEST|[0-9]+");
        assert!(VERSION.matches("$LATEST") && VERSION.matches("12") && !VERSION.matches("12a"));
    }
}
