//! Destinations that are AWS's resources, or somebody else's who speaks like AWS.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use klr_contract::{Attribute, Error};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Destinations, Kind};
use crate::queue::{
    Queue,
    event::{Errand, Event, Verdict},
    record,
};

/// More destinations than a bridge has; each is a client.
const CLIENTS: usize = 256;

/// Queues, topics, buses and buckets by their ARNs; credentials and endpoints are the AWS chain's. A Lambda function is one by
/// way of the queue itself.
#[derive(Debug)]
pub struct Aws {
    queue: Weak<Queue>,
    /// Where what no ARN names is: buckets.
    region: String,
    endpoint: Option<String>,
    open: Mutex<HashMap<String, Arc<Target>>>,
}

/// A destination that has been opened.
#[derive(Debug)]
enum Target {
    #[cfg(feature = "sqs")]
    Sqs(klr_sqs::Destination),
    #[cfg(feature = "sns")]
    Sns(klr_sns::Destination),
    #[cfg(feature = "s3-destination")]
    S3(klr_s3::Destination),
    #[cfg(feature = "eventbridge")]
    EventBridge(klr_eventbridge::Destination),
    Function,
}

impl Aws {
    /// Events for functions go to `queue`. `endpoint` wins over the chain's own; `region` is where buckets are.
    pub fn new(queue: &Arc<Queue>, region: &str, endpoint: Option<&str>) -> Self {
        let (queue, region) = (Arc::downgrade(queue), region.to_owned());
        Self { queue, region, endpoint: endpoint.map(str::to_owned), open: Mutex::default() }
    }

    async fn target(&self, to: &str) -> Result<Arc<Target>, Error> {
        let mut open = self.open.lock().await;
        if let Some(known) = open.get(to) {
            return Ok(Arc::clone(known));
        }
        let target = Arc::new(self.reach(to).await?);
        if open.len() >= CLIENTS {
            open.clear();
        }
        open.insert(to.to_owned(), Arc::clone(&target));
        Ok(target)
    }

    #[allow(clippy::unused_async, reason = "without any adapter there is nobody to wait for")]
    async fn reach(&self, to: &str) -> Result<Target, Error> {
        #[allow(unused_variables, reason = "without any adapter")]
        let (endpoint, region) = (self.endpoint.as_deref(), &self.region);
        match Kind::of(to) {
            Some(Kind::Function) => Ok(Target::Function),
            #[cfg(feature = "sqs")]
            Some(Kind::Sqs) => Ok(Target::Sqs(klr_sqs::Destination::open(&arn(to)?, endpoint).await)),
            #[cfg(feature = "sns")]
            Some(Kind::Sns) => Ok(Target::Sns(klr_sns::Destination::open(&arn(to)?, endpoint).await)),
            #[cfg(feature = "s3-destination")]
            Some(Kind::S3) => {
                let bucket = arn(to)?.resource;
                Ok(Target::S3(klr_s3::Destination::open(&bucket, region, endpoint).await))
            }
            #[cfg(feature = "eventbridge")]
            Some(Kind::EventBridge) => {
                Ok(Target::EventBridge(klr_eventbridge::Destination::open(&arn(to)?, endpoint).await))
            }
            #[allow(unreachable_patterns, reason = "with every destination built in")]
            Some(kind) => Err(Error::stop(
                "queue-destination",
                format!("this klr was built without {kind:?} as a destination"),
            )),
            None => Err(Error::stop(
                "queue-destination",
                format!(
                    "a destination must be the ARN of a queue, topic, bus, bucket or function, is {to:?}"
                ),
            )),
        }
    }

    /// The record, as each kind takes it.
    async fn record(&self, to: &str, event: &Event, verdict: &Verdict) -> Result<(), Error> {
        let most = Kind::of(to).map_or(usize::MAX, Kind::most);
        let record = record::record(event, verdict, most);
        match &*self.target(to).await? {
            #[cfg(feature = "sqs")]
            Target::Sqs(queue) => queue.send(&record, &[]).await,
            #[cfg(feature = "sns")]
            Target::Sns(topic) => topic.send(&record, &[]).await,
            #[cfg(feature = "s3-destination")]
            Target::S3(bucket) => bucket.object(key(event, verdict, Uuid::new_v4()), record.into()).await,
            #[cfg(feature = "eventbridge")]
            Target::EventBridge(bus) => {
                let event = klr_eventbridge::Event {
                    source: "lambda",
                    detail_type: match verdict.is_success() {
                        true => "Lambda Function Invocation Result - Success",
                        false => "Lambda Function Invocation Result - Failure",
                    },
                    resources: vec![to.to_owned(), record::qualified(&event.target)],
                    detail: &record,
                    time: verdict.at,
                };
                bus.send(event).await
            }
            Target::Function => self.function(to, record).await,
        }
    }

    async fn function(&self, to: &str, record: String) -> Result<(), Error> {
        let closed = || Error::retry("queue-closed", "the queue is closed: the process is ending");
        let queue = self.queue.upgrade().ok_or_else(closed)?;
        let event = Event::new(Uuid::new_v4(), to, record.into());
        queue.accept(event).await.map_err(|error| Error::retry(error.code(), error.to_string()))
    }

    /// The event as it came, to a dead-letter queue.
    async fn dead_letter(&self, to: &str, event: &Event, verdict: &Verdict) -> Result<(), Error> {
        #[allow(unused_variables, reason = "without any adapter")]
        let (body, attributes) = (String::from_utf8_lossy(&event.payload), attributes(event, verdict));
        match &*self.target(to).await? {
            #[cfg(feature = "sqs")]
            Target::Sqs(queue) => queue.send(&body, &attributes).await,
            #[cfg(feature = "sns")]
            Target::Sns(topic) => topic.send(&body, &attributes).await,
            _ => Err(Error::stop(
                "queue-destination",
                format!("a dead-letter queue must be an SQS queue or an SNS topic, is {to}"),
            )),
        }
    }
}

#[async_trait]
impl Destinations for Aws {
    async fn send(&self, to: &str, event: &Event, verdict: &Verdict, errand: Errand) -> Result<(), Error> {
        match errand {
            Errand::Destination => self.record(to, event, verdict).await,
            Errand::DeadLetter => self.dead_letter(to, event, verdict).await,
        }
    }
}

#[cfg(any(feature = "sqs", feature = "sns", feature = "s3-destination", feature = "eventbridge"))]
fn arn(text: &str) -> Result<klr_aws::Arn, Error> {
    text.parse().map_err(|error: klr_aws::NotAnArn| Error::stop("queue-destination", error.to_string()))
}

/// What AWS says beside a dead letter.
fn attributes(event: &Event, verdict: &Verdict) -> [Attribute; 3] {
    let (code, message) = record::dead_letter(verdict);
    [
        Attribute { name: "RequestID", kind: "String", value: event.id.to_string() },
        Attribute { name: "ErrorCode", kind: "Number", value: code.to_string() },
        Attribute { name: "ErrorMessage", kind: "String", value: message },
    ]
}

/// `aws/lambda/async/FUNCTION/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-UUID`, as AWS has it.
#[cfg_attr(not(feature = "s3-destination"), allow(dead_code, reason = "what only buckets need"))]
fn key(event: &Event, verdict: &Verdict, unique: Uuid) -> String {
    let (name, at) = (record::name(&event.target), verdict.at.strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S"));
    format!("aws/lambda/async/{name}/{at}-{unique}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::queue::Condition;

    #[test]
    fn the_key_is_awss() {
        let target = "arn:aws:lambda:us-east-1:111111111111:function:f:live";
        let event = Event::new(Uuid::nil(), target, Bytes::new());
        let at = "2019-11-04T00:38:06.921Z".parse().unwrap();
        let verdict = Verdict { condition: Condition::RetriesExhausted, attempts: 1, at, answer: None };
        assert_eq!(
            key(&event, &verdict, Uuid::nil()),
            "aws/lambda/async/f/2019/11/04/2019-11-04T00.38.06-00000000-0000-0000-0000-000000000000"
        );
    }
}
