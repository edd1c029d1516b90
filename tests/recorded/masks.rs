//! Recorded values are masked: `<uuid:1>`, `<timestamp:2022-07-13T13:48:01.000Z>`, `<region>`. What was recorded is a pattern
//! then, which what we see must fit: the same mask stands for the same value throughout a recording, and of a moment the
//! spelling counts.

use std::collections::HashMap;

use serde_json::Value;

/// The recordings' account; every emulator has its own.
const ACCOUNT: &str = "111111111111";

/// What masks stand for.
#[derive(Debug, Default)]
pub struct Masks(HashMap<String, String>);

impl Masks {
    /// Whether what we see is what was recorded; else where it is not.
    pub fn fit(&mut self, recorded: &Value, seen: &Value) -> Result<(), String> {
        self.fit_at("", recorded, seen)
    }

    fn fit_at(&mut self, path: &str, recorded: &Value, seen: &Value) -> Result<(), String> {
        let differs = || format!("at {path}: recorded {recorded}, seen {seen}");
        match (recorded, seen) {
            (Value::Object(recorded), Value::Object(seen)) => {
                let names = |object: &serde_json::Map<String, Value>| {
                    let mut names: Vec<String> = object.keys().cloned().collect();
                    names.sort_unstable();
                    names
                };
                if names(recorded) != names(seen) {
                    return Err(format!(
                        "at {path}: recorded members {:?}, seen {:?}",
                        names(recorded),
                        names(seen)
                    ));
                }
                recorded
                    .iter()
                    .try_for_each(|(name, value)| self.fit_at(&format!("{path}.{name}"), value, &seen[name]))
            }
            (Value::Array(recorded), Value::Array(seen)) if recorded.len() == seen.len() => {
                let mut pairs = recorded.iter().zip(seen).enumerate();
                pairs.try_for_each(|(n, (recorded, seen))| {
                    self.fit_at(&format!("{path}[{n}]"), recorded, seen)
                })
            }
            // The recorder parses JSON in a text.
            (Value::Object(_), Value::String(text)) => {
                let seen = serde_json::from_str(text).map_err(|_| differs())?;
                self.fit_at(path, recorded, &seen)
            }
            (Value::String(pattern), Value::String(_) | Value::Number(_)) => {
                let text = seen.as_str().map_or_else(|| seen.to_string(), str::to_owned);
                let parts = parts(&pattern.replace(ACCOUNT, "<account>"));
                let masked = matches!(&parts[..], [Part::Mask(..)]);
                let found = if seen.is_string() || masked { self.find(&parts, &text) } else { None };
                self.0.extend(found.ok_or_else(differs)?);
                Ok(())
            }
            _ if recorded == seen => Ok(()),
            _ => Err(differs()),
        }
    }

    /// What the masks stand for in this text, if it fits.
    fn find(&self, parts: &[Part], text: &str) -> Option<HashMap<String, String>> {
        match parts {
            [] => text.is_empty().then(HashMap::new),
            [Part::Text(literal), rest @ ..] => self.find(rest, text.strip_prefix(literal.as_str())?),
            [Part::Mask(name, which), rest @ ..] => {
                let ends = (1..=text.len()).filter(|end| text.is_char_boundary(*end));
                ends.filter(|end| self.may_be(name, which.as_deref(), &text[..*end])).find_map(|end| {
                    let mut found = self.find(rest, &text[end..])?;
                    if let Some(which) = which {
                        found.insert(format!("{name}:{which}"), text[..end].to_owned());
                    }
                    Some(found)
                })
            }
        }
    }

    fn may_be(&self, name: &str, which: Option<&str>, value: &str) -> bool {
        let Some(which) = which else { return true };
        if name == "timestamp" {
            return spelling(which) == spelling(value);
        }
        let own = format!("{name}:{which}");
        let others = format!("{name}:");
        match self.0.get(&own) {
            Some(known) => known == value,
            None => !self.0.iter().any(|(mask, known)| mask.starts_with(&others) && known == value),
        }
    }
}

enum Part {
    Text(String),
    /// Its name, and which of that name.
    Mask(String, Option<String>),
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some((before, (mask, after))) =
        rest.split_once('<').and_then(|(before, after)| Some((before, after.split_once('>')?)))
    {
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let (name, which) = mask.split_once(':').map_or((mask, None), |(name, which)| (name, Some(which)));
        // Of moments the sample is the spelling, and no two need be the same.
        parts.push(Part::Mask(name.to_owned(), which.map(str::to_owned)));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    parts
}

/// `2022-07-13T13:48:01Z` and `2026-01-01T00:00:00Z` are spelled alike.
fn spelling(moment: &str) -> String {
    moment.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}
