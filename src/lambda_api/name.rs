//! Names of functions: bare, partial or whole ARNs, each with a qualifier or without.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    body::Constraints,
    error::{Code, Error},
};

/// Whose functions these are, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// `us-east-1`, …
    pub region: String,
}

impl Identity {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub fn partition(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            Some("us") if self.region.starts_with("us-gov") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The ARN of something of Lambda's: `function:NAME`, `layer:NAME:1`, ….
    pub fn arn(&self, resource: &str) -> String {
        format!("arn:{}:lambda:{}:{}:{resource}", self.partition(), self.region, self.account)
    }

    /// A function's ARN.
    pub fn function(&self, name: &str, qualifier: Option<&str>) -> String {
        match qualifier {
            None => self.arn(&format!("function:{name}")),
            Some(qualifier) => self.arn(&format!("function:{name}:{qualifier}")),
        }
    }
}

/// Which constraints an operation puts on a function's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// CreateFunction: at most 64 characters for a bare name, 140 for an ARN.
    Create,
    /// DeleteFunction: at most 140.
    Delete,
    /// Invoke, GetFunction: dots are let through, to be not found.
    Namespaced,
    /// All others.
    Plain,
}

/// A function, and perhaps a version or an alias of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Bare.
    pub function: String,
    /// `$LATEST`, a version, an alias.
    pub qualifier: Option<String>,
}

/// As much of an ARN as there is; the last two groups decide.
static PARTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(arn:(aws[a-zA-Z-]*)?:lambda:)?((?P<region>[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}):)?",
        r"((?P<account>\d{12}):)?(function:)?(?P<name>[a-zA-Z0-9-_\.]+)(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?$",
    ))
    .expect("well formed")
});

/// As AWS shows it; what stands for a name's characters differs.
fn shown(letters: &str) -> String {
    format!(
        "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{{2}}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{{1}}:)?(\\d{{12}}:)?(function:)?\
         ([{letters}]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
    )
}

impl Name {
    /// Reads `FunctionName` and `Qualifier` of a request.
    pub fn parse(
        text: &str,
        qualifier: Option<&str>,
        form: Form,
        identity: &Identity,
    ) -> Result<Self, Error> {
        let parts = PARTS.captures(text);
        let part = |name| parts.as_ref().and_then(|parts| Some(parts.name(name)?.as_str()));
        if let Some(account) = part("account").filter(|account| *account != identity.account) {
            return Err(foreign(text, account, form, identity));
        }
        if let Some(region) = part("region").filter(|region| *region != identity.region) {
            return Err(Error::not_found(format!(
                "Functions from '{region}' are not reachable in this region ('{}')",
                identity.region
            )));
        }
        let name = part("name");
        let bare = name == Some(text);
        let mut constraints = Constraints::default();
        check_name(&mut constraints, text, name.is_some(), bare, form);
        if let Some(qualifier) = qualifier {
            check_qualifier(&mut constraints, qualifier);
        }
        // The one operation whose own code checks the bare name.
        let code = if form == Form::Create && bare { Code::InvalidParameterValue } else { Code::Validation };
        constraints.check_as(code)?;
        let within = part("qualifier");
        if within.is_some() && qualifier.is_some() && within != qualifier {
            return Err(Error::invalid(
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        Ok(Self {
            function: name.unwrap_or_default().to_owned(),
            qualifier: within.or(qualifier).map(str::to_owned),
        })
    }

    /// Its ARN, with the qualifier if there is one.
    pub fn arn(&self, identity: &Identity) -> String {
        identity.function(&self.function, self.qualifier.as_deref())
    }
}

fn check_name(constraints: &mut Constraints, text: &str, matches: bool, bare: bool, form: Form) {
    let most = match form {
        Form::Create if bare => 64,
        Form::Create | Form::Delete => 140,
        Form::Namespaced | Form::Plain => 170,
    };
    constraints.length("functionName", text, 1..=most);
    if !matches {
        let letters = if form == Form::Namespaced { r"a-zA-Z0-9-_\." } else { "a-zA-Z0-9-_" };
        let constraint = format!("Member must satisfy regular expression pattern: {}", shown(letters));
        constraints.broken("functionName", text, constraint);
    }
}

/// The constraints of `Qualifier`.
pub(super) fn check_qualifier(constraints: &mut Constraints, qualifier: &str) {
    constraints.length("qualifier", qualifier, 1..=128);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '_' | '-');
    if !qualifier.chars().all(allowed) {
        let constraint = "Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)";
        constraints.broken("qualifier", qualifier, constraint);
    }
}

fn foreign(text: &str, account: &str, form: Form, identity: &Identity) -> Error {
    if form == Form::Create {
        return Error::new(Code::AccessDenied, "");
    }
    let resource = if text.starts_with("arn:") { text.to_owned() } else { format!("{account}'s {text}") };
    Error::new(
        Code::AccessDenied,
        format!(
            "User: arn:{}:iam::{}:root is not authorized to perform this on resource: {resource} because no \
             resource-based policy allows it",
            identity.partition(),
            identity.account
        ),
    )
}

/// `1`, `42`.
pub fn is_version(qualifier: &str) -> bool {
    !qualifier.is_empty() && qualifier.bytes().all(|b| b.is_ascii_digit())
}

/// A word with at least one character that is no digit.
pub fn is_alias(qualifier: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !qualifier.is_empty() && qualifier.chars().all(allowed) && !is_version(qualifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { account: "000000000000".to_owned(), region: "us-east-1".to_owned() }
    }

    fn parse(text: &str, qualifier: Option<&str>) -> Result<Name, Error> {
        Name::parse(text, qualifier, Form::Namespaced, &identity())
    }

    #[test]
    fn every_form_of_a_name() {
        let name = |function: &str, qualifier: Option<&str>| Name {
            function: function.to_owned(),
            qualifier: qualifier.map(str::to_owned),
        };
        for (text, qualifier, expected) in [
            ("f", None, name("f", None)),
            ("f", Some("1"), name("f", Some("1"))),
            ("f:live", None, name("f", Some("live"))),
            ("f:live", Some("live"), name("f", Some("live"))),
            ("function:f", None, name("f", None)),
            ("000000000000:function:f:$LATEST", None, name("f", Some("$LATEST"))),
            ("arn:aws:lambda:us-east-1:000000000000:function:f", None, name("f", None)),
            ("arn:aws:lambda:us-east-1:000000000000:function:f:3", None, name("f", Some("3"))),
        ] {
            assert_eq!(parse(text, qualifier).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refusals_in_awss_words() {
        let said = |error: Error| format!("{error}");
        assert_eq!(
            said(parse("arn:aws:lambda:us-west-2:000000000000:function:f", None).unwrap_err()),
            "ResourceNotFoundException: Functions from 'us-west-2' are not reachable in this region ('us-east-1')"
        );
        assert_eq!(
            said(parse("f:1", Some("2")).unwrap_err()),
            "InvalidParameterValueException: The derived qualifier from the function name does not match the specified \
             qualifier."
        );
        assert!(
            said(parse("arn:aws:lambda:us-east-1:123456789012:function:f", None).unwrap_err())
                .starts_with("AccessDeniedException")
        );
        assert_eq!(
            said(parse("a b", Some("x y")).unwrap_err()),
            "ValidationException: 2 validation errors detected: Value 'a b' at 'functionName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)\
             ))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?; Value 'x y' at \
             'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: \
             (|[a-zA-Z0-9$_-]+)"
        );
        let long = "x".repeat(65);
        let refused = Name::parse(&long, None, Form::Create, &identity()).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidParameterValue);
        assert!(refused.message().ends_with("Member must have length less than or equal to 64"));
    }

    #[test]
    fn versions_and_aliases_are_told_apart() {
        assert!(is_version("12") && !is_version("$LATEST") && !is_version("v1"));
        assert!(is_alias("v1") && is_alias("1-2") && !is_alias("12") && !is_alias("$LATEST"));
    }
}
