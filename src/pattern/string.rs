//! Strings as JSON writes them: where they end, and what they say.

/// A string as it is written: between its quotes, escapes and all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    pub raw: &'t [u8],
    pub escaped: bool,
}

impl<'t> Text<'t> {
    /// What the string says; in `buffer`, where it has escapes. Half a surrogate pair becomes `?`, as in Java's UTF-8.
    #[inline]
    pub fn decode<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8]
    where
        't: 'b,
    {
        if !self.escaped {
            return self.raw;
        }
        buffer.clear();
        self.append_to(buffer);
        buffer
    }

    /// Appends what the string says.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let start = out.len();
        // An escape is never shorter than what it stands for.
        out.resize(start + self.raw.len(), 0);
        let length = self.unescape(&mut out[start..]);
        out.truncate(start + length);
    }

    /// Writes what the string says; answers how long it is.
    fn unescape(&self, out: &mut [u8]) -> usize {
        let raw = self.raw;
        let (mut at, mut to) = (0, 0);
        while at < raw.len() {
            // Eight bytes at a time, and what is behind a backslash among them is written again.
            let chunk = raw[at..].first_chunk::<8>();
            let room = out.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<8>);
            if let (Some(chunk), Some(room)) = (chunk, room) {
                *room = *chunk;
                let plain = before_backslash(u64::from_le_bytes(*chunk));
                (at, to) = (at + plain, to + plain);
                if plain == 8 {
                    continue;
                }
            }
            let (read, written) = match (raw[at], raw.get(at + 1)) {
                (b'\\', Some(b'u')) => {
                    let (char, read) = code_point(&raw[at..]);
                    let mut utf8 = [0; 4];
                    let utf8 = char.encode_utf8(&mut utf8).as_bytes();
                    out[to..to + utf8.len()].copy_from_slice(utf8);
                    (read, utf8.len())
                }
                (b'\\', Some(escaped)) => {
                    out[to] = match escaped {
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        other => *other,
                    };
                    (2, 1)
                }
                (byte, _) => {
                    out[to] = byte;
                    (1, 1)
                }
            };
            (at, to) = (at + read, to + written);
        }
        to
    }
}

/// The character that `\uXXXX`, or a pair of them, stands for, and the escape's length.
fn code_point(escape: &[u8]) -> (char, usize) {
    let unit = |at| hex4(escape, at).unwrap_or(0xd800);
    let first = unit(2);
    if (0xd800..0xdc00).contains(&first) && escape.get(6..8) == Some(b"\\u") {
        let second = unit(8);
        if (0xdc00..0xe000).contains(&second) {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return (char::from_u32(code).unwrap_or('?'), 12);
        }
    }
    (char::from_u32(first).unwrap_or('?'), 6)
}

pub(super) fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The high bit of the first byte that is `byte`. A borrow can mark a byte above the first that counts, never below it.
#[inline(always)]
pub(super) fn marks(word: u64, byte: u8) -> u64 {
    let differs = word ^ (ONES * u64::from(byte));
    differs.wrapping_sub(ONES) & !differs & HIGH
}

#[inline(always)]
fn before_backslash(word: u64) -> usize {
    marks(word, b'\\').trailing_zeros() as usize / 8
}

/// The first place from `at` on that ends a string or needs a closer look: a quote, a backslash, a control character.
/// Eight bytes at a time: most strings are shorter than what a call to a vectorised search costs.
#[inline(always)]
pub(super) fn plain_until(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = marks(word, b'"') | marks(word, b'\\') | control;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded() {
        let decoded = |raw: &str| {
            let text = Text { raw: raw.as_bytes(), escaped: true };
            String::from_utf8(text.decode(&mut Vec::new()).to_vec()).expect("decoded text is UTF-8")
        };
        assert_eq!(decoded(r#"\u0061b\/\"\\\n"#), "ab/\"\\\n");
        assert_eq!(decoded(r"\ud83d\ude00 \ud83d \ude00\u00e9"), "😀 ? ?é");
    }
}
