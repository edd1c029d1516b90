//! A matcher: an object with one key, the operator.

use super::address::Range;
use super::dialect::{NAMES, Operator};
use super::json::{Kind, Scalar};
use super::number::comparable;
use super::parse::{Parser, Refusal};
use super::text::{Folded, Wildcard};
use super::value::{Bound, Test};

type Parsed = Result<Test, Refusal>;

const ONE_KEY: &str = "Only one key allowed in match expression";
const TOO_MANY: &str = "Too many elements in numeric expression";

impl Parser<'_> {
    /// After the opening brace.
    pub(super) fn matcher(&mut self) -> Parsed {
        let at = self.here();
        if self.cursor.take(b'}') {
            return self.refuse(at, "Match expression name not found");
        }
        let name = self.key()?;
        let test = match name.as_str() {
            "exactly" => self
                .string_operator(Operator::Exactly, at, "exact", |text| Test::Is(text.into_bytes().into()))?,
            "prefix" => self.prefix(at)?,
            "suffix" => self.suffix(at)?,
            "equals-ignore-case" => {
                self.string_operator(Operator::EqualsIgnoreCase, at, "equals-ignore-case", |text| {
                    Test::Folded(Folded::of(&text))
                })?
            }
            "wildcard" => {
                self.permit(Operator::Wildcard, at, "wildcard")?;
                let inside = self.here();
                let text = self.string("wildcard")?;
                self.wildcard(inside, &text)?
            }
            "numeric" => self.numeric(at)?,
            "anything-but" => self.anything_but(at)?,
            "exists" => self.exists(at)?,
            "cidr" => self.cidr(at)?,
            other => return self.unrecognized(at, other),
        };
        let at = self.here();
        match self.more(b'}')? {
            false => Ok(test),
            true if matches!(name.as_str(), "numeric" | "anything-but") => self.refuse(at, TOO_MANY),
            true => self.refuse(at, ONE_KEY),
        }
    }

    fn unrecognized(&mut self, at: usize, name: &str) -> Parsed {
        let lower = name.to_ascii_lowercase();
        let meant = NAMES.iter().find(|known| {
            **known == lower
                || known.replace('-', "") == lower.replace(['-', '_'], "")
                || within_one(known, &lower)
        });
        let hint = match meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("the operators are {}", NAMES.join(", ")),
        };
        self.refuse_with(at, format!("Unrecognized match type {name}"), hint)
    }

    /// Refuses what this dialect does not have.
    fn permit(&self, operator: Operator, at: usize, name: &str) -> Result<(), Refusal> {
        if self.dialect.takes(operator) {
            return Ok(());
        }
        self.refuse_with(
            at,
            format!("Unrecognized match type {name}"),
            "this service does not have the operator".to_owned(),
        )
    }

    fn string_operator(
        &mut self,
        operator: Operator,
        at: usize,
        name: &str,
        test: impl FnOnce(String) -> Test,
    ) -> Parsed {
        self.permit(operator, at, if name == "exact" { "exactly" } else { name })?;
        self.string(name).map(test)
    }

    /// The operator's operand, which must be a string.
    fn string(&mut self, name: &str) -> Result<String, Refusal> {
        let at = self.here();
        match self.cursor.peek() {
            Some(b'"') => {
                let scalar = self.scalar()?;
                Ok(self.decoded(scalar.text))
            }
            _ => self.refuse(at, format!("{name} match pattern must be a string")),
        }
    }

    fn prefix(&mut self, at: usize) -> Parsed {
        self.permit(Operator::Prefix, at, "prefix")?;
        if self.cursor.peek() == Some(b'{') && self.dialect.takes(Operator::PrefixIgnoreCase) {
            let text = self.ignoring_case("Prefix", "prefix")?;
            return Ok(Test::BeginsFolded(Folded::of(&text), text.strip_suffix('"').map(Folded::of)));
        }
        self.string("prefix").map(|text| Test::Begins(text.into_bytes().into()))
    }

    fn suffix(&mut self, at: usize) -> Parsed {
        self.permit(Operator::Suffix, at, "suffix")?;
        if self.cursor.peek() == Some(b'{') && self.dialect.takes(Operator::SuffixIgnoreCase) {
            let text = self.ignoring_case("Suffix", "suffix")?;
            return Ok(Test::EndsFolded(Folded::of(&text), text.strip_prefix('"').map(Folded::of)));
        }
        self.string("suffix").map(|text| Test::Ends(text.into_bytes().into()))
    }

    /// `{"equals-ignore-case": "x"}` under a prefix or suffix.
    fn ignoring_case(&mut self, title: &str, name: &str) -> Result<String, Refusal> {
        self.cursor.take(b'{');
        let at = self.here();
        if self.cursor.take(b'}') {
            return self.refuse(at, format!("{title} expression name not found"));
        }
        let inner = self.key()?;
        if inner != "equals-ignore-case" {
            return self.refuse_with(
                at,
                format!("Unsupported {name} pattern: {inner}"),
                format!("{name} takes a string, or {{\"equals-ignore-case\": \"…\"}}"),
            );
        }
        let text = self.string("equals-ignore-case")?;
        let at = self.here();
        if self.more(b'}')? {
            return self.refuse(at, ONE_KEY);
        }
        Ok(text)
    }

    fn wildcard(&self, at: usize, text: &str) -> Parsed {
        Wildcard::parse(text).map(Test::Wildcard).or_else(|(reason, _)| self.refuse(at, reason))
    }

    fn exists(&mut self, at: usize) -> Parsed {
        self.permit(Operator::Exists, at, "exists")?;
        let at = self.here();
        let scalar = matches!(self.cursor.peek(), Some(b't' | b'f')).then(|| self.scalar()).transpose()?;
        match scalar {
            Some(scalar) if scalar.text.raw == b"true" => Ok(Test::Exists),
            Some(_) => Ok(Test::Absent),
            None => self.refuse(at, "exists match pattern must be either true or false."),
        }
    }

    fn cidr(&mut self, at: usize) -> Parsed {
        self.permit(Operator::Cidr, at, "cidr")?;
        let at = self.here();
        if self.cursor.peek() != Some(b'"') {
            // Sic: AWS's own slip.
            return self.refuse_with(
                at,
                "prefix match pattern must be a string",
                "cidr takes a string".to_owned(),
            );
        }
        let text = self.string("cidr")?;
        Range::cidr(&text).map(Test::Address).or_else(|reason| self.refuse(at, reason))
    }

    fn number(&mut self, at: usize, refusal: impl FnOnce() -> String) -> Result<f64, Refusal> {
        let scalar = match self.cursor.peek() {
            Some(b'-' | b'0'..=b'9') => self.scalar()?,
            _ => return self.refuse(at, refusal()),
        };
        self.comparable(at, &scalar)
    }

    fn comparable(&self, at: usize, scalar: &Scalar<'_>) -> Result<f64, Refusal> {
        let text = String::from_utf8_lossy(scalar.text.raw);
        let Some(value) = comparable(scalar.text.raw) else {
            return self.refuse_with(
                at,
                format!("Cannot compare number : {text}"),
                "more digits than a double keeps".to_owned(),
            );
        };
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        if self.dialect.sns() && (value.abs() > 1e9 || decimals > 5) {
            return self.refuse(at, "Value of numeric must be between -1000000000 and 1000000000, with at most five digits after the point");
        }
        Ok(value)
    }

    fn numeric(&mut self, at: usize) -> Parsed {
        self.permit(Operator::Numeric, at, "numeric")?;
        let at = self.here();
        if !self.cursor.take(b'[') {
            return self.refuse(at, "Value of numeric must be an array.");
        }
        let (at, operator) = self.relation("Invalid member in numeric match: ")?;
        let unbounded = |value| Bound { value, included: true };
        let name = if operator == "=" { "equals" } else { &operator };
        if !matches!(operator.as_str(), "=" | "<" | "<=" | ">" | ">=") {
            return self.refuse_with(
                at,
                format!("Unrecognized numeric range operator: {operator}"),
                "use =, <, <=, > or >=".to_owned(),
            );
        }
        let more = self.more(b']')?;
        let at = self.here();
        let refusal = || format!("Value of {name} must be numeric");
        let value = if more { self.number(at, refusal)? } else { return self.refuse(at, refusal()) };
        let bound = Bound { value, included: operator.len() == 2 };
        let lower = operator.starts_with('>');
        let at = self.here();
        match (self.more(b']')?, lower) {
            (false, true) => Ok(Test::Between(bound, unbounded(f64::MAX))),
            (false, false) if operator == "=" => Ok(Test::Number(value)),
            (false, false) => Ok(Test::Between(unbounded(f64::MIN), bound)),
            (true, false) => self.refuse(at, TOO_MANY),
            (true, true) => self.upper(bound),
        }
    }

    /// The second half of a range, after the comma.
    fn upper(&mut self, low: Bound) -> Parsed {
        let (at, operator) = self.relation("Bad value in numeric range: ")?;
        if !operator.starts_with('<') || operator.len() > 2 || !matches!(operator.as_str(), "<" | "<=") {
            return self.refuse_with(
                at,
                format!("Bad numeric range operator: {operator}"),
                "the first bound of a range is the lower one (> or >=), the second the upper (< or <=)"
                    .to_owned(),
            );
        }
        let more = self.more(b']')?;
        let at = self.here();
        let refusal = || format!("Value of {operator} must be numeric");
        let value = if more { self.number(at, refusal)? } else { return self.refuse(at, refusal()) };
        if self.more(b']')? {
            return self.refuse(at, "Too many terms in numeric range expression");
        }
        if low.value >= value {
            return self.refuse(at, "Bottom must be less than top");
        }
        Ok(Test::Between(low, Bound { value, included: operator == "<=" }))
    }

    fn relation(&mut self, refusal: &str) -> Result<(usize, String), Refusal> {
        let at = self.here();
        if self.cursor.peek() == Some(b'"') {
            let scalar = self.scalar()?;
            return Ok((at, self.decoded(scalar.text)));
        }
        let start = self.cursor.at();
        let seen = match self.cursor.skip() {
            Ok(()) => String::from_utf8_lossy(self.cursor.since(start)).into_owned(),
            Err(_) => "]".to_owned(),
        };
        self.refuse(at, format!("{refusal}{seen}"))
    }

    fn anything_but(&mut self, at: usize) -> Parsed {
        self.permit(Operator::AnythingBut, at, "anything-but")?;
        let nested = self.cursor.take(b'{');
        let operator = if nested { self.but_operator()? } else { Operator::AnythingBut };
        let at = self.here();
        let tests = match self.cursor.peek() {
            Some(b'[') => self.but_list(operator)?,
            Some(b'"' | b'-' | b'0'..=b'9') => {
                let scalar = self.scalar()?;
                vec![self.but_one(operator, at, &scalar)?]
            }
            _ => {
                return self
                    .refuse(at, "Value of anything-but must be an array or single string/number value.");
            }
        };
        let at = self.here();
        if nested && self.more(b'}')? {
            return self.refuse(at, TOO_MANY);
        }
        Ok(Test::Not(tests.into()))
    }

    /// The operator inside `anything-but`'s object.
    fn but_operator(&mut self) -> Result<Operator, Refusal> {
        let at = self.here();
        if self.cursor.take(b'}') {
            return self.refuse(at, "Anything-But expression name not found");
        }
        let name = self.key()?;
        let operator = match name.as_str() {
            "prefix" => Operator::AnythingButPrefix,
            "suffix" => Operator::AnythingButSuffix,
            "wildcard" => Operator::AnythingButWildcard,
            "equals-ignore-case" => Operator::AnythingButEqualsIgnoreCase,
            _ => Operator::AnythingBut,
        };
        if operator == Operator::AnythingBut || !self.dialect.takes(operator) {
            return self.refuse_with(
                at,
                format!("Unsupported anything-but pattern: {name}"),
                "anything-but takes strings, numbers, or an object with prefix, suffix, equals-ignore-case or wildcard"
                    .to_owned(),
            );
        }
        Ok(operator)
    }

    fn but_list(&mut self, operator: Operator) -> Result<Vec<Test>, Refusal> {
        let start = self.here();
        self.cursor.take(b'[');
        let mut tests = Vec::new();
        if !self.cursor.take(b']') {
            loop {
                let at = self.here();
                let scalar = match self.cursor.peek() {
                    Some(b'"' | b'-' | b'0'..=b'9') => self.scalar()?,
                    _ if operator == Operator::AnythingBut => {
                        return self
                            .refuse(at, "Inside anything but list, start|null|boolean is not supported.");
                    }
                    _ => return self.refuse(at, not_a_string(operator)),
                };
                tests.push(self.but_one(operator, at, &scalar)?);
                if !self.more(b']')? {
                    break;
                }
            }
        }
        if operator == Operator::AnythingBut {
            let numbers = tests.iter().filter(|test| test.is_numeric()).count();
            if tests.is_empty() || (numbers > 0 && numbers < tests.len()) {
                return self.refuse(
                    start,
                    "Inside anything but list, either all values are number or string, mixed type is not supported",
                );
            }
        } else if tests.is_empty() {
            return self.refuse(start, "Empty arrays are not allowed");
        }
        Ok(tests)
    }

    fn but_one(&self, operator: Operator, at: usize, scalar: &Scalar<'_>) -> Parsed {
        if scalar.kind == Kind::Number {
            return match operator {
                Operator::AnythingBut => self.comparable(at, scalar).map(Test::Number),
                _ => self.refuse(at, not_a_string(operator)),
            };
        }
        let text = self.decoded(scalar.text);
        let affix = matches!(operator, Operator::AnythingButPrefix | Operator::AnythingButSuffix);
        if affix && text.is_empty() {
            return self.refuse(at, "Null prefix/suffix not allowed");
        }
        match operator {
            Operator::AnythingButPrefix => Ok(Test::Begins(text.into_bytes().into())),
            Operator::AnythingButSuffix => Ok(Test::Ends(text.into_bytes().into())),
            Operator::AnythingButEqualsIgnoreCase => Ok(Test::Folded(Folded::of(&text))),
            Operator::AnythingButWildcard => self.wildcard(at, &text),
            _ => Ok(Test::Is(text.into_bytes().into())),
        }
    }
}

fn not_a_string(operator: Operator) -> &'static str {
    match operator {
        Operator::AnythingButEqualsIgnoreCase => {
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
        }
        Operator::AnythingButWildcard => "wildcard match pattern must be a string",
        _ => "prefix/suffix match pattern must be a string",
    }
}

/// Whether one slip of the finger lies between two names.
fn within_one(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let head = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let tail = one[head..].iter().rev().zip(other[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    one.len().max(other.len()) - head - tail <= 1
}
