//! The other side of an SQS mapping: queues, filled and looked into behind the bridge's back.

use std::collections::HashMap;
use std::thread;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{
    Message, MessageSystemAttributeName, QueueAttributeName as Attribute, SendMessageBatchRequestEntry,
};
use serde_json::Value;

use crate::calls::{done, ending};
use crate::sink::Request;

/// SQS: entries in one batch call.
const TEN: usize = 10;
/// Calls that fill a queue at a time.
const SENDERS: usize = 4;

/// A queue on a server of the test's.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    endpoint: String,
    url: String,
    /// Its name.
    pub name: String,
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// There for the next receive.
    pub visible: usize,
    /// Received, not deleted, and their visibility timeout still runs.
    pub hidden: usize,
}

impl Counts {
    /// Nothing at all.
    pub const EMPTY: Self = Self { visible: 0, hidden: 0 };
}

impl Queue {
    /// A standard queue; `visibility` in seconds. `name` need only be good in this test: others get another ending.
    pub fn standard(endpoint: &str, name: &str, visibility: u32) -> Self {
        Self::create(endpoint, &format!("{name}-{}", ending()), visibility, &[])
    }

    /// A FIFO queue.
    pub fn fifo(endpoint: &str, name: &str, visibility: u32) -> Self {
        let fifo = [(Attribute::FifoQueue, "true"), (Attribute::ContentBasedDeduplication, "false")];
        Self::create(endpoint, &format!("{name}-{}.fifo", ending()), visibility, &fifo)
    }

    /// Creates the queue again on a server that has forgotten it.
    pub fn create_again(&self, visibility: u32) {
        Self::create(&self.endpoint, &self.name, visibility, &[]);
    }

    fn create(endpoint: &str, name: &str, visibility: u32, more: &[(Attribute, &str)]) -> Self {
        let client = client(endpoint);
        let mut call = client
            .create_queue()
            .queue_name(name)
            .attributes(Attribute::VisibilityTimeout, visibility.to_string());
        for (attribute, value) in more {
            call = call.attributes(attribute.clone(), *value);
        }
        let url = done(call.send()).queue_url.expect("a created queue has a URL");
        Self { client, endpoint: endpoint.to_owned(), url, name: name.to_owned() }
    }

    /// Gives it a dead-letter queue of its own kind and answers that.
    pub fn dead_letters(&self, maximum_receives: u32) -> Self {
        let stem = self.name.strip_suffix(".fifo").unwrap_or(&self.name);
        let dead = match self.name.ends_with(".fifo") {
            true => Self::fifo(&self.endpoint, &format!("{stem}-dead"), 30),
            false => Self::standard(&self.endpoint, &format!("{stem}-dead"), 30),
        };
        let arn = dead.attribute(Attribute::QueueArn);
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{maximum_receives}}}"#);
        let call = self.client.set_queue_attributes().queue_url(&self.url);
        done(call.attributes(Attribute::RedrivePolicy, policy).send());
        dead
    }

    /// As users write it. The account is AWS's example, whatever the server's.
    pub fn arn(&self) -> String {
        format!("arn:aws:sqs:us-east-1:123456789012:{}", self.name)
    }

    /// An `EventSourceMapping` from here to `sink`, named as the queue; `spec` holds more lines for its spec.
    pub fn mapping(&self, sink: &str, spec: &str) -> String {
        self.mapping_spec(&format!("sink: {{uri: \"{sink}\"}}\n{spec}"))
    }

    /// The same without a sink, or with one that `spec` describes.
    pub fn mapping_spec(&self, spec: &str) -> String {
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        let (name, arn, endpoint) = (self.name.replace('.', "-"), self.arn(), &self.endpoint);
        format!(
            "---\napiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {{name: {name}}}\nspec:\n  \
             eventSourceArn: {arn}\n  endpoint: {endpoint}\n  functionName: function-of-{name}\n{spec}"
        )
    }

    /// The API itself, for what is done once.
    pub fn client(&self) -> (&Client, &str) {
        (&self.client, &self.url)
    }

    /// Sends these bodies, ten in a call, several calls at once: fast, in no order.
    pub fn send_all(&self, bodies: &[String]) {
        let share = bodies.len().div_ceil(SENDERS).next_multiple_of(TEN);
        thread::scope(|scope| {
            for share in bodies.chunks(share.max(TEN)) {
                scope.spawn(|| share.chunks(TEN).for_each(|ten| self.send_ten(ten, None)));
            }
        });
    }

    /// Sends these bodies to a message group, in order.
    pub fn send_to_group(&self, group: &str, bodies: &[String]) {
        bodies.chunks(TEN).for_each(|ten| self.send_ten(ten, Some(group)));
    }

    /// Sends one body.
    pub fn send(&self, body: impl Into<String>) {
        self.send_ten(&[body.into()], None);
    }

    fn send_ten(&self, bodies: &[String], group: Option<&str>) {
        let mut call = self.client.send_message_batch().queue_url(&self.url);
        for (n, body) in bodies.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(n.to_string())
                .message_body(body)
                .set_message_group_id(group.map(str::to_owned))
                .set_message_deduplication_id(group.map(|_| ending()));
            call = call.entries(entry.build().expect("id and body are set"));
        }
        let answer = done(call.send());
        assert!(answer.failed.is_empty(), "not sent to {}: {:?}", self.name, answer.failed);
    }

    /// What it holds now. (An approximation on AWS; exact on emulators.)
    pub fn counts(&self) -> Counts {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = done(call.attribute_names(Attribute::All).send());
        let count = |name: Attribute| {
            answer.attributes().and_then(|all| all.get(&name)?.parse().ok()).expect("a queue counts messages")
        };
        Counts {
            visible: count(Attribute::ApproximateNumberOfMessages),
            hidden: count(Attribute::ApproximateNumberOfMessagesNotVisible),
        }
    }

    fn attribute(&self, name: Attribute) -> String {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = done(call.attribute_names(name.clone()).send());
        answer.attributes().and_then(|all| all.get(&name).cloned()).expect("the attribute was asked for")
    }

    /// Receives up to ten messages, with everything the server says of them, without waiting.
    pub fn receive(&self) -> Vec<Message> {
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let call = call
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        done(call.send()).messages.unwrap_or_default()
    }

    /// The bodies of all that is visible, in order of receipt. They are hidden afterwards.
    pub fn take_bodies(&self) -> Vec<String> {
        let tens = std::iter::repeat_with(|| self.receive()).take_while(|ten| !ten.is_empty());
        tens.flatten().filter_map(|message| message.body).collect()
    }
}

/// The messages of a delivered event, as the function sees them.
pub fn records(request: &Request) -> Vec<Value> {
    let mut event: Value = serde_json::from_slice(&request.body).expect("an event is JSON");
    match event["Records"].take() {
        Value::Array(records) => records,
        _ => panic!("an SQS event has a list of Records"),
    }
}

/// The bodies of a delivered event.
pub fn bodies(request: &Request) -> Vec<String> {
    records(request).iter().map(|record| text(record, "body")).collect()
}

/// A text member of a record; for an attribute as `attributes.MessageGroupId`.
pub fn text(record: &Value, path: &str) -> String {
    let member = path.split('.').fold(record, |value, name| &value[name]);
    member.as_str().unwrap_or_else(|| panic!("{path} is text in {record}")).to_owned()
}

/// The reply of a function that failed on these records.
pub fn failures<'a>(records: impl IntoIterator<Item = &'a Value>) -> String {
    let entries = records.into_iter().map(|record| HashMap::from([("itemIdentifier", &record["messageId"])]));
    serde_json::json!({"batchItemFailures": entries.collect::<Vec<_>>()}).to_string()
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "for an emulator"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}
