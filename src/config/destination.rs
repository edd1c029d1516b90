//! Where a mapping sends what it gives up: `destinationConfig.onFailure.destination`.

use reqwest::Url;

use super::name::Arn;

/// AWS: the longest text of a destination.
const LONGEST: usize = 350;

/// An on-failure destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A standard queue, by its ARN.
    Sqs(String),
    /// A standard topic of SNS, by its ARN.
    Sns(String),
    /// A bucket, by its name.
    S3(String),
    /// A topic of the cluster the mapping reads from.
    Kafka(String),
    /// A sink of CloudEvents. Ours: AWS has none.
    Sink(Url),
}

/// What is written is no destination. It says what must be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADestination {
    /// Neither ARN, nor topic, nor address.
    #[error(
        "must be the ARN of an SQS queue, an SNS topic or an S3 bucket, kafka://TOPIC, or the http address of a sink of \
         CloudEvents, is {0:?}"
    )]
    Unknown(String),
    /// Longer than AWS takes.
    #[error("must be at most {LONGEST} characters, is {0}")]
    TooLong(usize),
    /// AWS: FIFO is not supported.
    #[error("must be a standard {what}, is {arn}: failure records have no order to keep")]
    Fifo {
        /// Queue or topic.
        what: &'static str,
        /// Which.
        arn: String,
    },
    /// The ARN of a service that takes failure records, of something else there.
    #[error("must be a {what}'s ARN, as {example}")]
    Malformed {
        /// Queue, topic or bucket.
        what: &'static str,
        /// How one looks.
        example: &'static str,
    },
    /// A Kafka topic behind another source.
    #[error("kafka:// is a topic of the cluster that is read: only a Kafka mapping has one")]
    NotKafka,
    /// Kafka would not have such a topic.
    #[error(
        "must name a topic, as kafka://orders-failed: letters, digits, '.', '_' and '-', at most 249 of them"
    )]
    Topic,
    /// What fails would come back.
    #[error("must not be the topic that is read, {0}: what fails would come back for ever")]
    SourceTopic(String),
}

/// Reads a destination; `topic` is the one a Kafka mapping reads. The empty text is none, as on AWS.
pub fn read(text: &str, topic: Option<&str>) -> Result<Option<Destination>, NotADestination> {
    let length = text.chars().count();
    if length > LONGEST {
        return Err(NotADestination::TooLong(length));
    }
    let unknown = || NotADestination::Unknown(text.to_owned());
    match text.split_once(':') {
        None if text.is_empty() => Ok(None),
        Some(("arn", _)) => resource(text, Arn::parse(text).ok_or_else(unknown)?).map(Some),
        Some(("kafka", rest)) => kafka(rest, topic).map(Some),
        Some(("http" | "https", _)) => {
            let url = Url::parse(text).ok().filter(Url::has_host);
            url.map(|url| Some(Destination::Sink(url))).ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

fn resource(text: &str, arn: Arn<'_>) -> Result<Destination, NotADestination> {
    let fifo = arn.resource.ends_with(".fifo");
    let regional = !arn.region.is_empty() && Arn::is_account(arn.account);
    let is_name =
        |allowed: &[char]| arn.resource.chars().all(|c| c.is_ascii_alphanumeric() || allowed.contains(&c));
    match arn.service {
        "sqs" | "sns" if fifo => {
            let what = if arn.service == "sqs" { "queue" } else { "topic" };
            Err(NotADestination::Fifo { what, arn: text.to_owned() })
        }
        "sqs" if regional && is_name(&['-', '_']) => Ok(Destination::Sqs(text.to_owned())),
        "sqs" => Err(NotADestination::Malformed {
            what: "queue",
            example: "arn:aws:sqs:us-east-1:123456789012:orders-failed",
        }),
        // A subscription has one more part.
        "sns" if regional && is_name(&['-', '_']) => Ok(Destination::Sns(text.to_owned())),
        "sns" => Err(NotADestination::Malformed {
            what: "topic",
            example: "arn:aws:sns:us-east-1:123456789012:orders-failed",
        }),
        // A bucket's name is unique without region and account; no object's key follows it.
        "s3" if arn.region.is_empty() && arn.account.is_empty() && is_name(&['-', '_', '.']) => {
            Ok(Destination::S3(arn.resource.to_owned()))
        }
        "s3" => Err(NotADestination::Malformed { what: "bucket", example: "arn:aws:s3:::orders-failed" }),
        _ => Err(NotADestination::Unknown(text.to_owned())),
    }
}

fn kafka(rest: &str, topic: Option<&str>) -> Result<Destination, NotADestination> {
    let source = topic.ok_or(NotADestination::NotKafka)?;
    let name = rest.strip_prefix("//").unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || !name.chars().all(allowed) || matches!(name, "." | "..") {
        return Err(NotADestination::Topic);
    }
    if name == source {
        return Err(NotADestination::SourceTopic(source.to_owned()));
    }
    Ok(Destination::Kafka(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text, Some("orders")).unwrap_err().to_string()
    }

    #[test]
    fn every_kind_is_told_by_its_spelling() {
        let read = |text: &str| read(text, Some("orders")).unwrap();
        let queue = "arn:aws:sqs:us-east-1:123456789012:failed_1";
        let topic = "arn:aws-cn:sns:cn-north-1:123456789012:failed-1";
        assert_eq!(read(queue), Some(Destination::Sqs(queue.to_owned())));
        assert_eq!(read(topic), Some(Destination::Sns(topic.to_owned())));
        assert_eq!(read("arn:aws:s3:::my.failed-1"), Some(Destination::S3("my.failed-1".to_owned())));
        assert_eq!(read("kafka://orders.failed"), Some(Destination::Kafka("orders.failed".to_owned())));
        let url = "https://broker-ingress.knative-eventing.svc/ns/default";
        assert_eq!(read(url), Some(Destination::Sink(url.parse().unwrap())));
        assert_eq!(read(""), None);
    }

    #[test]
    fn what_aws_does_not_take_is_refused_with_what_it_takes() {
        for (text, says) in [
            ("arn:aws:sqs:us-east-1:123456789012:failed.fifo", "must be a standard queue"),
            ("arn:aws:sns:us-east-1:123456789012:failed.fifo", "must be a standard topic"),
            ("arn:aws:sns:us-east-1:123456789012:failed:0f1e", "must be a topic's ARN"),
            ("arn:aws:sqs:::failed", "must be a queue's ARN"),
            ("arn:aws:s3:us-east-1:123456789012:accesspoint/a", "must be a bucket's ARN"),
            ("arn:aws:s3:::failed/prefix", "must be a bucket's ARN"),
            ("arn:aws:lambda:us-east-1:123456789012:function:f", "must be the ARN of an SQS queue"),
            ("arn:aws", "must be the ARN of an SQS queue"),
            ("failed", "must be the ARN of an SQS queue"),
            ("http://", "must be the ARN of an SQS queue"),
            ("kafka://", "must name a topic"),
            ("kafka:failed", "must name a topic"),
            ("kafka://a b", "must name a topic"),
            ("kafka://orders", "must not be the topic that is read"),
        ] {
            assert!(refused(text).starts_with(says), "{text}: {}", refused(text));
        }
        let long = format!("kafka://{}", "x".repeat(343));
        assert_eq!(refused(&long), "must be at most 350 characters, is 351");
        assert_eq!(read("kafka://failed", None), Err(NotADestination::NotKafka));
    }
}
