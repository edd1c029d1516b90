//! What strings are compared with besides themselves: without case, and with wildcards.

use memchr::memmem::Finder;

/// Text to be found in either case.
///
/// Case is folded as event-ruler folds it: each character of the pattern by itself, to one lower and one upper form.
/// What has no place in UTF-16's first plane becomes two question marks there, and here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Folded {
    Ascii(Box<[u8]>),
    Wide(Box<[Cases]>),
}

/// A character's lower and upper form.
type Cases = (Box<[u8]>, Box<[u8]>);

impl Folded {
    pub fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.as_bytes().into());
        }
        let both = |c: char| match u32::from(c) > 0xffff {
            true => (b"??".as_slice().into(), b"??".as_slice().into()),
            false => (bytes(c.to_lowercase()), bytes(c.to_uppercase())),
        };
        Self::Wide(text.chars().map(both).collect())
    }

    pub fn is(&self, text: &[u8]) -> bool {
        match self {
            Self::Ascii(ours) => text.eq_ignore_ascii_case(ours),
            Self::Wide(_) => self.begins(text).is_some_and(|rest| rest.is_empty()),
        }
    }

    /// What follows in `text`, if it begins so.
    pub fn begins<'v>(&self, text: &'v [u8]) -> Option<&'v [u8]> {
        match self {
            Self::Ascii(ours) => {
                let (head, rest) = text.split_at_checked(ours.len())?;
                head.eq_ignore_ascii_case(ours).then_some(rest)
            }
            Self::Wide(chars) => chars.iter().try_fold(text, |rest, (lower, upper)| {
                rest.strip_prefix(&**lower).or_else(|| rest.strip_prefix(&**upper))
            }),
        }
    }

    pub fn ends(&self, text: &[u8]) -> bool {
        match self {
            Self::Ascii(ours) => {
                let tail = text.len().checked_sub(ours.len()).and_then(|at| text.get(at..));
                tail.is_some_and(|tail| tail.eq_ignore_ascii_case(ours))
            }
            Self::Wide(chars) => {
                let found = chars.iter().rev().try_fold(text, |rest, (lower, upper)| {
                    rest.strip_suffix(&**lower).or_else(|| rest.strip_suffix(&**upper))
                });
                found.is_some()
            }
        }
    }
}

fn bytes(chars: impl Iterator<Item = char>) -> Box<[u8]> {
    chars.collect::<String>().into_bytes().into()
}

/// Text with gaps: `*` is any run of characters, also none.
#[derive(Debug, Clone)]
pub(super) struct Wildcard {
    /// Before the first `*`; all of it, where there is none.
    first: Box<[u8]>,
    /// Between two.
    middle: Box<[Finder<'static>]>,
    /// After the last.
    last: Option<Box<[u8]>>,
    /// The least a text must have: so many bytes, and these ASCII characters.
    shortest: usize,
    needs: u128,
}

/// A set of ASCII characters with only this one; empty for any other byte.
#[inline]
pub(super) fn mask(byte: u8) -> u128 {
    if byte < 128 { 1 << byte } else { 0 }
}

/// Stars and repeats in one wildcard, together. AWS keeps its own limit to itself, but takes one star with six repeats.
const MOST_COMPLEX: usize = 8;

const TOO_COMPLEX: &str = "Rule is too complex - try using fewer wildcard characters or fewer repeating character \
                           sequences after a wildcard character";

impl Wildcard {
    /// AWS's words for what is wrong with it, and at which byte. (It counts the opening quote.)
    pub fn parse(text: &str) -> Result<Self, (String, usize)> {
        let mut parts = vec![Vec::new()];
        let mut bytes = text.bytes().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            let next = bytes.peek().map(|(_, byte)| *byte);
            match (byte, next) {
                (b'*', Some(b'*')) => {
                    return Err((format!("Consecutive wildcard characters at pos {}", at + 1), at));
                }
                (b'*', _) => parts.push(Vec::new()),
                (b'\\', Some(escaped @ (b'*' | b'\\'))) => {
                    bytes.next();
                    parts.last_mut().expect("there is a first part").push(escaped);
                }
                (b'\\', _) => return Err((format!("Invalid escape character at pos {}", at + 1), at)),
                (byte, _) => parts.last_mut().expect("there is a first part").push(byte),
            }
        }
        let stars = parts.len() - 1;
        if stars + parts.iter().skip(1).map(|part| repeats(part)).max().unwrap_or(0) > MOST_COMPLEX {
            return Err((TOO_COMPLEX.to_owned(), 0));
        }
        let shortest = parts.iter().map(Vec::len).sum();
        let needs = parts.iter().flatten().fold(0, |needs, byte| needs | mask(*byte));
        let last = (stars > 0).then(|| parts.pop()).flatten().map(Vec::into_boxed_slice);
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default().into_boxed_slice();
        let middle = parts.map(|part| Finder::new(&part).into_owned()).collect();
        Ok(Self { first, middle, last, shortest, needs })
    }

    /// Whether `text` fits, of which these are (at least) the ASCII characters.
    pub fn fits(&self, text: &[u8], bytes: u128) -> bool {
        self.needs & !bytes == 0 && self.is(text)
    }

    /// Linear in the text: the leftmost find of each part leaves the most for the next.
    fn is(&self, text: &[u8]) -> bool {
        let Some(last) = &self.last else { return *text == *self.first };
        if text.len() < self.shortest {
            return false;
        }
        let inner = text.strip_prefix(&*self.first).and_then(|rest| rest.strip_suffix(&**last));
        let Some(mut rest) = inner else { return false };
        self.middle.iter().all(|part| match part.find(rest) {
            Some(at) => {
                rest = &rest[at + part.needle().len()..];
                true
            }
            None => false,
        })
    }
}

impl PartialEq for Wildcard {
    fn eq(&self, other: &Self) -> bool {
        let needles =
            |wildcard: &Self| wildcard.middle.iter().map(|part| part.needle().to_vec()).collect::<Vec<_>>();
        self.first == other.first && self.last == other.last && needles(self) == needles(other)
    }
}

/// How many of a part's beginnings can be underway at once: how often it repeats its own beginning.
fn repeats(part: &[u8]) -> usize {
    // For each prefix its longest proper border, and how many borders it has in all.
    let mut border = vec![0; part.len()];
    let mut count = vec![0; part.len()];
    for end in 1..part.len() {
        let mut length: usize = border[end - 1];
        while length > 0 && part[length] != part[end] {
            length = border[length - 1];
        }
        if part[length] == part[end] {
            length += 1;
        }
        border[end] = length;
        count[end] = if length > 0 { count[length - 1] + 1 } else { 0 };
    }
    count.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_any_run() {
        let is = |wildcard: &str, text: &str| {
            Wildcard::parse(wildcard).is_ok_and(|wildcard| wildcard.is(text.as_bytes()))
        };
        for (wildcard, texts) in [
            ("*", &["", "a", "**"][..]),
            ("a*", &["a", "abc"]),
            ("a*c", &["ac", "abc", "acc", "a*c"]),
            ("*b*", &["b", "abc"]),
            ("*a*b*c*", &["abc", "xaxbxcx"]),
            (r"a\*c", &["a*c"]),
            (r"a\\*", &[r"a\", r"a\b"]),
            ("", &[""]),
            ("ab*ba", &["abba", "abxba"]),
        ] {
            texts.iter().for_each(|text| assert!(is(wildcard, text), "{wildcard} {text}"));
        }
        for (wildcard, text) in
            [("a*", "ba"), ("a*c", "ab"), (r"a\*c", "abc"), ("", "a"), ("ab*ba", "aba"), ("*b*", "ac")]
        {
            assert!(!is(wildcard, text), "{wildcard} {text}");
        }
    }

    #[test]
    fn what_blows_up_is_refused() {
        let why = |wildcard: &str| Wildcard::parse(wildcard).map(drop).map_err(|(why, _)| why);
        assert_eq!(why("a**"), Err("Consecutive wildcard characters at pos 2".to_owned()));
        assert_eq!(why(r"a\c"), Err("Invalid escape character at pos 2".to_owned()));
        assert_eq!(why("/Users/*/dir/dir/dir/dir/dir/doc.txt"), Ok(()));
        assert_eq!(why("*a*a*a*a*a*a*a*a*a*"), Err(TOO_COMPLEX.to_owned()));
        assert_eq!(why(&format!("*{}b", "a".repeat(2000))), Err(TOO_COMPLEX.to_owned()));
    }

    #[test]
    fn case_is_folded_character_by_character() {
        assert!(Folded::of("straSSe").is("STRAssE".as_bytes()));
        assert!(Folded::of("é").is("É".as_bytes()));
        assert!(Folded::of("ß").is(b"SS"));
        assert!(!Folded::of("ss").is("ß".as_bytes()));
        assert!(Folded::of("Éa").ends("xéA".as_bytes()));
        assert!(Folded::of("é").begins("Éx".as_bytes()).is_some());
        assert!(!Folded::of("😀").is("😀".as_bytes()), "as event-ruler");
    }
}
