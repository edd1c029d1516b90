//! CloudWatch Logs, or what speaks its API.

use std::sync::Arc;

use aws_sdk_cloudwatchlogs::{
    Client,
    error::{DisplayErrorContext, SdkError},
    operation::{create_log_stream::CreateLogStreamError, put_log_events::PutLogEventsError},
    types::InputLogEvent,
};

use super::{
    Entry,
    delivery::{Delivery, Failure, Service},
};

/// How the SDK calls the service in its environment variables.
const SERVICE: &str = "CLOUDWATCH_LOGS";
/// What one call takes: records, and bytes with what the service counts for each.
const MOST: usize = 10_000;
const LARGEST: usize = 1_048_576;
const OVERHEAD: usize = 26;

/// A delivery to the endpoint that is configured: `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`, `AWS_ENDPOINT_URL`, or a profile's.
/// `None` where none is. AWS's own is not written to unless it is named.
pub async fn cloudwatch(region: &str) -> Option<Delivery> {
    let config = klr_aws::config(region, SERVICE, None).await;
    let named = |name: &str| std::env::var(name).is_ok_and(|url| !url.is_empty());
    let configured = named("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")
        || named("AWS_ENDPOINT_URL")
        || config.endpoint_url().is_some();
    configured.then(|| Delivery::to(CloudWatch(Client::new(&config))))
}

struct CloudWatch(Client);

impl Service for CloudWatch {
    fn fitting(&self, entries: &[Arc<Entry>]) -> usize {
        fitting(entries)
    }

    async fn put(&self, batch: &[Arc<Entry>]) -> Result<(), Failure> {
        let Some(first) = batch.first() else { return Ok(()) };
        let events = batch.iter().map(|entry| {
            let event = InputLogEvent::builder().timestamp(entry.at.as_millisecond());
            // As Lambda has them: a record ends with its newline.
            event.message(format!("{}\n", entry.text)).build().expect("both members are there")
        });
        let events: Vec<_> = events.collect();
        let put = || {
            let put = self.0.put_log_events().log_group_name(&first.group).log_stream_name(&first.stream);
            put.set_log_events(Some(events.clone())).send()
        };
        match put().await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutLogEventsError::is_resource_not_found_exception) =>
            {
                self.create(&first.group, &first.stream).await?;
                put().await.map(drop).map_err(failure)
            }
            other => other.map(drop).map_err(failure),
        }
    }
}

impl CloudWatch {
    /// The stream, and its group where there is none: whoever may not create groups may have been given one.
    async fn create(&self, group: &str, stream: &str) -> Result<(), Failure> {
        match self.create_stream(group, stream).await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateLogStreamError::is_resource_not_found_exception) => {}
            other => return other.map_err(failure),
        }
        // Somebody may have been faster.
        if let Err(error) = self.0.create_log_group().log_group_name(group).send().await
            && !error.as_service_error().is_some_and(|error| error.is_resource_already_exists_exception())
        {
            return Err(failure(error));
        }
        self.create_stream(group, stream).await.map_err(failure)
    }

    /// It may be there.
    async fn create_stream(&self, group: &str, stream: &str) -> Result<(), SdkError<CreateLogStreamError>> {
        match self.0.create_log_stream().log_group_name(group).log_stream_name(stream).send().await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateLogStreamError::is_resource_already_exists_exception) =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

/// How many of the entries one call takes.
fn fitting(entries: &[Arc<Entry>]) -> usize {
    let mut bytes = 0;
    let over = entries.iter().take(MOST).position(|entry| {
        bytes += entry.text.len() + 1 + OVERHEAD;
        bytes > LARGEST
    });
    over.unwrap_or(entries.len().min(MOST)).max(1)
}

fn failure<E: std::error::Error + Send + Sync + 'static>(error: SdkError<E>) -> Failure {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let why = DisplayErrorContext(error).to_string();
    match status {
        // Throttled and busy are 400s here too, by their names; the SDK has tried those again.
        Some(400..=499) if !why.contains("Throttling") && !why.contains("OperationAborted") => {
            Failure::Never(why)
        }
        _ => Failure::Again(why),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use axum::extract::State;
    use http::{HeaderMap, StatusCode};

    use super::{super::Writer, *};

    fn entry(stream: &str, millisecond: i64, text: &str) -> Arc<Entry> {
        let now = jiff::Timestamp::now().as_millisecond();
        Arc::new(Entry {
            at: jiff::Timestamp::from_millisecond(now + millisecond).unwrap(),
            group: "/aws/lambda/orders".into(),
            stream: stream.into(),
            source: Writer::Function,
            text: text.to_owned(),
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn records_arrive_in_a_group_and_a_stream_that_are_made_for_them() {
        let Some(moto) = klr_test_support::servers::Moto::start() else { return };
        let client = Client::new(&klr_aws::config("us-east-1", SERVICE, Some(&moto.endpoint)).await);
        let delivery = Delivery::to(CloudWatch(client.clone()));
        let streams = ["2026/11/23/[$LATEST]0a", "2026/11/23/[1]0b"];
        for n in 0..20 {
            delivery.offer(&entry(streams[0], n, &format!("record {n}\nof two lines")));
            delivery.offer(&entry(streams[1], 0, &format!("{n}")));
        }
        delivery.idle().await;
        // The second time both are there.
        delivery.offer(&entry(streams[0], 30, "last"));
        delivery.idle().await;
        let of = async |stream: &str| -> Vec<String> {
            let events = client.get_log_events().log_group_name("/aws/lambda/orders").log_stream_name(stream);
            let events = events.start_from_head(true).send().await.unwrap();
            events.events().iter().map(|event| event.message().unwrap().to_owned()).collect()
        };
        let first = of(streams[0]).await;
        assert_eq!((first.len(), first[7].as_str()), (21, "record 7\nof two lines\n"));
        assert_eq!(first[20], "last\n");
        let expected: Vec<_> = (0..20).map(|n| format!("{n}\n")).collect();
        assert_eq!(of(streams[1]).await, expected);
    }

    /// Takes records into a stream that somebody made in a group that was there; groups may not be created.
    async fn strict(State(made): State<Arc<AtomicBool>>, headers: HeaderMap) -> (StatusCode, &'static str) {
        let operation = headers["x-amz-target"].to_str().unwrap();
        match operation.rsplit('.').next().unwrap() {
            "CreateLogStream" => made.store(true, Relaxed),
            "PutLogEvents" if made.load(Relaxed) => {}
            "PutLogEvents" => return (StatusCode::BAD_REQUEST, r#"{"__type":"ResourceNotFoundException"}"#),
            _ => return (StatusCode::BAD_REQUEST, r#"{"__type":"AccessDeniedException"}"#),
        }
        (StatusCode::OK, "{}")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_that_is_there_need_not_be_created() {
        let router = axum::Router::new().fallback(strict).with_state(Arc::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        let service = CloudWatch(Client::new(&klr_aws::config("us-east-1", SERVICE, Some(&endpoint)).await));
        service.put(&[entry("s", 0, "a record")]).await.unwrap();
    }

    #[test]
    fn a_call_takes_so_much() {
        let entry = |length: usize| entry("s", 0, &"x".repeat(length));
        assert_eq!(fitting(&vec![entry(1); 20_000]), MOST);
        assert_eq!(fitting(&[entry(LARGEST), entry(1)]), 1);
        assert_eq!(fitting(&vec![entry(256 * 1024 - 27); 10]), 4);
        assert_eq!(fitting(&[entry(5)]), 1);
    }
}
