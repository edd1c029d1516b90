use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::receive_message::{
        ReceiveMessageError, ReceiveMessageOutput, builders::ReceiveMessageFluentBuilder,
    },
    types::{MessageSystemAttributeName, QueueAttributeName},
};
use klr_aws::{failure, lost};
use klr_contract::{Error, Place, Record, Refused};
use tokio::{sync::OnceCell, time::sleep};
use uuid::Uuid;

use crate::{
    Config, Message, records,
    settle::{Change, settle},
};

/// SQS: messages in one receive.
const TEN: usize = 10;
/// SQS: the longest long poll.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// The longest poll we ask of others, where one costs nothing. Whoever changes a mapping waits for the poll that is under way,
/// and only the next one tells that a queue is gone. Besides, ElasticMQ's HTTP server gives up on a request after 20 seconds,
/// just when SQS' longest poll ends, and answers 503: messages of that moment would be hidden and nobody's.
const LONGEST_POLL_ELSEWHERE: Duration = Duration::from_secs(2);
/// SQS: the longest visibility timeout.
const LONGEST_HIDE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long an answer may take beyond the long poll: ten messages of a megabyte over a slow line.
const GRACE: Duration = Duration::from_secs(15);
/// How often a FIFO receive without an answer is repeated, and how long until the first repeat (doubling).
const REPEATS: u32 = 5;
const FIRST_REPEAT: Duration = Duration::from_millis(200);

/// An SQS queue.
///
/// Every call needs the queue's URL. It is asked for once, at the first call, so that a queue that is not there yet is an
/// error of that call, and not of the start.
#[derive(Debug)]
pub struct Queue {
    pub(crate) client: Client,
    /// Receives are sent once, and each has its own time. (A client for them, since to say so with every call costs a
    /// twentieth of it.)
    receiver: Client,
    pub(crate) config: Config,
    /// Whether we talk to some other server than AWS.
    elsewhere: bool,
    url: OnceCell<String>,
}

impl Queue {
    /// A client for the queue. Finds credentials; does not call the queue yet.
    pub async fn open(config: Config) -> Self {
        let endpoint = config.endpoint.as_deref();
        let shared = klr_aws::config(&config.region, "SQS", endpoint).await;
        let timeouts = shared.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
        let receives = aws_sdk_sqs::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.disable_operation_timeout().disable_operation_attempt_timeout().build())
            .build();
        let elsewhere = klr_aws::elsewhere("SQS", endpoint);
        let (client, receiver) = (Client::new(&shared), Client::from_conf(receives));
        Self { client, receiver, config, elsewhere, url: OnceCell::new() }
    }

    /// Up to ten messages as SQS gave them; otherwise like [`receive`](klr_contract::Queue::receive).
    ///
    /// The SDK's own retry is off: a receive is not idempotent. When an answer is lost its messages are hidden all the same,
    /// and a blind repeat would hide ten others; each such round costs them a receive and a visibility timeout. On a standard
    /// queue the engine repeats, after its back-off. On a FIFO queue the lost answer also holds its groups, so we repeat
    /// here, with the same attempt id, for which SQS gives the same messages again.
    pub async fn receive_messages(
        &self,
        max: usize,
        wait: Duration,
        hide: Option<Duration>,
    ) -> Result<Vec<Message>, Error> {
        let wait = wait.min(if self.elsewhere { LONGEST_POLL_ELSEWHERE } else { LONGEST_POLL });
        let call = self.receive_call(max, wait, hide).await?;
        let mut answer = once(call.clone(), wait).await;
        for repeat in 0..REPEATS {
            match &answer {
                Err(error) if self.config.fifo() && lost(error) => {
                    tracing::debug!(queue = self.config.name, %error, "a FIFO receive got no answer: the same again");
                    sleep(FIRST_REPEAT * 2_u32.pow(repeat)).await;
                    // What was to be waited for has come, or is for the next receive.
                    answer = once(call.clone().wait_time_seconds(0), Duration::ZERO).await;
                }
                _ => break,
            }
        }
        let answer = answer.map_err(|error| failure("SQS", "ReceiveMessage", &error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(Into::into).collect())
    }

    async fn receive_call(
        &self,
        max: usize,
        wait: Duration,
        hide: Option<Duration>,
    ) -> Result<ReceiveMessageFluentBuilder, Error> {
        let attempt = self.config.fifo().then(|| Uuid::new_v4().to_string());
        let max = max.clamp(1, TEN);
        Ok(self
            .receiver
            .receive_message()
            .queue_url(self.url().await?)
            .max_number_of_messages(i32::try_from(max).expect("ten at most"))
            .wait_time_seconds(seconds(wait, LONGEST_POLL))
            .set_visibility_timeout(hide.map(|hide| seconds(hide, LONGEST_HIDE)))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .set_receive_request_attempt_id(attempt))
    }

    /// The queue's URL. Only its path means anything: the SDK sends to the client's endpoint, whatever host stands here,
    /// which is as well, for emulators put one there that does not resolve.
    pub(crate) async fn url(&self) -> Result<&str, Error> {
        self.url.get_or_try_init(|| self.find()).await.map(String::as_str)
    }

    async fn find(&self) -> Result<String, Error> {
        let call = self.client.get_queue_url().queue_name(&self.config.name);
        let mut answer = call.clone().queue_owner_aws_account_id(&self.config.account).send().await;
        // An emulator has one account, which is not the ARN's. On AWS the owner matters: a queue of the same name in the
        // caller's account is another queue.
        if self.elsewhere && matches!(answer, Err(SdkError::ServiceError(_))) {
            answer = call.send().await;
        }
        let answer = answer.map_err(|error| failure("SQS", "GetQueueUrl", &error))?;
        answer.queue_url.ok_or_else(|| {
            Error::retry(
                "sqs-no-url",
                format!("SQS GetQueueUrl answered without the URL of {}", self.config.arn),
            )
        })
    }

    async fn settle(&self, items: &[Place], change: Change) -> Result<Vec<Refused>, Error> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        settle(&self.client, self.url().await?, items, change).await
    }
}

#[async_trait]
impl klr_contract::Queue for Queue {
    async fn visibility(&self) -> Result<Option<Duration>, Error> {
        let name = QueueAttributeName::VisibilityTimeout;
        let call =
            self.client.get_queue_attributes().queue_url(self.url().await?).attribute_names(name.clone());
        let answer = call.send().await.map_err(|error| failure("SQS", "GetQueueAttributes", &error))?;
        let seconds = answer.attributes().and_then(|all| all.get(&name)?.parse().ok());
        let seconds = seconds.ok_or_else(|| {
            let text = format!(
                "expected a VisibilityTimeout in seconds among the attributes of {}",
                self.config.arn
            );
            Error::retry("sqs-no-visibility", text)
        })?;
        Ok(Some(Duration::from_secs(seconds)))
    }

    fn fifo(&self) -> bool {
        self.config.fifo()
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        hide: Option<Duration>,
    ) -> Result<Vec<Record>, Error> {
        Ok(records(&self.config, self.receive_messages(max, wait, hide).await?))
    }

    async fn delete(&self, items: &[Place]) -> Result<Vec<Refused>, Error> {
        self.settle(items, Change::Delete).await
    }

    async fn hold(&self, items: &[Place], span: Duration) -> Result<Vec<Refused>, Error> {
        let result = self.settle(items, Change::Hide { seconds: seconds(span, LONGEST_HIDE) }).await;
        // Lambda's own policy for SQS lacks ChangeMessageVisibility: who has copied it cannot hold, now or later.
        result.map_err(|error| match error.code() {
            "aws-access-denied" => {
                Error::stop("sqs-hold-denied", format!("messages cannot be held: {error}"))
            }
            _ => error,
        })
    }
}

/// Sends a receive, once, with the patience its long poll needs.
async fn once(
    call: ReceiveMessageFluentBuilder,
    wait: Duration,
) -> Result<ReceiveMessageOutput, SdkError<ReceiveMessageError>> {
    match tokio::time::timeout(wait + GRACE, call.send()).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(SdkError::timeout_error(elapsed)),
    }
}

/// Whole seconds, rounded up: hidden a little longer is safe, shorter is not.
fn seconds(span: Duration, most: Duration) -> i32 {
    let span = span.min(most);
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    i32::try_from(whole).expect("twelve hours at most")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_second_is_a_second() {
        for (millis, expected) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (19_500, 20), (30_000, 20)]
        {
            assert_eq!(seconds(Duration::from_millis(millis), LONGEST_POLL), expected);
        }
        assert_eq!(seconds(Duration::MAX, LONGEST_HIDE), 43_200);
    }
}
