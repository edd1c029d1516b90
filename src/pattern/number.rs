//! Numbers as AWS compares them: as doubles, if the double says just what was written.

use std::fmt::Write;

/// The double that `text`, a JSON number, is compared as. `None`: more digits than a double keeps, or too large. Such a
/// number only equals the same text (event-ruler: "Cannot compare number").
pub(super) fn comparable(text: &[u8]) -> Option<f64> {
    let written = Decimal::of(text)?;
    if written.is_zero() {
        return Some(0.0);
    }
    // Up to fifteen digits always survive, and a small power of ten is exact: one rounding, as parsing would do.
    if let Some(value) = written.exactly() {
        return Some(value);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut shortest = Shortest::default();
    write!(shortest, "{value:e}").ok()?;
    let same = value.is_finite() && Decimal::of(shortest.text())? == written;
    same.then_some(value)
}

/// A number as its digits without zeros at either end, and the power of ten of the last of them.
#[derive(Debug)]
struct Decimal<'t> {
    negative: bool,
    /// Perhaps with a point among them.
    digits: &'t [u8],
    exponent: i64,
}

impl<'t> Decimal<'t> {
    fn of(text: &'t [u8]) -> Option<Self> {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(e) => (&text[..e], power(&text[e + 1..])?),
            None => (text, 0),
        };
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let significant = |byte: &u8| !matches!(byte, b'0' | b'.');
        let Some(first) = mantissa.iter().position(significant) else {
            return Some(Self { negative, digits: &[], exponent: 0 });
        };
        let last = mantissa.iter().rposition(significant).unwrap_or(first);
        // Where the last digit stands: 0 just before the point, -1 just after it.
        let place = match last < point {
            true => (point - 1 - last) as i64,
            false => -((last - point) as i64),
        };
        Some(Self { negative, digits: &mantissa[first..=last], exponent: exponent.checked_add(place)? })
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    fn figures(&self) -> impl Iterator<Item = u8> + '_ {
        self.digits.iter().copied().filter(|digit| *digit != b'.')
    }

    fn exactly(&self) -> Option<f64> {
        const POWERS: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
            1e18, 1e19, 1e20, 1e21, 1e22,
        ];
        if self.digits.len() > 15 {
            return None;
        }
        let whole = self.figures().fold(0_u64, |whole, digit| whole * 10 + u64::from(digit - b'0')) as f64;
        let power = *POWERS.get(usize::try_from(self.exponent.unsigned_abs()).ok()?)?;
        let value = if self.exponent < 0 { whole / power } else { whole * power };
        Some(if self.negative { -value } else { value })
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative
            && self.exponent == other.exponent
            && self.figures().eq(other.figures())
    }
}

fn power(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Room for the shortest text of any double.
#[derive(Default)]
struct Shortest {
    bytes: [u8; 32],
    length: usize,
}

impl Shortest {
    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for Shortest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::comparable;

    #[test]
    fn numbers_are_what_they_say() {
        for (text, value) in [
            ("10", 10.0),
            ("10.0", 10.0),
            ("1e1", 10.0),
            ("0.1e2", 10.0),
            ("100E-1", 10.0),
            ("-0", 0.0),
            ("-0.00", 0.0),
            ("0e99", 0.0),
            ("-1.5", -1.5),
            ("99.999999", 99.999999),
            ("301.8", 301.8),
            ("3.018e2", 301.8),
            ("5000000000", 5e9),
            ("1e308", 1e308),
            ("5e-324", 5e-324),
            ("0.30000000000000004", 0.1 + 0.2),
            ("9007199254740992", 9007199254740992.0),
            ("1.7976931348623157e308", f64::MAX),
            ("12345678901234567000", 12345678901234567000.0),
            ("0.000000000000000000000000000001", 1e-30),
            ("123456789012345", 123456789012345.0),
        ] {
            assert_eq!(comparable(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "12345678901234567890",
            "9007199254740993",
            "1e309",
            "1e-400",
            "0.1000000000000000055",
            "1e99999999999999999999",
        ] {
            assert_eq!(comparable(text.as_bytes()), None, "{text}");
        }
        assert_eq!(comparable(b"-0.0").map(f64::is_sign_negative), Some(false));
    }
}
