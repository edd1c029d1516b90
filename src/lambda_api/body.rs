//! What is asked: bodies, query strings, and the front door's constraints.

mod constraints;
mod fields;
mod read;

use std::{collections::BTreeMap, fmt};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

pub(super) use self::{
    constraints::{Constraints, Pattern},
    fields::Fields,
    read::{LARGEST, read},
};
use super::error::Error;

/// A JSON body, an object. An empty one stands for `{}`.
#[derive(Debug, Default)]
pub(super) struct Body {
    members: Map<String, Value>,
    /// As it came: what was read has lost the order of its members.
    bytes: Bytes,
}

impl Body {
    /// Reads it.
    pub(super) fn parse(bytes: Bytes) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(members)) => Ok(Self { members, bytes }),
            Ok(_) => Err(fields::serialization("Unexpected value at the start of the body")),
            Err(error) => Err(fields::serialization(format!("Could not parse the body: {error}"))),
        }
    }

    /// All of it, as a struct that says what its members are.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&Value::Object(self.members.clone()))
            .map_err(|error| fields::serialization(error.to_string()))
    }

    /// Its members.
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::of(&self.members)
    }

    /// The keys of a map in a structure, in the order they were given.
    pub(super) fn keys(&self, structure: &str, map: &str) -> Vec<String> {
        type Raw<'a> = BTreeMap<String, &'a RawValue>;
        let inner = |bytes| -> serde_json::Result<Vec<String>> {
            let body: Raw<'_> = serde_json::from_slice(bytes)?;
            let Some(structure) = body.get(structure) else { return Ok(Vec::new()) };
            let members: Raw<'_> = serde_json::from_str(structure.get())?;
            let Some(map) = members.get(map) else { return Ok(Vec::new()) };
            Ok(serde_json::from_str::<Keys>(map.get())?.0)
        };
        inner(&self.bytes).unwrap_or_default()
    }
}

/// A map's keys, as they stand.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        Self::parse(read(parts.uri.path(), body).await?)
    }
}

/// The query string.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes it apart.
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a name; an empty one is none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// `Qualifier`, whose empty value is refused by who reads it: what is asked of one version must not reach all of them.
    pub(super) fn qualifier(&self) -> Option<&str> {
        self.all("Qualifier").next()
    }

    /// All values of a name, as `tagKeys` has several.
    pub(super) fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}
