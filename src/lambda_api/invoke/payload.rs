//! Whether an event is JSON, and if not, why, in the words of the parser AWS uses (Jackson).

use serde_json::value::RawValue;

use super::{Code, Error};

/// What the parser quotes of a text.
const QUOTED: usize = 500;

/// An empty event is none, and stands for `{}`.
pub(super) fn check(event: &[u8]) -> Result<(), Error> {
    if event.is_empty() {
        return Ok(());
    }
    // Raw: it checks that the text is UTF-8 as well, and builds nothing.
    let Err(error) = serde_json::from_slice::<&RawValue>(event) else { return Ok(()) };
    let why = why(event, &error);
    let message = format!("Could not parse request body into json: Could not parse payload into json: {why}");
    Err(Error::new(Code::InvalidRequestContent, message))
}

fn why(event: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(event);
    let quoted: String = text.chars().take(QUOTED).collect();
    let at = |line: usize, column: usize| {
        format!("\n at [Source: (byte[])\"{quoted}\"; line: {line}, column: {column}]")
    };
    let start = text.len() - text.trim_start().len();
    let word: String = text[start..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit()) {
        let expected =
            "was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
        return format!("Unrecognized token '{word}': {expected}{}", at(1, start + word.chars().count() + 1));
    }
    if error.is_eof() {
        let open = match text[start..].chars().next() {
            Some('{') => "Object",
            Some('[') => "Array",
            _ => return format!("Unexpected end-of-input{}", at(error.line(), error.column() + 1)),
        };
        let begin = format!("[Source: (byte[])\"{quoted}\"; line: 1, column: {}]", start + 1);
        let expected = format!("expected close marker for {open} (start marker at {begin})");
        return format!("Unexpected end-of-input: {expected}{}", at(error.line(), error.column() + 1));
    }
    let found = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let found = found.chars().nth(error.column().saturating_sub(1)).unwrap_or('\0');
    format!(
        "Unexpected character ('{found}' (code {})): expected a valid value (JSON String, Number, Array, Object or token \
         'null', 'true' or 'false'){}",
        u32::from(found),
        at(error.line(), error.column())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_passes() {
        for event in ["", "{}", "null", "\"x\"", " [1, 2]\n", "3"] {
            assert!(check(event.as_bytes()).is_ok(), "{event}");
        }
    }

    #[test]
    fn what_is_not_is_told_as_jackson_tells_it() {
        let told = |event: &[u8]| check(event).unwrap_err().message().to_owned();
        assert_eq!(
            told(b"hello world"),
            "Could not parse request body into json: Could not parse payload into json: Unrecognized token 'hello': was \
             expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: (byte[])\"hello \
             world\"; line: 1, column: 6]"
        );
        assert!(
            told(b"{\"a\": 1")
                .contains("Unexpected end-of-input: expected close marker for Object (start marker at ")
        );
        assert!(told(b"{a}").contains("Unexpected character ('a' (code 97))"));
        assert!(told(b"\"\xff\"").starts_with("Could not parse request body into json"));
    }
}
