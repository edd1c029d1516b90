use std::{fmt, marker::PhantomData};

use aws_sdk_sqs::types;
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use klr_contract::Trace;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// A message as SQS hands it out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Stable over redeliveries.
    pub id: String,
    /// Receipt handle of this receive.
    pub receipt: String,
    /// The text that was sent.
    pub body: String,
    /// MD5 of the body, as the server says.
    pub md5_of_body: String,
    /// MD5 of the message attributes, as the server says; none without attributes.
    pub md5_of_attributes: Option<String>,
    /// System attributes (`ApproximateReceiveCount`, …), in AWS's order; ones it has no place for come last, by name.
    pub system: Vec<(String, String)>,
    /// Message attributes: as they came, or by name where the client gave no order.
    pub attributes: Vec<(String, Attribute)>,
}

/// A message attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its value.
    pub content: Content,
    /// `String`, `Number`, `Binary`, perhaps with a label of the sender's: `Number.float`.
    pub data_type: String,
}

/// What a message attribute holds. (SQS reserves lists and never had any.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text; numbers too.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// A line is no message of `aws sqs receive-message --output json`.
#[derive(Debug, thiserror::Error)]
#[error("expected an element of Messages[] as `aws sqs receive-message --output json` prints it")]
pub struct NotAMessage(#[from] serde_json::Error);

/// The order of AWS's recordings. The API's answer is a map, whose order is lost before we see it.
const SYSTEM_ORDER: [&str; 9] = [
    "DeadLetterQueueSourceArn",
    "ApproximateReceiveCount",
    "AWSTraceHeader",
    "SentTimestamp",
    "SequenceNumber",
    "MessageGroupId",
    "SenderId",
    "MessageDeduplicationId",
    "ApproximateFirstReceiveTimestamp",
];

impl Message {
    /// One element of `Messages[]` as the AWS command line prints it.
    pub fn native(line: &[u8]) -> Result<Self, NotAMessage> {
        let native: Native = serde_json::from_slice(line)?;
        let mut message = Self {
            id: native.message_id,
            receipt: native.receipt_handle,
            body: native.body,
            md5_of_body: native.md5_of_body,
            md5_of_attributes: native.md5_of_message_attributes,
            system: native.attributes.0,
            attributes: native
                .message_attributes
                .0
                .into_iter()
                .map(|(name, value)| (name, value.0))
                .collect(),
        };
        message.sort_system();
        Ok(message)
    }

    /// When it was sent; the epoch if the server does not say.
    pub fn sent(&self) -> Timestamp {
        self.system("SentTimestamp")
            .and_then(|millis| Timestamp::from_millisecond(millis.parse().ok()?).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The trace it is part of: X-Ray's, as AWS's senders mark it, or the one OpenTelemetry's put among the attributes.
    pub fn trace(&self) -> Option<Box<Trace>> {
        let attribute = |name| {
            let (_, attribute) = self.attributes.iter().find(|(key, _)| key == name)?;
            let Content::Text(text) = &attribute.content else { return None };
            Some(text.as_bytes())
        };
        let w3c = || Trace::w3c(attribute("traceparent")?, attribute("tracestate"));
        self.system("AWSTraceHeader").and_then(Trace::xray).or_else(w3c)
    }

    /// A system attribute.
    pub fn system(&self, name: &str) -> Option<&str> {
        self.system.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn sort_system(&mut self) {
        let place = |name: &str| SYSTEM_ORDER.iter().position(|known| *known == name).unwrap_or(usize::MAX);
        self.system.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
    }
}

impl From<types::Message> for Message {
    fn from(sdk: types::Message) -> Self {
        let system = sdk.attributes.unwrap_or_default();
        let mut attributes: Vec<_> = sdk
            .message_attributes
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, Attribute::from(value)))
            .collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut message = Self {
            id: sdk.message_id.unwrap_or_default(),
            receipt: sdk.receipt_handle.unwrap_or_default(),
            body: sdk.body.unwrap_or_default(),
            md5_of_body: sdk.md5_of_body.unwrap_or_default(),
            md5_of_attributes: sdk.md5_of_message_attributes,
            system: system.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
            attributes,
        };
        message.sort_system();
        message
    }
}

impl From<types::MessageAttributeValue> for Attribute {
    fn from(sdk: types::MessageAttributeValue) -> Self {
        let content = match (sdk.string_value, sdk.binary_value) {
            // Some servers send both, the other empty: the type decides.
            (text, Some(bytes)) if text.is_none() || sdk.data_type.starts_with("Binary") => {
                Content::Binary(bytes.into_inner())
            }
            (text, _) => Content::Text(text.unwrap_or_default()),
        };
        Self { content, data_type: sdk.data_type }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Native {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(rename = "MD5OfBody", default)]
    md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", default)]
    md5_of_message_attributes: Option<String>,
    #[serde(default)]
    attributes: Pairs<String>,
    #[serde(default)]
    message_attributes: Pairs<NativeAttribute>,
}

struct NativeAttribute(Attribute);

impl<'de> Deserialize<'de> for NativeAttribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields {
            string_value: Option<String>,
            binary_value: Option<String>,
            data_type: String,
        }
        let fields = Fields::deserialize(deserializer)?;
        let content = match (fields.string_value, fields.binary_value) {
            (Some(text), None) => Content::Text(text),
            (None, Some(base64)) => {
                Content::Binary(BASE64_STANDARD.decode(base64).map_err(D::Error::custom)?)
            }
            _ => return Err(D::Error::custom("expected either StringValue or BinaryValue")),
        };
        Ok(Self(Attribute { content, data_type: fields.data_type }))
    }
}

/// A JSON object as its members stand.
struct Pairs<T>(Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}
