use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::{RawValue, to_raw_value};

/// A JSON object as it was written: members in their order, values as their text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// A member's text, if it is a string.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A member's text, if it is a string that says something.
    pub(crate) fn said(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// A member's members, if it is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A member as it was written.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| value.get())
    }

    /// Writes a member: where it stands if there is one, else where `order` has it.
    pub(crate) fn set(&mut self, order: &[&str], name: &str, value: &impl Serialize) {
        let value = to_raw_value(value).expect("strings, numbers and members always serialise");
        if let Some((_, old)) = self.0.iter_mut().find(|(member, _)| member == name) {
            *old = value;
            return;
        }
        let rank = |name: &str| order.iter().position(|known| *known == name);
        let before = |member: &str| rank(member).is_some_and(|known| Some(known) < rank(name));
        let at = self.0.iter().rposition(|(member, _)| before(member)).map_or(0, |at| at + 1);
        self.0.insert(at, (name.to_owned(), value));
    }

    /// Writes a member unless there is one.
    pub(crate) fn fill(&mut self, order: &[&str], name: &str, value: &impl Serialize) {
        if self.raw(name).is_none() {
            self.set(order, name, value);
        }
    }

    /// Leaves only what `order` knows, in that order, without null and empty strings.
    pub(crate) fn keep(&mut self, order: &[&str]) {
        let rank = |name: &str| order.iter().position(|known| *known == name);
        self.0.retain(|(name, value)| rank(name).is_some() && !matches!(value.get(), "null" | "\"\""));
        self.0.sort_by_key(|(name, _)| rank(name));
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(member, _)| member != name);
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_to_the_byte() {
        let text = r#"{"z":1.50,"a":{"y":[1, 2],"b":"\u00e9"},"k":1e3}"#;
        let members: Members = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&members).unwrap(), text);
    }

    #[test]
    fn what_is_missing_goes_where_it_belongs() {
        let order = ["a", "b", "c", "d"];
        let mut members: Members = serde_json::from_str(r#"{"a":1,"x":0,"c":3}"#).unwrap();
        for name in ["d", "b", "a"] {
            members.fill(&order, name, &9);
        }
        assert_eq!(serde_json::to_string(&members).unwrap(), r#"{"a":1,"b":9,"x":0,"c":3,"d":9}"#);
        members.keep(&order);
        assert_eq!(serde_json::to_string(&members).unwrap(), r#"{"a":1,"b":9,"c":3,"d":9}"#);
    }
}
