//! Keys of a file, as the AWS tools have them in `~/.aws/credentials`.

use std::{collections::HashMap, path::Path};

use anyhow::{Context as _, bail};
use async_trait::async_trait;

use crate::lambda_api::auth::{Key, Keys};

/// Keys of a file, by their ids.
pub(super) struct File(HashMap<String, Key>);

impl File {
    /// Reads it; every profile in it may call.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("--lambda-keys {}", path.display()))?;
        let keys = parse(&text).with_context(|| format!("--lambda-keys {}", path.display()))?;
        if keys.is_empty() {
            bail!(
                "--lambda-keys {}: no key; expected profiles with aws_access_key_id and aws_secret_access_key",
                path.display()
            );
        }
        Ok(Self(keys))
    }
}

#[async_trait]
impl Keys for File {
    async fn key(&self, access_key_id: &str) -> Option<Key> {
        self.0.get(access_key_id).cloned()
    }
}

/// Never quotes a line: there are secrets in them.
fn parse(text: &str) -> anyhow::Result<HashMap<String, Key>> {
    let mut keys = HashMap::new();
    // What stands before the first profile belongs to none.
    for profile in text.split("\n[").map(|profile| profile.trim_start_matches('[')) {
        let (name, body) = profile.split_once(']').unwrap_or(("", profile));
        let settings: HashMap<&str, &str> = body
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let setting = |name: &str| settings.get(name).map(|value| (*value).to_owned());
        match (setting("aws_access_key_id"), setting("aws_secret_access_key")) {
            (Some(id), Some(secret)) => {
                keys.insert(id, Key { secret, token: setting("aws_session_token") });
            }
            (None, None) => {}
            _ => bail!("profile {name}: expected both aws_access_key_id and aws_secret_access_key"),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_and_half_of_one_is_told_without_its_value() {
        let keys = parse(
            "# ours\n[default]\naws_access_key_id = A\naws_secret_access_key=x=y\n\n[other]\naws_access_key_id=B\n\
             aws_secret_access_key = z\naws_session_token = t\n[empty]\nregion = us-east-1\n",
        )
        .unwrap();
        assert_eq!((keys.len(), keys["A"].secret.as_str()), (2, "x=y"));
        assert_eq!(keys["B"].token.as_deref(), Some("t"));
        let Err(error) = parse("[half]\naws_secret_access_key = sesame\n") else { panic!("half a key") };
        assert!(error.to_string().contains("half") && !error.to_string().contains("sesame"), "{error}");
    }
}
