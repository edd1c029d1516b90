use std::{fmt, str::FromStr};

/// An Amazon Resource Name, taken apart.
///
/// Region and account may be empty (`arn:aws:s3:::bucket`). The resource may hold colons and slashes of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// `sqs`, `kafka`, `secretsmanager`, …
    pub service: String,
    /// `us-east-1`; empty where the resource is global.
    pub region: String,
    /// The owner's account; empty where the name is unique without it.
    pub account: String,
    /// The rest: a queue's name, `cluster/NAME/UUID`, `secret:NAME`, …
    pub resource: String,
}

/// The text is no ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an ARN like arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, got {0:?}")]
pub struct NotAnArn(pub String);

impl FromStr for Arn {
    type Err = NotAnArn;

    fn from_str(text: &str) -> Result<Self, NotAnArn> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(|| NotAnArn(text.to_owned()));
        let prefix = next()?;
        let arn = Self {
            partition: next()?.to_owned(),
            service: next()?.to_owned(),
            region: next()?.to_owned(),
            account: next()?.to_owned(),
            resource: next()?.to_owned(),
        };
        let whole = prefix == "arn"
            && !arn.partition.is_empty()
            && !arn.service.is_empty()
            && !arn.resource.is_empty()
            && !text.contains(char::is_whitespace);
        whole.then_some(arn).ok_or_else(|| NotAnArn(text.to_owned()))
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_apart_and_puts_together() {
        for text in [
            "arn:aws:sqs:us-east-1:123456789012:orders.fifo",
            "arn:aws-cn:kafka:cn-north-1:123456789012:cluster/c/0f1e-2",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kafka/user-AbCdEf",
            "arn:aws:s3:::bucket",
        ] {
            assert_eq!(text.parse::<Arn>().unwrap().to_string(), text);
        }
        let arn: Arn = "arn:aws:secretsmanager:eu-west-1:1:secret:a:b".parse().unwrap();
        assert_eq!((arn.service.as_str(), arn.resource.as_str()), ("secretsmanager", "secret:a:b"));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "arn",
            "arn:aws:sqs:r:a",
            "arn:aws:sqs:r:a:",
            "arn::sqs:r:a:q",
            "urn:aws:sqs:r:a:q",
            "arn:aws:sqs:r:a:q q",
        ] {
            assert_eq!(text.parse::<Arn>(), Err(NotAnArn(text.to_owned())));
        }
    }
}
