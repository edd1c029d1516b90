//! One value of an event against one item of a pattern's list.

use super::address::{Hex, Range};
use super::json::Kind;
use super::text::{Folded, Wildcard};

/// What a list's item asks of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// This string.
    Is(Box<[u8]>),
    /// `true`, `false` or `null`.
    Literal(Box<[u8]>),
    /// A number equal to this one.
    Number(f64),
    /// A number that doubles cannot tell from its neighbours: the same text.
    Digits(Box<[u8]>),
    /// A number between these.
    Between(Bound, Bound),
    /// An address in a range. A string that is an address asks for that address, however it is spelled.
    Address(Range),
    Begins(Box<[u8]>),
    /// Also without its last quote, if it ends with one.
    BeginsFolded(Folded, Option<Folded>),
    Ends(Box<[u8]>),
    /// Also without its first quote, if it begins with one.
    EndsFolded(Folded, Option<Folded>),
    Folded(Folded),
    Wildcard(Wildcard),
    /// Any value.
    Exists,
    /// Not even one. No value passes; the rule is asked elsewhere.
    Absent,
    /// A value that none of these takes.
    Not(Box<[Test]>),
}

/// An end of a numeric range, and whether it belongs to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    pub value: f64,
    pub included: bool,
}

impl Test {
    pub fn is_numeric(&self) -> bool {
        match self {
            Self::Number(_) | Self::Between(..) => true,
            Self::Not(tests) => tests.iter().any(Self::is_numeric),
            _ => false,
        }
    }

    pub fn is_address(&self) -> bool {
        matches!(self, Self::Address(_))
    }
}

/// A value of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'v> {
    pub kind: Kind,
    /// A string's decoded text; else as it is written.
    pub text: &'v [u8],
    /// What a number compares as, where somebody wants to know.
    pub number: Option<f64>,
    /// The address a string is, where somebody wants to know.
    pub address: Option<Hex>,
    /// At least the ASCII characters of the text; all there are, where nobody wants to know.
    pub bytes: u128,
}

impl Value<'_> {
    /// Whether any of a list's items takes this value.
    ///
    /// A list that asks for numbers sees a number as a number; one that does not sees its text.
    pub fn passes(&self, tests: &[Test], numeric: bool) -> bool {
        let seen = Self { number: self.number.filter(|_| numeric), ..*self };
        tests.iter().any(|test| seen.pass(test))
    }

    fn pass(&self, test: &Test) -> bool {
        let string = self.kind == Kind::String;
        match test {
            Test::Is(text) => string && *self.text == **text,
            Test::Literal(word) => self.kind == Kind::Literal && *self.text == **word,
            Test::Number(number) => self.number == Some(*number),
            Test::Digits(text) => self.kind == Kind::Number && self.number.is_none() && *self.text == **text,
            Test::Between(low, high) => self.number.is_some_and(|number| {
                (number > low.value || low.included && number == low.value)
                    && (number < high.value || high.included && number == high.value)
            }),
            // A number that nobody wants as a number is text, and may read like the digits of an address.
            Test::Address(range) => match (&self.address, string) {
                (Some(address), true) => range.holds(address.text()),
                (None, true) => false,
                (_, false) => self.number.is_none() && range.holds(self.text),
            },
            // event-ruler compares with the quotes around: a text that ends (begins) with one may reach to the closing
            // (opening) quote.
            Test::Begins(text) => {
                string && (self.text.starts_with(text) || text.strip_suffix(b"\"") == Some(self.text))
            }
            Test::BeginsFolded(text, whole) => {
                string
                    && (text.begins(self.text).is_some()
                        || whole.as_ref().is_some_and(|text| text.is(self.text)))
            }
            Test::Ends(text) => {
                string && (self.text.ends_with(text) || text.strip_prefix(b"\"") == Some(self.text))
            }
            Test::EndsFolded(text, whole) => {
                string && (text.ends(self.text) || whole.as_ref().is_some_and(|text| text.is(self.text)))
            }
            Test::Folded(text) => string && text.is(self.text),
            Test::Wildcard(wildcard) => string && wildcard.fits(self.text, self.bytes),
            Test::Exists => true,
            Test::Absent => false,
            Test::Not(tests) => !tests.iter().any(|test| self.pass(test)),
        }
    }
}
