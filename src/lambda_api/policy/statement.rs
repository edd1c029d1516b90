//! Resource-based policies: their statements as AWS writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lambda_api::error::{Code, Error};

/// Domains of services' names; Alexa's are in the last.
const SERVICES: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com"];
/// AWS's limit for a policy document.
const MOST_BYTES: usize = 20_480;

/// One statement: as AddPermission makes them, or any other that came with a whole policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Statement {
    /// Its members are known.
    Grant(Grant),
    /// Kept as it is.
    Other(Value),
}

impl Statement {
    /// Its name; a whole policy's statements may have none.
    pub fn sid(&self) -> Option<&str> {
        match self {
            Self::Grant(grant) => Some(&grant.sid),
            Self::Other(statement) => statement["Sid"].as_str(),
        }
    }
}

/// A permission. AddPermission only ever allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Grant {
    /// Names the statement within its policy.
    pub sid: String,
    /// `Allow`.
    pub effect: Effect,
    /// Who may.
    pub principal: Principal,
    /// What.
    pub action: String,
    /// On what: an ARN.
    pub resource: String,
    /// Under which conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // IAM's word
pub enum Effect {
    Allow,
}

/// Who may: everyone (`"*"`) or somebody by name (`{"Service": …}`, `{"AWS": …}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Principal {
    /// `"*"`.
    Anyone(Star),
    /// With the kind of name.
    Named(Name),
}

/// The text `*`, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Star {
    /// `*`.
    #[serde(rename = "*")]
    Star,
}

/// A principal's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Name {
    /// `s3.amazonaws.com`.
    Service(String),
    /// An ARN of IAM or STS.
    #[serde(rename = "AWS")]
    Aws(String),
}

/// Conditions by operator, then by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Condition {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    string_equals: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bool: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    arn_like: BTreeMap<String, String>,
}

impl Condition {
    /// Adds `key` = `value`, where there is a value.
    pub fn equals(mut self, key: &str, value: Option<&str>) -> Self {
        self.string_equals.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        self
    }

    /// Adds a flag, where it is set.
    pub fn holds(mut self, key: &str, value: Option<bool>) -> Self {
        self.bool.extend(value.map(|value| (key.to_owned(), value.to_string())));
        self
    }

    /// Adds `key` like the pattern `arn`, where there is one.
    pub fn like(mut self, key: &str, arn: Option<&str>) -> Self {
        self.arn_like.extend(arn.map(|arn| (key.to_owned(), arn.to_owned())));
        self
    }

    /// `None` where nothing was added.
    pub fn some(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

impl Principal {
    /// Everyone.
    pub const ANYONE: Self = Self::Anyone(Star::Star);

    /// As AddPermission takes it: a service's name, an account's number, an ARN of IAM or STS, or `*`. `None`: none of them.
    pub fn parse(text: &str, partition: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::ANYONE);
        }
        if is_account(text) {
            return Some(Self::account(text, partition));
        }
        let service = SERVICES.iter().any(|domain| text.ends_with(domain));
        if service && !text.starts_with("arn:") {
            return Some(Self::Named(Name::Service(text.to_owned())));
        }
        let mut arn = text.split(':');
        let known = arn.next() == Some("arn")
            && arn.next().is_some_and(|partition| partition.starts_with("aws"))
            && matches!(arn.next(), Some("iam" | "sts"))
            && arn.next() == Some("");
        known.then(|| Self::Named(Name::Aws(text.to_owned())))
    }

    /// All of an account.
    pub fn account(number: &str, partition: &str) -> Self {
        Self::Named(Name::Aws(format!("arn:{partition}:iam::{number}:root")))
    }
}

/// Twelve digits.
fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    version: &'static str,
    id: &'static str,
    statement: &'a [Statement],
}

/// The policy of these statements, as text.
pub fn document(statements: &[Statement]) -> String {
    text(&Document { version: "2012-10-17", id: "default", statement: statements })
}

/// JSON of what cannot fail to be JSON: maps with text for keys.
pub fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a policy has only text for keys")
}

/// Adds a statement. Its Sid must be new; the whole must stay below AWS's limit.
pub fn add(statements: &mut Vec<Statement>, new: Grant) -> Result<(), Error> {
    if statements.iter().any(|statement| statement.sid() == Some(&new.sid)) {
        return Err(Error::conflict(format!(
            "The statement id ({}) provided already exists. Please provide a new statement id, or remove the existing \
             statement.",
            new.sid
        )));
    }
    statements.push(Statement::Grant(new));
    check_size(statements).inspect_err(|_| {
        statements.pop();
    })
}

/// Whether a policy of these statements is small enough.
pub fn check_size(statements: &[Statement]) -> Result<(), Error> {
    let size = document(statements).len();
    if size <= MOST_BYTES {
        return Ok(());
    }
    let said = format!("The final policy size ({size}) is bigger than the limit ({MOST_BYTES}).");
    Err(Error::new(Code::PolicyLengthExceeded, said))
}

/// Takes a statement out.
pub fn remove(statements: &mut Vec<Statement>, sid: &str) -> Result<(), Error> {
    let before = statements.len();
    statements.retain(|statement| statement.sid() != Some(sid));
    if statements.len() == before {
        return Err(Error::not_found(format!("Statement {sid} is not found in resource policy.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(sid: &str) -> Grant {
        Grant {
            sid: sid.to_owned(),
            effect: Effect::Allow,
            principal: Principal::parse("s3.amazonaws.com", "aws").unwrap(),
            action: "lambda:InvokeFunction".to_owned(),
            resource: "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
            condition: Condition::default()
                .equals("AWS:SourceAccount", Some("111122223333"))
                .like("AWS:SourceArn", Some("arn:aws:s3:::bucket"))
                .some(),
        }
    }

    #[test]
    fn documents_read_as_on_aws() {
        assert_eq!(
            document(&[Statement::Grant(grant("s3"))]),
            r#"{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s3","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:000000000000:function:f","Condition":{"StringEquals":{"AWS:SourceAccount":"111122223333"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}}]}"#
        );
    }

    #[test]
    fn statements_survive_the_disk() {
        for principal in ["*", "s3.amazonaws.com", "111122223333", "arn:aws:iam::111122223333:user/u"] {
            let principal = Principal::parse(principal, "aws").unwrap();
            let kept = Statement::Grant(Grant { principal, ..grant("s") });
            assert_eq!(serde_json::from_str::<Statement>(&text(&kept)).unwrap(), kept);
        }
        let other = r#"{"Condition":{"Null":{"a":"true"}},"Effect":"Deny","Principal":"*","Sid":"no"}"#;
        let kept: Statement = serde_json::from_str(other).unwrap();
        assert_eq!((kept.sid(), text(&kept).as_str()), (Some("no"), other));
    }

    #[test]
    fn principals_are_services_accounts_arns_or_everyone() {
        let spelled = |principal: &str| Principal::parse(principal, "aws").map(|principal| text(&principal));
        assert_eq!(spelled("*").as_deref(), Some(r#""*""#));
        assert_eq!(spelled("111122223333").as_deref(), Some(r#"{"AWS":"arn:aws:iam::111122223333:root"}"#));
        let user = "arn:aws:iam::111122223333:user/u";
        assert_eq!(spelled(user), Some(format!(r#"{{"AWS":"{user}"}}"#)));
        for wrong in ["", "me", "1111", "arn:aws:s3:::bucket", "arn:aws:iam:x:1:user/u"] {
            assert_eq!(Principal::parse(wrong, "aws"), None, "{wrong}");
        }
    }

    #[test]
    fn a_sid_is_given_once_and_a_policy_has_an_end() {
        let mut policy = Vec::new();
        add(&mut policy, grant("a")).unwrap();
        assert_eq!(add(&mut policy, grant("a")).unwrap_err().code(), Code::ResourceConflict);
        let full = (0..1000).find_map(|number| add(&mut policy, grant(&number.to_string())).err());
        assert_eq!(full.unwrap().code(), Code::PolicyLengthExceeded);
        assert!(document(&policy).len() <= MOST_BYTES);
        remove(&mut policy, "a").unwrap();
        assert_eq!(
            remove(&mut policy, "a").unwrap_err().message(),
            "Statement a is not found in resource policy."
        );
    }
}
