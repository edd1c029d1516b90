//! Where functions' URLs are reached.

use std::str::FromStr;

/// What URLs begin with, and what they end in: `https://<id>.lambda-url.<region>.on.aws/` on AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    scheme: String,
    /// A host's name, perhaps with a port.
    domain: String,
}

/// A base that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected http://DOMAIN[:PORT] or https://DOMAIN[:PORT] without a path, as http://localhost:9001")]
pub struct NoBase;

impl Base {
    /// On the loopback interface, at the port. Browsers and curl find all names below `localhost` there, as RFC 6761 says.
    pub fn local(port: u16) -> Self {
        Self { scheme: "http".to_owned(), domain: format!("localhost:{port}") }
    }

    /// The host a URL has.
    pub(super) fn host(&self, id: &str, region: &str) -> String {
        format!("{id}.lambda-url.{region}.{}", self.domain)
    }

    /// The URL.
    pub(super) fn url(&self, id: &str, region: &str) -> String {
        format!("{}://{}/", self.scheme, self.host(id, region))
    }
}

impl Default for Base {
    fn default() -> Self {
        Self { scheme: "https".to_owned(), domain: "on.aws".to_owned() }
    }
}

impl FromStr for Base {
    type Err = NoBase;

    fn from_str(text: &str) -> Result<Self, NoBase> {
        let (scheme, domain) = text.split_once("://").ok_or(NoBase)?;
        let domain = domain.strip_suffix('/').unwrap_or(domain);
        let is_domain = domain.parse::<http::uri::Authority>().is_ok() && !domain.contains('@');
        if !matches!(scheme, "http" | "https") || !is_domain {
            return Err(NoBase);
        }
        Ok(Self { scheme: scheme.to_owned(), domain: domain.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_below_a_domain() {
        assert_eq!(Base::default().url("abc", "eu-west-1"), "https://abc.lambda-url.eu-west-1.on.aws/");
        assert_eq!(
            Base::local(9001).url("abc", "us-east-1"),
            "http://abc.lambda-url.us-east-1.localhost:9001/"
        );
        let base: Base = "https://lambda.example/".parse().unwrap();
        assert_eq!(base.host("abc", "us-east-1"), "abc.lambda-url.us-east-1.lambda.example");
        for none in ["lambda.example", "ftp://lambda.example", "http://", "http://a/b", "http://me@a"] {
            assert_eq!(none.parse::<Base>(), Err(NoBase), "{none}");
        }
    }
}
