//! JSON as text: a cursor that checks what it passes over and builds nothing.

use super::error::Malformed;
pub(super) use super::string::Text;
use super::string::{hex4, marks, plain_until};

/// A text is not JSON; the cursor knows where and why. Small, since nearly every call can answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault;

/// Objects and arrays in one another, at most. Jackson, which AWS's matcher reads with, stops there too.
pub(super) const DEEPEST: usize = 1000;

/// Where we are in a JSON text.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
    fault: Option<Malformed>,
}

/// What a scalar is; its text is beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Number,
    /// `true`, `false`, `null`.
    Literal,
}

/// A scalar as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar<'t> {
    pub kind: Kind,
    pub text: Text<'t>,
}

impl<'t> Cursor<'t> {
    /// At the beginning of a text, which must be UTF-8.
    pub fn new(text: &'t [u8]) -> Result<Self, Malformed> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self { text, at: 0, fault: None }),
            Err(error) => Err(Malformed { at: error.valid_up_to(), expected: "UTF-8" }),
        }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    pub fn since(&self, start: usize) -> &'t [u8] {
        &self.text[start..self.at]
    }

    pub fn expected<T>(&mut self, expected: &'static str) -> Result<T, Fault> {
        self.fault(self.at, expected)
    }

    #[cold]
    fn fault<T>(&mut self, at: usize, expected: &'static str) -> Result<T, Fault> {
        self.fault = Some(Malformed { at, expected });
        Err(Fault)
    }

    /// At the beginning of a text that is taken for what it says to be: nothing passed over is checked.
    pub fn trusting(text: &'t [u8]) -> Self {
        Self { text, at: 0, fault: None }
    }

    /// What a [`Fault`] was about.
    pub fn malformed(&self) -> Malformed {
        self.fault.unwrap_or(Malformed { at: self.at, expected: "JSON" })
    }

    /// The next byte that is no white space, not taken.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
        None
    }

    /// Takes `byte`, if it is the next one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    #[inline]
    fn need(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { self.expected(expected) }
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.expected("the end of the text"),
        }
    }

    /// A member's name and the colon behind it.
    #[inline]
    pub fn key(&mut self) -> Result<Text<'t>, Fault> {
        if self.peek() != Some(b'"') {
            return self.expected("a member's name in double quotes");
        }
        let key = self.string()?;
        self.need(b':', "a colon after the member's name")?;
        Ok(key)
    }

    /// After a member or an element: whether another follows.
    #[inline]
    pub fn more(&mut self, close: u8) -> Result<bool, Fault> {
        if self.take(b',') {
            return Ok(true);
        }
        let expected = if close == b'}' { "a comma or }" } else { "a comma or ]" };
        self.need(close, expected).map(|()| false)
    }

    /// A string, number or literal.
    #[inline]
    pub fn scalar(&mut self) -> Result<Scalar<'t>, Fault> {
        let plain = |kind, raw| Scalar { kind, text: Text { raw, escaped: false } };
        match self.peek() {
            Some(b'"') => Ok(Scalar { kind: Kind::String, text: self.string()? }),
            Some(b'-' | b'0'..=b'9') => Ok(plain(Kind::Number, self.number()?)),
            Some(b't') => Ok(plain(Kind::Literal, self.literal(b"true")?)),
            Some(b'f') => Ok(plain(Kind::Literal, self.literal(b"false")?)),
            Some(b'n') => Ok(plain(Kind::Literal, self.literal(b"null")?)),
            _ => self.expected("a value"),
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<&'t [u8], Fault> {
        let rest = &self.text[self.at..];
        if !rest.starts_with(word) || rest.get(word.len()).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            return self.expected("a value");
        }
        self.at += word.len();
        Ok(&rest[..word.len()])
    }

    /// From the opening quote past the closing one.
    #[inline]
    fn string(&mut self) -> Result<Text<'t>, Fault> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = plain_until(self.text, at);
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { raw: &self.text[start..at], escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at += self.escape(at)?;
                }
                Some(_) => return self.fault(at, "no control character in a string"),
                None => return self.fault(at, "a closing double quote"),
            }
        }
    }

    /// How long the escape at `at` is.
    fn escape(&mut self, at: usize) -> Result<usize, Fault> {
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') if hex4(self.text, at + 2).is_some() => Ok(6),
            _ => self.fault(at, r#"one of the escapes \" \\ \/ \b \f \n \r \t \uXXXX"#),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<&'t [u8], Fault> {
        let start = self.at;
        self.at += usize::from(self.text[start] == b'-');
        let zero = self.text.get(self.at) == Some(&b'0');
        let whole = self.digits();
        if whole == 0 || (zero && whole > 1) {
            return self.expected("a number without leading zeros");
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return self.expected("a digit after the point");
            }
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return self.expected("a digit in the exponent");
            }
        }
        Ok(self.since(start))
    }

    /// Passes over one value, checking it. No recursion: whose text it is may nest as it likes.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.scalar().map(drop),
        }
    }

    /// Passes over one value by its brackets and quotes alone.
    #[inline]
    pub fn hop(&mut self) -> Result<(), Fault> {
        let mut depth = 0_usize;
        self.peek();
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => self.at = self.past_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b'}' | b']' if depth == 0 => return Ok(()),
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
        self.expected("a closing bracket")
    }

    /// The place behind the string that begins here.
    #[inline]
    fn past_string(&mut self) -> Result<usize, Fault> {
        let mut at = self.at + 1;
        loop {
            while let Some(chunk) = self.text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
                let word = u64::from_le_bytes(*chunk);
                let found = marks(word, b'"') | marks(word, b'\\');
                if found != 0 {
                    at += found.trailing_zeros() as usize / 8;
                    break;
                }
                at += 8;
            }
            match self.text.get(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return self.fault(at, "a closing double quote"),
            }
        }
    }

    fn skip_nested(&mut self) -> Result<(), Fault> {
        let mut open = Open::default();
        loop {
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    open.push(true).or_else(|()| self.expected("less nesting"))?;
                    if !self.take(b'}') {
                        self.key()?;
                        continue;
                    }
                    open.depth -= 1;
                }
                Some(b'[') => {
                    self.at += 1;
                    open.push(false).or_else(|()| self.expected("less nesting"))?;
                    if !self.take(b']') {
                        continue;
                    }
                    open.depth -= 1;
                }
                _ => drop(self.scalar()?),
            }
            // After a value: close what ends here.
            loop {
                if open.depth == 0 {
                    return Ok(());
                }
                let object = open.object();
                if self.more(if object { b'}' } else { b']' })? {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                open.depth -= 1;
            }
        }
    }
}

/// What is open, one bit each: an object or an array.
#[derive(Default)]
struct Open {
    objects: [u64; DEEPEST.div_ceil(64)],
    depth: usize,
}

impl Open {
    fn push(&mut self, object: bool) -> Result<(), ()> {
        if self.depth == DEEPEST {
            return Err(());
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        self.objects[word] = if object { self.objects[word] | bit } else { self.objects[word] & !bit };
        self.depth += 1;
        Ok(())
    }

    fn object(&self) -> bool {
        let top = self.depth - 1;
        self.objects[top / 64] >> (top % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skips(text: &str) -> bool {
        let mut cursor = Cursor::new(text.as_bytes()).expect("text is UTF-8");
        cursor.skip().and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn json_is_json() {
        for good in [
            "0",
            "-0.5e+10",
            "\"\"",
            "[]",
            "{}",
            " [ 1 , [ ] , { \"a\" : null } ] ",
            "true",
            "\"\\ud800\\u00e9\\n\"",
            "{\"a\":{\"b\":[[],{}]},\"c\":1}",
            "\"0123456789abcdef\\\\\"",
        ] {
            assert!(skips(good), "{good}");
        }
        for bad in [
            "",
            "01",
            "1.",
            "1e",
            "-",
            "+1",
            ".5",
            "nul",
            "nulls",
            "truex",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "\"\t\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "[",
            "{\"a\":",
            "1 2",
            "'a'",
            "\"01234567\u{1}\"",
        ] {
            assert!(!skips(bad), "{bad}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(skips(&nested(DEEPEST)));
        assert!(!skips(&nested(DEEPEST + 1)));
    }
}
