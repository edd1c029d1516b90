//! What is kept of a layer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lambda_api::{answer::date, function::Archive, name::Identity, policy::statement::Statement};

/// What all versions of a layer share; it stays when they are gone, so that no number is given twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The number of the newest version there ever was.
    pub newest: u64,
}

/// A version of a layer. Only its policy ever changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The layer's name.
    pub layer: String,
    /// From 1 on.
    pub number: u64,
    /// May be empty.
    pub description: String,
    /// As given.
    pub license: Option<String>,
    /// As given.
    pub runtimes: Option<Vec<String>>,
    /// As given.
    pub architectures: Option<Vec<String>>,
    /// When it was published.
    pub created: Timestamp,
    /// What is in it.
    pub code: Archive,
    /// Who may use it beside its owner.
    pub policy: Option<Policy>,
}

/// Who may use a layer version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Anew on each change.
    pub revision: String,
    /// In the order they came; at least one.
    pub statements: Vec<Statement>,
}

impl Version {
    /// The layer's ARN.
    pub fn layer_arn(&self, identity: &Identity) -> String {
        identity.arn(&format!("layer:{}", self.layer))
    }

    /// Its own.
    pub fn arn(&self, identity: &Identity) -> String {
        identity.arn(&format!("layer:{}:{}", self.layer, self.number))
    }

    /// Whether it says that it fits: on AWS silence is no yes.
    pub(super) fn fits(&self, runtime: Option<&str>, architecture: Option<&str>) -> bool {
        let says = |list: &Option<Vec<String>>, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| list.as_ref().is_some_and(|list| list.iter().any(|one| one == wanted)))
        };
        says(&self.runtimes, runtime) && says(&self.architectures, architecture)
    }

    /// As listings show it: without its content, and without the layer's own ARN.
    pub(super) fn item(&self, identity: &Identity) -> Value {
        let mut item = json!({
            "LayerVersionArn": self.arn(identity),
            "Version": self.number,
            "Description": self.description,
            "CreatedDate": date(self.created),
        });
        let optional = [
            ("CompatibleRuntimes", self.runtimes.as_ref().map(|list| json!(list))),
            ("CompatibleArchitectures", self.architectures.as_ref().map(|list| json!(list))),
            ("LicenseInfo", self.license.as_ref().map(|text| json!(text))),
        ];
        for (member, value) in optional {
            if let Some(value) = value {
                item[member] = value;
            }
        }
        item
    }

    /// All of it; `location` is where its zip is to be had.
    pub(super) fn whole(&self, identity: &Identity, location: &str) -> Value {
        let mut answer = self.item(identity);
        answer["LayerArn"] = self.layer_arn(identity).into();
        answer["Content"] =
            json!({ "Location": location, "CodeSha256": self.code.sha256, "CodeSize": self.code.size });
        answer
    }
}

/// A version's key on its shelf; those of one layer follow one another by number.
pub(super) fn version_key(layer: &str, number: u64) -> String {
    format!("{layer}:{number:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_said_is_not_shown() {
        let version = Version {
            layer: "tools".to_owned(),
            number: 3,
            description: String::new(),
            license: None,
            runtimes: Some(vec!["python3.13".to_owned()]),
            architectures: None,
            created: "2026-11-23T03:15:00.123Z".parse().unwrap(),
            code: Archive { sha256: "abc=".to_owned(), size: 12, unpacked: 30 },
            policy: None,
        };
        let identity = Identity { account: "000000000000".to_owned(), region: "us-east-1".to_owned() };
        assert_eq!(
            version.whole(&identity, "http://here"),
            json!({
                "LayerArn": "arn:aws:lambda:us-east-1:000000000000:layer:tools",
                "LayerVersionArn": "arn:aws:lambda:us-east-1:000000000000:layer:tools:3",
                "Version": 3,
                "Description": "",
                "CreatedDate": "2026-11-23T03:15:00.123+0000",
                "CompatibleRuntimes": ["python3.13"],
                "Content": { "Location": "http://here", "CodeSha256": "abc=", "CodeSize": 12 },
            })
        );
        assert!(version.fits(Some("python3.13"), None));
        assert!(!version.fits(Some("python3.12"), None));
        assert!(!version.fits(Some("python3.13"), Some("arm64")), "AWS lists what says so");
    }
}
