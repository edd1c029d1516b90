//! JSON Schema.

use std::collections::BTreeMap;
use std::error::Error;

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

use super::schema::{Text, Unreadable};

/// A schema that values are checked against.
pub(crate) struct Schema(Validator);

impl Schema {
    pub(super) fn parse(text: &Text) -> Result<Self, Unreadable> {
        let read = |text: &str| {
            serde_json::from_str::<Value>(text).map_err(|_| Unreadable::new("the JSON schema is no JSON"))
        };
        let references = text.references.iter().map(|(name, text)| Ok((name.clone(), read(text)?)));
        let references = References(references.collect::<Result<_, Unreadable>>()?);
        let validator = jsonschema::options().with_retriever(references).build(&read(&text.schema)?);
        validator.map(Self).map_err(|why| Unreadable::new(format!("the JSON schema cannot be used: {why}")))
    }

    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), Unreadable> {
        let value = serde_json::from_slice(bytes).map_err(|_| Unreadable::new("expected JSON"))?;
        let valid = self.0.is_valid(&value);
        valid.then_some(()).ok_or_else(|| Unreadable::new("the JSON schema does not allow it"))
    }
}

/// What a schema refers to comes from the registry alone, and never from where a URL points.
struct References(BTreeMap<String, Value>);

impl Retrieve for References {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let uri = uri.as_str();
        // A name that is no URL was made one by the place of the schema that refers to it.
        let named =
            |name: &str| uri == name || uri.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'));
        let found = self.0.iter().find(|(name, _)| named(name));
        found
            .map(|(_, schema)| schema.clone())
            .ok_or_else(|| format!("the registry names no reference {uri}").into())
    }
}
