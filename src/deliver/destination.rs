//! A sink of CloudEvents as an on-failure destination. AWS has none: this one is ours.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use klr_contract::{Error, FailureRecord};

use super::{
    Outcome,
    cloudevent::{self, Envelope},
    sink::Sink,
};

/// The type of its events.
pub const KIND: &str = "com.amazonaws.lambda.event-source-mapping.failure";

/// Takes failure records as events, the payload in them as it was. A 2xx takes one.
///
/// An event says of source, subject, function and mapping what those of the mapping's batches say, so that a Trigger may
/// tell them apart by their type.
pub struct Destination {
    sink: Sink,
    fixed: HeaderMap,
    timeout: Duration,
}

impl Destination {
    /// By way of a sink whose 2xx says that it has the event ([`AckMode::Accepted`](super::AckMode)); `batches` names the
    /// mapping's batches.
    pub fn new(sink: Sink, batches: Envelope, timeout: Duration) -> Result<Self, cloudevent::Error> {
        let fixed = Envelope { kind: KIND.to_owned(), ..batches }.fixed()?;
        Ok(Self { sink, fixed, timeout })
    }

    fn headers(&self, record: &FailureRecord) -> HeaderMap {
        let mut headers = self.fixed.clone();
        headers.insert(HeaderName::from_static("ce-id"), printable(record.request_id.clone()));
        headers.insert(HeaderName::from_static("ce-time"), printable(format!("{:.3}", record.timestamp)));
        let shard = klr_host::cloudevent::encoded(&record.shard);
        // An override is among the fixed ones, and stays.
        headers.entry(HeaderName::from_static("ce-partitionkey")).or_insert_with(|| printable(shard));
        headers
    }

    async fn post(&self, record: &FailureRecord, body: Bytes) -> Outcome {
        self.sink.post(self.headers(record), body, self.timeout).await
    }
}

fn printable(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("ids, times and percent-encoded text are printable ASCII")
}

#[async_trait]
impl klr_contract::Destination for Destination {
    /// What is too large with its payload goes without, as AWS leaves it out of what its targets do not take.
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        let mut outcome = self.post(record, record.with_object()).await;
        if outcome == Outcome::TooLarge {
            outcome = self.post(record, record.json.clone()).await;
        }
        let error = match outcome {
            Outcome::Accepted => return Ok(()),
            Outcome::Throttled { after } => {
                let error = Error::retry("sink-throttled", "the sink has too many requests");
                after.map_or(error.clone(), |after| error.after(after))
            }
            Outcome::TooLarge => {
                Error::retry("sink-too-large", "the sink takes no failure record, even without its payload")
            }
            Outcome::Unreachable(why) => Error::retry("sink-unreachable", why),
            _ => {
                Error::retry("sink-refused", "the sink refused a failure record: is it one for CloudEvents?")
            }
        };
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use klr_contract::{Destination as _, Kind};
    use klr_test_support::sink::{self, Answer, Request};

    use super::*;
    use crate::deliver::{AckMode, sink::Settings};

    fn record() -> FailureRecord {
        FailureRecord {
            json: Bytes::from_static(br#"{"version":"1.0"}"#),
            payload: Some(Bytes::from_static(br#"{"Records":[]}"#)),
            request_id: "0d1e4f30-0000-4000-8000-000000000000".to_owned(),
            mapping: String::new(),
            shard: "orders-0".to_owned(),
            timestamp: "2019-11-14T00:38:06.021Z".parse().unwrap(),
            key: None,
        }
    }

    fn destination(uri: &str) -> Destination {
        let settings = Settings {
            uri: uri.parse().unwrap(),
            ack_mode: AckMode::Accepted,
            http2: false,
            ca_certs: None,
            audience: None,
            timeout: None,
        };
        let mut batches = Envelope::kafka(None, "b-1:9092", "orders".to_owned());
        batches.function_name = Some("f".to_owned());
        batches.overrides = vec![("team".to_owned(), "a".to_owned())];
        Destination::new(Sink::new(settings).unwrap(), batches, Duration::from_secs(10)).unwrap()
    }

    async fn put(
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> (Result<(), Error>, Vec<Request>) {
        let sink = sink::Sink::start(answer);
        let result = destination(&sink.uri).put(&record()).await;
        (result, sink.requests())
    }

    #[tokio::test]
    async fn a_record_is_an_event_of_its_own_type() {
        let (result, requests) = put(|_| Answer::status(202)).await;
        result.unwrap();
        let [request] = &requests[..] else { panic!("{requests:?}") };
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-type", KIND),
            ("ce-source", "kafka://b-1:9092/orders"),
            ("ce-subject", "orders"),
            ("ce-functionname", "f"),
            ("ce-id", "0d1e4f30-0000-4000-8000-000000000000"),
            ("ce-time", "2019-11-14T00:38:06.021Z"),
            ("ce-partitionkey", "orders-0"),
            ("ce-team", "a"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert_eq!(request.body, r#"{"version":"1.0","payload":{"Records":[]}}"#);
    }

    #[tokio::test]
    async fn a_payload_that_is_too_large_is_left_out() {
        let (result, requests) =
            put(|request| Answer::status(if request.index == 0 { 413 } else { 200 })).await;
        result.unwrap();
        assert_eq!(requests[1].body, r#"{"version":"1.0"}"#);
    }

    #[tokio::test]
    async fn only_a_2xx_has_taken_it() {
        for (status, code) in [
            (302, "sink-unreachable"),
            (400, "sink-refused"),
            (404, "sink-unreachable"),
            (413, "sink-too-large"),
            (500, "sink-unreachable"),
            (503, "sink-throttled"),
        ] {
            let error = put(move |_| Answer::status(status)).await.0.unwrap_err();
            assert_eq!((error.code(), matches!(error.kind(), Kind::Retry { .. })), (code, true), "{status}");
        }
        assert_eq!(put(|_| Answer::cut()).await.0.unwrap_err().code(), "sink-unreachable");
        let nobody = destination("http://127.0.0.1:9").put(&record()).await.unwrap_err();
        assert_eq!(nobody.code(), "sink-unreachable");
    }
}
