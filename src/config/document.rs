//! Files to documents: YAML or JSON, several documents in a file.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::lines::Lines;
use super::problem::Failure;

/// One document as it was typed.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) lines: Lines,
    pub(super) file: Arc<str>,
    /// Which of the files.
    pub(super) nth: usize,
    /// What relative paths in it start from.
    pub(super) directory: PathBuf,
}

impl Document {
    /// One that no file holds, and so without lines.
    pub(super) fn of(value: Value, origin: &str) -> Self {
        Self { value, lines: Lines::default(), file: origin.into(), nth: 0, directory: PathBuf::new() }
    }
}

/// All documents of `files`, in order; `-` is stdin. Empty documents are left out.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for (nth, path) in files.iter().enumerate() {
        let (file, text) = text(path)?;
        let file: Arc<str> = file.into();
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let parsed = parse(&text).map_err(|why| Failure::Unreadable(format!("{file}: {why}")))?;
        if parsed.is_empty() {
            return Err(Failure::Unreadable(format!("{file}: holds no resource")));
        }
        for (value, lines) in parsed {
            documents.push(Document {
                value,
                lines,
                file: Arc::clone(&file),
                nth,
                directory: directory.clone(),
            });
        }
    }
    Ok(documents)
}

fn text(path: &Path) -> Result<(String, String), Failure> {
    let mut text = String::new();
    let (name, read) = if path == Path::new("-") {
        ("<stdin>".to_owned(), std::io::stdin().read_to_string(&mut text).map(|_| text))
    } else {
        (path.display().to_string(), std::fs::read_to_string(path))
    };
    match read {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::Unreadable(format!("{name}: cannot be read: {error}"))),
    }
}

/// JSON is read as JSON: YAML knows no escaped surrogates. A YAML flow mapping begins like JSON and gets its chance.
pub(super) fn parse(text: &str) -> Result<Vec<(Value, Lines)>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        return json(text).or_else(|why| yaml(text).map_err(|_| format!("not JSON: {why}")));
    }
    yaml(text).map_err(|why| format!("not YAML: {why}"))
}

fn json(text: &str) -> Result<Vec<(Value, Lines)>, String> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut from = 0;
    while let Some(value) = stream.next() {
        let value = value.map_err(|error| error.to_string())?;
        let to = stream.byte_offset();
        let blank = text[from..to].len() - text[from..to].trim_start().len();
        let first = 1 + text[..from + blank].matches('\n').count();
        documents.push((value, Lines::of_json(&text[from + blank..to], first)));
        from = to;
    }
    Ok(documents)
}

fn yaml(text: &str) -> Result<Vec<(Value, Lines)>, String> {
    let mut values = Vec::new();
    for document in yaml_serde::Deserializer::from_str(text) {
        let mut value = yaml_serde::Value::deserialize(document).map_err(|error| error.to_string())?;
        value.apply_merge().map_err(|error| error.to_string())?;
        values.push(plain(value)?);
    }
    // Only now: reading values has a limit to how deep they nest, walking over them has none.
    let mut lines = Lines::of_yaml(text).into_iter();
    let documents = values.into_iter().map(|value| (value, lines.next().unwrap_or_default()));
    Ok(documents.filter(|(value, _)| !value.is_null()).collect())
}

/// YAML's values as JSON's. What only YAML can say has no meaning in a resource.
fn plain(value: yaml_serde::Value) -> Result<Value, String> {
    use yaml_serde::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(bool) => Value::Bool(bool),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => whole.into(),
            (_, Some(whole), _) => whole.into(),
            (.., float) => float.and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number),
        },
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(plain).collect::<Result<_, _>>()?),
        Yaml::Mapping(members) => {
            let members = members.into_iter().map(|(name, value)| match plain(name)? {
                Value::String(name) => Ok((name, plain(value)?)),
                name @ (Value::Number(_) | Value::Bool(_)) => Ok((name.to_string(), plain(value)?)),
                _ => Err("a field's name must be text".to_owned()),
            });
            Value::Object(members.collect::<Result<_, String>>()?)
        }
        Yaml::Tagged(tagged) => {
            return Err(format!("the tag {} has no meaning in a resource", tagged.tag));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<Value> {
        parse(text).unwrap().into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn yaml_keeps_what_looks_like_a_number_and_is_none() {
        let text =
            "account: 0123\nswitch: on\ncount: 5\nwhen: 2026-01-01T00:00:00Z\n---\n# nothing\n---\nb: .5\n";
        let expected = serde_json::json!({"account": "0123", "switch": "on", "count": 5, "when": "2026-01-01T00:00:00Z"});
        assert_eq!(values(text), [expected, serde_json::json!({"b": 0.5})]);
    }

    #[test]
    fn json_is_read_as_json_and_flow_yaml_as_yaml() {
        assert_eq!(values("\u{feff} {\"a\": \"\\ud83d\\ude00\"}\n{\"b\": 1}")[0]["a"], "😀");
        assert_eq!(values("{a: [1, two]}"), [serde_json::json!({"a": [1, "two"]})]);
        let second = &parse("{\"a\": 1}\n\n{\n\"b\": 1}").unwrap()[1];
        assert_eq!((second.1.line(""), second.1.line("b")), (3, 4));
    }

    #[test]
    fn what_nests_too_deep_is_refused() {
        for open in ["[", "{\"a\":", "- "] {
            assert!(parse(&open.repeat(5_000)).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_document_or_an_error(text in "([-a-c:{}\\[\\]\"'&*!#|>,.0-9 \\\\]|---|\n|\n  |: |- ){0,40}") {
            for (value, lines) in parse(&text).unwrap_or_default() {
                let within = 1..=text.matches('\n').count() + 1;
                proptest::prop_assert!(within.contains(&lines.line("a.b[0]")), "{value}");
            }
        }
    }

    #[test]
    fn neither_is_an_error_with_its_line() {
        assert!(parse("{\"a\": \n1,, }").unwrap_err().starts_with("not JSON: "));
        assert!(parse("a: [1\nb: 2").unwrap_err().contains("line 2"));
        assert!(parse("a: !Ref b").unwrap_err().contains("!Ref"));
        assert!(parse("a: 1\na: 2").unwrap_err().contains("duplicate"));
    }
}
