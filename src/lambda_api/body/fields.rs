//! Members of a JSON object, by name and type; `null` is as good as absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::error::{Code, Error};

/// The body is not what the operation's model says.
pub(super) fn serialization(message: impl Into<String>) -> Error {
    Error::new(Code::Serialization, message)
}

/// An object's members.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(members: &'a Map<String, Value>) -> Self {
        Self(members)
    }

    /// A member as it is.
    pub(in super::super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Whether it is there.
    pub(in super::super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A string.
    pub(in super::super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.value(name).map(text).transpose()
    }

    /// A string that is kept.
    pub(in super::super) fn owned(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.text(name)?.map(str::to_owned))
    }

    /// A whole number.
    pub(in super::super) fn whole(&self, name: &str) -> Result<Option<i64>, Error> {
        let read = |value: &Value| match value {
            // What is no integer is cut off, as AWS's parser does.
            #[allow(clippy::cast_possible_truncation)]
            Value::Number(number) => {
                Ok(number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).unwrap_or(0))
            }
            other => Err(unexpected(other, "an Integer")),
        };
        self.value(name).map(read).transpose()
    }

    /// `true` or `false`.
    pub(in super::super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| unexpected(value, "a Boolean"));
        self.value(name).map(read).transpose()
    }

    /// A structure.
    pub(in super::super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Error> {
        let read = |value: &'a Value| match value {
            Value::Object(members) => Ok(Fields(members)),
            Value::Array(_) => Err(serialization("Start of list found where not expected")),
            _ => Err(serialization("Expected start of structure, found another value")),
        };
        self.value(name).map(read).transpose()
    }

    /// A list.
    pub(in super::super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Error> {
        let read = |value: &'a Value| match value {
            Value::Array(items) => Ok(items.as_slice()),
            Value::Object(_) => Err(serialization("Start of structure or map found where not expected.")),
            _ => Err(serialization("Expected list or null")),
        };
        self.value(name).map(read).transpose()
    }

    /// A list of structures.
    pub(in super::super) fn objects(&self, name: &str) -> Result<Option<Vec<Fields<'a>>>, Error> {
        let read = |value: &'a Value| match value {
            Value::Object(members) => Ok(Fields(members)),
            _ => Err(serialization("Expected start of structure, found another value")),
        };
        self.list(name)?.map(|items| items.iter().map(read).collect()).transpose()
    }

    /// A list of strings.
    pub(in super::super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let read = |items: &'a [Value]| items.iter().map(|item| text(item).map(str::to_owned)).collect();
        self.list(name)?.map(read).transpose()
    }

    /// A map of strings.
    pub(in super::super) fn map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        let Some(map) = self.object(name)? else { return Ok(None) };
        let read = |(key, value): (&String, &Value)| Ok((key.clone(), text(value)?.to_owned()));
        map.0.iter().filter(|(_, value)| !value.is_null()).map(read).collect::<Result<_, _>>().map(Some)
    }

    /// A map of numbers.
    pub(in super::super) fn numbers(&self, name: &str) -> Result<Option<BTreeMap<String, f64>>, Error> {
        let Some(map) = self.object(name)? else { return Ok(None) };
        map.0.iter().map(|(key, value)| Ok((key.clone(), number(value)?))).collect::<Result<_, _>>().map(Some)
    }
}

fn text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| unexpected(value, "a String"))
}

fn number(value: &Value) -> Result<f64, Error> {
    value.as_f64().ok_or_else(|| unexpected(value, "a Double"))
}

fn unexpected(found: &Value, wanted: &str) -> Error {
    let found = match found {
        Value::String(_) => "STRING_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Null => "NULL_VALUE",
        Value::Array(_) => return serialization("Start of list found where not expected"),
        Value::Object(_) => return serialization("Start of structure or map found where not expected."),
    };
    serialization(format!("{found} can not be converted to {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::super::Body;

    #[test]
    fn a_wrong_type_is_refused_in_awss_words() {
        let body = Body::parse(
            br#"{"Timeout":"5","Handler":3,"Layers":{},"Code":[],"Tags":{"a":null}}"#.as_slice().into(),
        )
        .unwrap();
        let fields = body.fields();
        let said = |error: super::Error| error.message().to_owned();
        assert_eq!(
            said(fields.whole("Timeout").unwrap_err()),
            "STRING_VALUE can not be converted to an Integer"
        );
        assert_eq!(
            said(fields.text("Handler").unwrap_err()),
            "NUMBER_VALUE can not be converted to a String"
        );
        assert_eq!(
            said(fields.texts("Layers").unwrap_err()),
            "Start of structure or map found where not expected."
        );
        assert_eq!(said(fields.object("Code").unwrap_err()), "Start of list found where not expected");
        assert!(fields.map("Tags").unwrap().unwrap().is_empty());
        assert!(fields.text("Description").unwrap().is_none());
        assert!(Body::parse(b"{".as_slice().into()).is_err());
        assert!(!Body::parse(b"".as_slice().into()).unwrap().fields().has("x"));
    }
}
