//! IP addresses and ranges of them, compared as AWS compares them: as hexadecimal text.

use std::net::Ipv6Addr;

/// An address: 8 or 32 hexadecimal digits in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hex {
    digits: [u8; 32],
    length: usize,
}

/// All addresses from one to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    bottom: Hex,
    top: Hex,
}

impl Hex {
    /// The address that `text` is, if it is one.
    pub fn of(text: &[u8]) -> Option<Self> {
        let octets = octets(text)?;
        let mut hex = Self { digits: [0; 32], length: octets.as_slice().len() * 2 };
        for (pair, octet) in hex.digits.chunks_exact_mut(2).zip(octets.as_slice()) {
            pair.copy_from_slice(&[digit(octet >> 4), digit(octet & 15)]);
        }
        Some(hex)
    }

    pub fn text(&self) -> &[u8] {
        &self.digits[..self.length]
    }

    fn masked(mut self, bits: usize, fill: u8) -> Self {
        for (place, slot) in self.digits[..self.length].iter_mut().enumerate() {
            let free = (4 * (place + 1)).saturating_sub(bits).min(4);
            let mask = (1_u8 << free) - 1;
            *slot = digit(value(*slot) & !mask | fill & mask);
        }
        self
    }
}

impl Range {
    /// Just this address.
    pub fn only(address: Hex) -> Self {
        Self { bottom: address, top: address }
    }

    /// `10.0.0.0/8`, or AWS's words for what is wrong with it.
    pub fn cidr(text: &str) -> Result<Self, String> {
        // Java's `split`: nothing after the last slash is nothing at all.
        let parts: Vec<&str> = text.trim_end_matches('/').split('/').collect();
        let [address, bits] = parts[..] else { return Err("Malformed CIDR, one '/' required".to_owned()) };
        let Ok(bits) = bits.parse::<i32>() else {
            return Err("Malformed CIDR, mask bits must be an integer".to_owned());
        };
        let Ok(bits) = usize::try_from(bits) else {
            return Err("Malformed CIDR, mask bits must not be negative".to_owned());
        };
        let Some(hex) = Hex::of(address.as_bytes()) else {
            let what = if is_spelled_like_one(address.as_bytes()) { "Invalid" } else { "Nonstandard" };
            return Err(format!("{what} IP address: {address}"));
        };
        if hex.length == 8 && bits > 31 {
            return Err("IPv4 mask bits must be < 32".to_owned());
        }
        if bits > 127 {
            return Err("IPv6 mask bits must be < 128".to_owned());
        }
        Ok(Self { bottom: hex.masked(bits, 0), top: hex.masked(bits, 15) })
    }

    /// Whether `text` lies in it, read digit by digit and no further than needed.
    ///
    /// So event-ruler does it, and so it holds for what is no address of this family: `0.0.0.0/0` has every address and
    /// every number that begins with 1 to 9.
    pub fn holds(&self, text: &[u8]) -> bool {
        let (bottom, top) = (self.bottom.text(), self.top.text());
        let (mut at_bottom, mut at_top) = (true, true);
        for (place, (low, high)) in bottom.iter().zip(top).enumerate() {
            let Some(digit) = text.get(place).filter(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'))
            else {
                return false;
            };
            if (at_bottom && digit < low) || (at_top && digit > high) {
                return false;
            }
            at_bottom &= digit == low;
            at_top &= digit == high;
            if !at_bottom && !at_top {
                return true;
            }
        }
        true
    }
}

enum Octets {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Octets {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

fn octets(text: &[u8]) -> Option<Octets> {
    // Most strings are no address: their first byte says so.
    if !text.first().is_some_and(|first| first.is_ascii_hexdigit() || *first == b':') || text.len() > 45 {
        return None;
    }
    if let Some(octets) = v4(text) {
        return Some(Octets::V4(octets));
    }
    if !is_spelled_like_one(text) {
        return None;
    }
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    // Java makes an IPv4 address of `::ffff:a00:1`.
    Some(address.to_ipv4_mapped().map_or(Octets::V6(address.octets()), |v4| Octets::V4(v4.octets())))
}

/// Four decimal numbers. Leading zeros are decimal too, as in Java; fifteen characters in all.
fn v4(text: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || text.len() > 15 {
            return None;
        }
        *octet = part.iter().try_fold(0_u8, |value, digit| {
            let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
            value.checked_mul(10)?.checked_add(digit)
        })?;
    }
    parts.next().is_none().then_some(octets)
}

/// What event-ruler takes for an address before it reads it.
fn is_spelled_like_one(text: &[u8]) -> bool {
    let v4 = || {
        let mut parts = 0;
        text.split(|byte| *byte == b'.').all(|part| {
            parts += 1;
            !part.is_empty() && part.iter().all(u8::is_ascii_digit)
        }) && parts == 4
    };
    let v6 = || text.contains(&b':') && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b':');
    v6() || v4()
}

fn digit(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(nibble & 15)]
}

fn value(digit: u8) -> u8 {
    if digit <= b'9' { digit - b'0' } else { digit - b'A' + 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(cidr: &str, address: &str) -> bool {
        Hex::of(address.as_bytes())
            .is_some_and(|hex| Range::cidr(cidr).is_ok_and(|range| range.holds(hex.text())))
    }

    #[test]
    fn ranges_have_their_ends() {
        for (cidr, inside, outside) in [
            ("10.0.0.0/24", "10.0.0.255", "10.0.1.0"),
            ("10.0.0.77/24", "10.0.0.0", "9.255.255.255"),
            ("10.0.0.2/31", "10.0.0.3", "10.0.0.4"),
            ("192.168.0.0/13", "192.175.255.255", "192.176.0.0"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
        ] {
            assert!(holds(cidr, inside), "{cidr} {inside}");
            assert!(!holds(cidr, outside), "{cidr} {outside}");
        }
    }

    #[test]
    fn addresses_are_read_as_java_reads_them() {
        assert_eq!(Hex::of(b"010.0.0.1"), Hex::of(b"10.0.0.1"));
        assert_eq!(Hex::of(b"::ffff:a00:1"), Hex::of(b"10.0.0.1"));
        for no in ["", "10.0.0", "10.0.0.256", "10.0.0.1.", "a.b.c.d", "1:2", "x", "10.0.0.1/8", "::1%eth0"] {
            assert_eq!(Hex::of(no.as_bytes()), None, "{no}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_aws_says_it() {
        for (cidr, why) in [
            ("bad-filter", "Malformed CIDR, one '/' required"),
            ("bad-/64filter", "Malformed CIDR, mask bits must be an integer"),
            ("10.0.0.0/-1", "Malformed CIDR, mask bits must not be negative"),
            ("xxxx:db8:1234:1a00::/64", "Nonstandard IP address: xxxx:db8:1234:1a00::"),
            ("1:2/64", "Invalid IP address: 1:2"),
            ("10.0.0.1/32", "IPv4 mask bits must be < 32"),
            ("::/128", "IPv6 mask bits must be < 128"),
        ] {
            assert_eq!(Range::cidr(cidr), Err(why.to_owned()));
        }
    }
}
