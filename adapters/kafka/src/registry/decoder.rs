//! A message's key and value, decoded by schemas that are known.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use klr_contract::Reason;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;
use tokio::runtime::Handle;

use super::client::{Client, Error};
use super::schema::{Schema, Text, Unreadable};
use crate::pull::{Attribute, Decoded};
use crate::{EventRecordFormat, Registry};

/// How long the registry is not asked again for a number it does not have: its copies may lag behind each other.
const MISSING: Duration = Duration::from_secs(10);
/// When this many are known, those that are not there are forgotten.
const MOST: usize = 10_000;
/// A zero byte and the schema's number.
const HEADER: usize = 5;

/// Schemas that are known, and what is to be done by them.
pub(crate) struct Decoder {
    settings: Registry,
    client: Arc<Client>,
    /// Where the client's calls run.
    runtime: Handle,
    schemas: HashMap<u32, Known>,
}

enum Known {
    Schema(Schema),
    /// It is there, and nobody can use it.
    Unusable,
    Missing(Instant),
}

/// A schema's text; `None` where the registry does not have it.
pub(crate) type Answer = Result<Option<Text>, Error>;

/// Why a message is not decoded.
pub(crate) enum Not {
    /// This schema has to be asked for first.
    Known(u32),
    /// It is to be given up.
    Readable(Reason),
}

impl Decoder {
    /// Within a runtime.
    pub(crate) fn new(settings: Registry) -> Result<Self, Error> {
        let client = Arc::new(Client::new(&settings)?);
        Ok(Self { settings, client, runtime: Handle::current(), schemas: HashMap::new() })
    }

    /// Asks the registry for a schema. Nobody waits here; the one answer comes when it comes.
    pub(crate) fn ask(&self, id: u32) -> Receiver<Answer> {
        let (answers, answer) = sync_channel(1);
        let client = Arc::clone(&self.client);
        // Who asked may have left meanwhile.
        self.runtime.spawn(async move { drop(answers.send(client.schema(id).await)) });
        answer
    }

    /// Enters the registry's answer.
    pub(crate) fn learn(&mut self, id: u32, text: Option<&Text>, now: Instant) {
        let known = match text.map(Schema::parse) {
            Some(Ok(schema)) => Known::Schema(schema),
            Some(Err(Unreadable(why))) => {
                tracing::warn!(schema = id, %why, "a schema of the registry cannot be used: its records are given up");
                Known::Unusable
            }
            None => Known::Missing(now),
        };
        // Whoever may write to the topic may make up numbers.
        if self.schemas.len() >= MOST {
            self.schemas.retain(|_, known| !matches!(known, Known::Missing(_)));
        }
        self.schemas.insert(id, known);
    }

    pub(crate) fn decode<'m>(
        &self,
        message: &'m BorrowedMessage<'_>,
        now: Instant,
    ) -> Result<Decoded<'m>, Not> {
        let decoded = || {
            let key = self.attribute(message.key(), self.settings.key, now)?;
            let value = self.attribute(message.payload(), self.settings.value, now)?;
            Ok(Decoded { key, value })
        };
        decoded().inspect_err(|not| {
            if let Not::Readable(Reason(reason)) = not {
                let (partition, offset) = (message.partition(), message.offset());
                tracing::debug!(
                    topic = message.topic(),
                    partition,
                    offset,
                    reason,
                    "a record cannot be decoded"
                );
            }
        })
    }

    fn attribute<'m>(
        &self,
        bytes: Option<&'m [u8]>,
        selected: bool,
        now: Instant,
    ) -> Result<Attribute<'m>, Not> {
        let Some(whole) = bytes.filter(|_| selected) else {
            return Ok(Attribute { bytes: bytes.map(Cow::Borrowed), schema: None });
        };
        let (id, bytes) = header(whole).ok_or_else(unreadable)?;
        let schema = match self.schemas.get(&id) {
            Some(Known::Schema(schema)) => schema,
            Some(Known::Unusable) => return Err(unreadable()),
            Some(Known::Missing(since)) if now.duration_since(*since) < MISSING => {
                return Err(Not::Readable(Reason("SCHEMA_NOT_FOUND".to_owned())));
            }
            Some(Known::Missing(_)) | None => return Err(Not::Known(id)),
        };
        let json = schema.json(bytes).map_err(|_| unreadable())?;
        let bytes = match self.settings.format {
            EventRecordFormat::Json => json,
            EventRecordFormat::Source => Cow::Borrowed(bytes),
        };
        Ok(Attribute { bytes: Some(bytes), schema: Some((schema.format(), id)) })
    }
}

fn unreadable() -> Not {
    Not::Readable(Reason("DESERIALIZATION_ERROR".to_owned()))
}

/// The number of the schema, and what follows.
fn header(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let id = header.strip_prefix(&[0])?.try_into().ok()?;
    Some((u32::from_be_bytes(id), rest))
}
