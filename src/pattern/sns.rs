//! SNS message attributes as an event that filter policies match.

use super::error::Malformed;
use super::json::{Cursor, Fault, Kind, Text};

/// Writes `attributes` as the object that a policy of scope `MessageAttributes` is matched against.
///
/// An attribute is `{"Type": "String", "Value": "x"}`, as in a notification, or `{"DataType": …, "StringValue": …}`, as it is
/// published. `String.Array` is its list, `Number` its number, `Binary` is left out. Anything else stands for itself.
pub fn attributes(attributes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(attributes)?;
    write(&mut cursor, out).map_err(|Fault| cursor.malformed())
}

fn write(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.clear();
    out.push(b'{');
    if !cursor.take(b'{') {
        return cursor.expected("an object");
    }
    if !cursor.take(b'}') {
        loop {
            let key = cursor.key()?;
            member(cursor, key, out)?;
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    cursor.end()?;
    out.push(b'}');
    Ok(())
}

fn member(cursor: &mut Cursor<'_>, key: Text<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    cursor.peek();
    let start = cursor.at();
    let mut typed = cursor.clone();
    cursor.skip()?;
    let whole = cursor.since(start);
    let attribute = if whole.starts_with(b"{") { attribute(&mut typed)? } else { None };
    let Some((kind, value)) = attribute else {
        name(key, out);
        out.extend_from_slice(whole);
        return Ok(());
    };
    let mut decoded = Vec::new();
    let text = value.decode(&mut decoded);
    // Types may be refined: `Number.int`.
    let family = kind.split(|byte| *byte == b'.').next().unwrap_or_default();
    let is_json = |starts: fn(&u8) -> bool| text.first().is_some_and(starts) && json(text);
    let raw = match family {
        b"Number" => is_json(|byte| byte.is_ascii_digit() || *byte == b'-'),
        b"String" => kind == b"String.Array" && is_json(|byte| *byte == b'['),
        _ => return Ok(()),
    };
    name(key, out);
    match raw {
        true => out.extend_from_slice(text),
        false => {
            out.push(b'"');
            out.extend_from_slice(value.raw);
            out.push(b'"');
        }
    }
    Ok(())
}

fn name(key: Text<'_>, out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key.raw);
    out.extend_from_slice(b"\":");
}

/// An attribute's type and value, if it has both.
fn attribute<'t>(cursor: &mut Cursor<'t>) -> Result<Option<(&'t [u8], Text<'t>)>, Fault> {
    let (mut kind, mut value) = (None, None);
    cursor.take(b'{');
    if cursor.take(b'}') {
        return Ok(None);
    }
    loop {
        let key = cursor.key()?;
        match (key.raw, cursor.peek()) {
            (b"Type" | b"DataType", Some(b'"')) => kind = Some(cursor.scalar()?.text.raw),
            (b"Value" | b"StringValue" | b"BinaryValue", Some(b'"')) => value = Some(cursor.scalar()?.text),
            _ => cursor.skip()?,
        }
        if !cursor.more(b'}')? {
            return Ok(kind.zip(value));
        }
    }
}

fn json(text: &[u8]) -> bool {
    let Ok(mut cursor) = Cursor::new(text) else { return false };
    let number = text.first() != Some(&b'[');
    let passed = match number {
        true => cursor.scalar().is_ok_and(|scalar| scalar.kind == Kind::Number),
        false => cursor.skip().is_ok(),
    };
    passed && cursor.end().is_ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn attributes_are_what_their_types_say() {
        let of = |text: &str| {
            let mut out = Vec::new();
            super::attributes(text.as_bytes(), &mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
        };
        let seen = of(
            r#"{"a": {"Type": "String", "Value": "x\"y"}, "b": {"DataType": "Number.int", "StringValue": "12"},
            "c": {"Type": "String.Array", "Value": "[\"p\", 2]"}, "d": {"Type": "Binary", "Value": "AAA="},
            "e": {"Type": "Number", "Value": "no"}, "f": "plain", "g": 7, "h": {}}"#,
        );
        let expected = r#"{"a":"x\"y","b":12,"c":["p", 2],"e":"no","f":"plain","g":7,"h":{}}"#;
        assert_eq!(seen.as_deref(), Ok(expected));
        assert!(of("[]").is_err());
        assert!(of(r#"{"a": 1} x"#).is_err());
    }
}
