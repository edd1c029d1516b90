//! Layers by name, by ARN, and their versions by ARN.

use crate::lambda_api::body::{Constraints, Pattern};

static NAME_OR_ARN: Pattern = Pattern::new(
    r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})",
);
/// A version of somebody's layer, or one of AWS's own.
pub(super) static VERSION_ARN: Pattern = Pattern::new(
    r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)",
);

/// A layer as a caller names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// `None`: the caller's own.
    pub(super) home: Option<Home<'a>>,
    pub(super) name: &'a str,
}

/// Whose layer it is, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home<'a> {
    pub(super) region: &'a str,
    pub(super) account: &'a str,
}

impl<'a> Named<'a> {
    /// A name or a layer's ARN; what the front door refuses goes to `constraints`.
    pub(super) fn read(text: &'a str, constraints: &mut Constraints) -> Self {
        constraints.length("layerName", text, 1..=2048);
        constraints.pattern("layerName", text, &NAME_OR_ARN);
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["arn", _, "lambda", region, account, "layer", name] => {
                Self { home: Some(Home { region, account }), name }
            }
            _ => Self { home: None, name: text },
        }
    }
}

/// One version of a layer, taken out of its ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version<'a> {
    pub(super) home: Home<'a>,
    pub(super) name: &'a str,
    pub(super) number: u64,
}

impl<'a> Version<'a> {
    /// `None`: not the ARN of one.
    pub(super) fn parse(arn: &'a str) -> Option<Self> {
        let parts: Vec<&str> = arn.split(':').collect();
        match parts[..] {
            ["arn", _, "lambda", region, account, "layer", name, number] => {
                Some(Self { home: Home { region, account }, name, number: number.parse().ok()? })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_go_by_name_and_by_arn() {
        let mut constraints = Constraints::default();
        let home = Home { region: "us-east-1", account: "000000000000" };
        assert_eq!(Named::read("tools", &mut constraints), Named { home: None, name: "tools" });
        assert_eq!(
            Named::read("arn:aws:lambda:us-east-1:000000000000:layer:tools", &mut constraints),
            Named { home: Some(home), name: "tools" }
        );
        assert!(constraints.check().is_ok());
        let mut constraints = Constraints::default();
        Named::read("to ols", &mut constraints);
        assert!(constraints.check().is_err());
        assert_eq!(
            Version::parse("arn:aws:lambda:us-east-1:000000000000:layer:tools:7"),
            Some(Version { home, name: "tools", number: 7 })
        );
        assert_eq!(Version::parse("arn:aws:lambda:us-east-1:000000000000:layer:tools"), None);
    }
}
