//! Names: of resources, functions and whatever an ARN names.

/// An ARN taken apart; the resource keeps its own colons and slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// `None`: not `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("arn:aws")?;
        let mut parts = rest.splitn(5, ':');
        let partition = parts.next()?;
        let [service, region, account, resource] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let whole = (partition.is_empty() || partition.starts_with('-'))
            && !service.is_empty()
            && !resource.is_empty();
        (whole && !text.contains(char::is_whitespace)).then_some(Self { service, region, account, resource })
    }

    /// Twelve digits, as AWS numbers its accounts.
    pub(super) fn is_account(text: &str) -> bool {
        text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
    }
}

/// A function's bare name out of what AWS takes for one: `name`, `ACCOUNT:function:name`, the whole ARN, each with
/// `:version` or `:alias` behind it. `None`: none of these.
pub(super) fn function(written: &str) -> Option<&str> {
    let word = |text: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !text.is_empty() && text.chars().all(allowed)
    };
    let tail = if let Some(arn) = written.starts_with("arn:").then(|| Arn::parse(written)) {
        let arn = arn.filter(|arn| arn.service == "lambda" && Arn::is_account(arn.account))?;
        arn.resource.strip_prefix("function:")?
    } else if let Some((account, name)) = written.split_once(":function:") {
        Some(name).filter(|_| Arn::is_account(account))?
    } else {
        written.strip_prefix("function:").unwrap_or(written)
    };
    let (name, qualifier) =
        tail.split_once(':').map_or((tail, None), |(name, qualifier)| (name, Some(qualifier)));
    // AWS: an alias may be as long as 128 characters.
    let fits = written.len() <= 256 && name.len() <= 64 && word(name);
    let qualified = qualifier.is_none_or(|qualifier| qualifier == "$LATEST" || word(qualifier));
    (fits && qualified).then_some(name)
}

/// The name with its version or alias, however the function was written.
pub(super) fn qualified(written: &str) -> &str {
    written.rsplit_once("function:").map_or(written, |(_, tail)| tail)
}

/// The ARN of a function however it was written, with its version or alias. What it does not say itself (partition, region,
/// account) it shares with the event source; failing that the region is `region`, and the account the host's.
pub fn function_arn(written: &str, event_source: Option<&str>, region: &str) -> String {
    if written.starts_with("arn:") {
        return written.to_owned();
    }
    let source: Vec<&str> = event_source.unwrap_or_default().splitn(6, ':').collect();
    let (partition, region, account) = match source[..] {
        [_, partition, _, region, account, _] => (partition, region, account),
        _ => ("aws", region, "123456789012"),
    };
    let account = written.split_once(":function:").map_or(account, |(account, _)| account);
    format!("arn:{partition}:lambda:{region}:{account}:function:{}", qualified(written))
}

/// What Kubernetes takes for a name, which may stand in a path too.
pub(super) fn is_resource_name(text: &str) -> bool {
    let label = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ends(part.chars().next()) && ends(part.chars().last()) && part.chars().all(inner)
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_in_all_the_ways_aws_takes() {
        for written in [
            "my_Function-1",
            "my_Function-1:$LATEST",
            "my_Function-1:prod",
            "function:my_Function-1",
            "123456789012:function:my_Function-1",
            "123456789012:function:my_Function-1:7",
            "arn:aws:lambda:us-east-1:123456789012:function:my_Function-1",
            "arn:aws-cn:lambda:cn-north-1:123456789012:function:my_Function-1:prod",
        ] {
            assert_eq!(function(written), Some("my_Function-1"), "{written}");
        }
        let long = "x".repeat(65);
        for written in
            ["", "a b", "a:", "a:b:c", "a/b", "12:function:a", "arn:aws:sqs:us-east-1:123456789012:a", &long]
        {
            assert_eq!(function(written), None, "{written}");
        }
    }

    #[test]
    fn a_functions_arn_is_where_its_source_is_unless_it_says_otherwise() {
        let stream = Some("arn:aws-cn:kinesis:cn-north-1:210987654321:stream/s");
        for (written, source, arn) in [
            ("f", stream, "arn:aws-cn:lambda:cn-north-1:210987654321:function:f"),
            ("f:prod", stream, "arn:aws-cn:lambda:cn-north-1:210987654321:function:f:prod"),
            ("function:f:$LATEST", stream, "arn:aws-cn:lambda:cn-north-1:210987654321:function:f:$LATEST"),
            ("111122223333:function:f", stream, "arn:aws-cn:lambda:cn-north-1:111122223333:function:f"),
            ("f", None, "arn:aws:lambda:eu-west-1:123456789012:function:f"),
            ("arn:aws:lambda:us-east-1:1:function:f:7", stream, "arn:aws:lambda:us-east-1:1:function:f:7"),
        ] {
            assert_eq!(function_arn(written, source, "eu-west-1"), arn);
        }
    }

    #[test]
    fn an_arn_has_six_parts() {
        let arn = Arn::parse("arn:aws-us-gov:kafka:us-gov-west-1:123456789012:cluster/c/1:2").unwrap();
        assert_eq!((arn.service, arn.region, arn.resource), ("kafka", "us-gov-west-1", "cluster/c/1:2"));
        for text in
            ["arn:aws:sqs:us-east-1:123456789012", "arn:awful:sqs:r:a:q", "arn:aws:sqs:r:a:q q", "orders"]
        {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_resource_is_named_as_kubernetes_wants_it() {
        assert!(["orders", "a-1.b", "0"].into_iter().all(is_resource_name));
        assert!(!["", "Orders", "-a", "a-", "a..b", "a_b", "a/b"].into_iter().any(is_resource_name));
    }
}
