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
    /// `aws`, `aws-cn`, `aws-us-gov`, …: a region is in one of them.
    pub fn partition(&self) -> &'static str {
        klr_host::partition(&self.region)
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

    /// Whoever calls: users are not known here, so that it is the account's own.
    pub fn root(&self) -> String {
        format!("arn:{}:iam::{}:root", self.partition(), self.account)
    }

    /// Somebody else's resource: nothing here says that it may be used.
    pub(super) fn denied(&self, action: &str, resource: &str) -> Error {
        Error::new(
            Code::AccessDenied,
            format!(
                "User: {} is not authorized to perform: lambda:{action} on resource: {resource} because no \
                 resource-based policy allows the lambda:{action} action",
                self.root()
            ),
        )
    }
}

/// Which constraints an operation puts on a function's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// CreateFunction: at most 64 characters for a bare name, 140 for an ARN.
    Create,
    /// DeleteFunction: at most 140.
    Delete,
    /// Invoke, GetFunction and many others: dots are let through, to be not found.
    Namespaced,
    /// Recursion and scaling: no version, no alias.
    Unqualified,
    /// Function URLs: no version.
    Url,
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
        r"^(arn:(aws[a-zA-Z-]*)?:lambda:)?((?P<region>(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}):)?",
        r"((?P<account>\d{12}):)?(function:)?(?P<name>[a-zA-Z0-9-_\.]+)(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?$",
    ))
    .expect("well formed")
});

impl Form {
    /// The longest text.
    fn longest(self, bare: bool) -> usize {
        match self {
            Self::Create if bare => 64,
            Self::Create | Self::Delete | Self::Unqualified | Self::Url => 140,
            Self::Namespaced | Self::Plain => 170,
        }
    }

    /// The pattern as AWS shows it: what stands for a name, and what may follow it, differ.
    fn shown(self) -> String {
        let rest = match self {
            Self::Namespaced => r"([a-zA-Z0-9-_\.]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
            Self::Unqualified => "([a-zA-Z0-9-_]+)",
            Self::Url => r"([a-zA-Z0-9-_]{1,64})(:((?!\d+$)[0-9a-zA-Z-_]+))?",
            _ => r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
        };
        format!(
            "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{{2}}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{{1}}:)?(\\d{{12}}:)?(function:)?{rest}"
        )
    }

    /// Whether name and qualifier match that pattern.
    fn takes(self, name: &str, qualifier: Option<&str>) -> bool {
        let dots = name.contains('.');
        match self {
            Self::Namespaced => true,
            Self::Unqualified => !dots && qualifier.is_none(),
            Self::Url => !dots && name.len() <= 64 && qualifier.is_none_or(is_alias),
            Self::Create | Self::Delete | Self::Plain => !dots,
        }
    }
}

impl Name {
    /// What the front door says of a `FunctionName`, beside what it says of the rest of a request.
    pub(super) fn constrain(text: &str, form: Form, constraints: &mut Constraints) {
        let parts = PARTS.captures(text);
        let part = |name| parts.as_ref().and_then(|parts| Some(parts.name(name)?.as_str()));
        let name = part("name").filter(|name| form.takes(name, part("qualifier")));
        // Where a bare name is too long, the operation's own code says so.
        if form != Form::Create || name != Some(text) {
            constraints.length("functionName", text, 1..=form.longest(false));
        }
        if name.is_none() {
            let constraint = format!("Member must satisfy regular expression pattern: {}", form.shown());
            constraints.broken("functionName", text, constraint);
        }
    }

    /// Reads `FunctionName` and `Qualifier` of a request. `action` is what a policy calls the operation.
    pub fn parse(
        text: &str,
        qualifier: Option<&str>,
        form: Form,
        action: &str,
        identity: &Identity,
    ) -> Result<Self, Error> {
        let mut constraints = Constraints::default();
        Self::constrain(text, form, &mut constraints);
        if let Some(qualifier) = qualifier {
            check_qualifier(&mut constraints, qualifier);
        }
        constraints.check()?;
        let parts = PARTS.captures(text);
        let part = |name| parts.as_ref().and_then(|parts| Some(parts.name(name)?.as_str()));
        let (name, within) = (part("name").unwrap_or_default(), part("qualifier"));
        let account = part("account").unwrap_or(&identity.account);
        let region = part("region").unwrap_or(&identity.region);
        if account != identity.account {
            if form == Form::Create {
                // AWS denies this one without a word, and clients show a message of `None`.
                return Err(Error::new(Code::AccessDenied, ""));
            }
            let home = Identity { account: account.to_owned(), region: region.to_owned() };
            return Err(identity.denied(action, &home.function(name, within.or(qualifier))));
        }
        if region != identity.region {
            return Err(Error::not_found(format!(
                "Functions from '{region}' are not reachable in this region ('{}')",
                identity.region
            )));
        }
        // The one operation whose own code checks the bare name.
        if form == Form::Create && name == text {
            let mut constraints = Constraints::default();
            constraints.length("functionName", text, 1..=form.longest(true));
            constraints.check_as(Code::InvalidParameterValue)?;
        }
        if within.is_some() && qualifier.is_some() && within != qualifier {
            return Err(Error::invalid(
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        Ok(Self { function: name.to_owned(), qualifier: within.or(qualifier).map(str::to_owned) })
    }

    /// `NAME` or `NAME:QUALIFIER`, as at the end of an ARN. Whether it can be a name is not looked at.
    pub(super) fn split(text: &str) -> Self {
        let (function, qualifier) = match text.split_once(':') {
            Some((function, qualifier)) => (function, Some(qualifier.to_owned())),
            None => (text, None),
        };
        Self { function: function.to_owned(), qualifier }
    }

    /// For what is done to a function as a whole.
    pub(super) fn whole(self) -> Result<Self, Error> {
        match self.qualifier {
            None => Ok(self),
            Some(_) => Err(Error::invalid(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. \
                 Please specify either a function name or an unqualified function ARN.",
            )),
        }
    }

    /// For what is done to `$LATEST`, which need not be named: a published version never changes.
    pub(super) fn latest(mut self) -> Result<Self, Error> {
        self.qualifier.take_if(|qualifier| qualifier == "$LATEST");
        self.whole()
    }

    /// Its ARN, with the qualifier if there is one.
    pub fn arn(&self, identity: &Identity) -> String {
        identity.function(&self.function, self.qualifier.as_deref())
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
        Name::parse(text, qualifier, Form::Namespaced, "GetFunction", &identity())
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
        assert_eq!(
            parse("f", Some("")).unwrap_err().message(),
            "1 validation error detected: Value '' at 'qualifier' failed to satisfy constraint: Member must have length \
             greater than or equal to 1"
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
        let refused = Name::parse(&long, None, Form::Create, "CreateFunction", &identity()).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidParameterValue);
        assert!(refused.message().ends_with("Member must have length less than or equal to 64"));
    }

    #[test]
    fn another_accounts_function_is_denied_by_action_and_arn() {
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
        for (text, qualifier, shown) in [
            (arn, None, ""),
            ("123456789012:function:f", None, ""),
            ("123456789012:f:1", None, ":1"),
            (arn, Some("live"), ":live"),
        ] {
            let refused = parse(text, qualifier).unwrap_err();
            assert_eq!(refused.code(), Code::AccessDenied);
            assert_eq!(
                refused.message(),
                format!(
                    "User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:GetFunction on resource: \
                     {arn}{shown} because no resource-based policy allows the lambda:GetFunction action"
                ),
                "{text}"
            );
        }
        assert_eq!(parse(arn, Some("x y")).unwrap_err().code(), Code::Validation, "looked at first");
        let refused = Name::parse(arn, None, Form::Create, "CreateFunction", &identity()).unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::AccessDenied, ""));
    }

    #[test]
    fn operations_differ_in_what_they_take_for_a_name() {
        let taken = |text: &str, form| Name::parse(text, None, form, "GetFunction", &identity()).is_ok();
        for (text, takers) in [
            ("f", &[Form::Create, Form::Plain, Form::Url, Form::Unqualified][..]),
            ("f:live", &[Form::Create, Form::Plain, Form::Url]),
            ("f:1", &[Form::Create, Form::Plain]),
            ("a.b", &[]),
        ] {
            assert!(taken(text, Form::Namespaced), "{text}");
            for form in [Form::Create, Form::Plain, Form::Url, Form::Unqualified] {
                assert_eq!(taken(text, form), takers.contains(&form), "{text} {form:?}");
            }
        }
        let refused = Name::parse("f:1", None, Form::Unqualified, "GetFunction", &identity()).unwrap_err();
        assert!(refused.message().ends_with("(function:)?([a-zA-Z0-9-_]+)"), "{refused}");
    }

    #[test]
    fn every_region_has_names() {
        for region in ["us-gov-west-1", "us-isob-east-1", "cn-north-1", "eusc-de-east-1"] {
            let here = Identity { region: region.to_owned(), ..identity() };
            let name =
                Name::parse(&here.function("f", Some("1")), None, Form::Plain, "GetFunction", &here).unwrap();
            assert_eq!((name.function.as_str(), name.qualifier.as_deref()), ("f", Some("1")));
        }
    }

    #[test]
    fn versions_and_aliases_are_told_apart() {
        assert!(is_version("12") && !is_version("$LATEST") && !is_version("v1"));
        assert!(is_alias("v1") && is_alias("1-2") && !is_alias("12") && !is_alias("$LATEST"));
    }
}
