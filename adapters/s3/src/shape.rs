use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Config, Event, EventVersion,
    filter::wanted,
    key::{encode, normalize},
    members::Members,
    seaweed::Change,
};

/// What one record of a notification is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// For the function.
    Event(Box<Event>),
    /// Read, and not wanted: why.
    Skip(String),
    /// Not to be read: what was expected.
    Unreadable(String),
}

/// AWS's members in AWS's order.
const RECORD: [&str; 13] = [
    "eventVersion",
    "eventSource",
    "awsRegion",
    "eventTime",
    "eventName",
    "userIdentity",
    "requestParameters",
    "responseElements",
    "s3",
    "glacierEventData",
    "replicationEventData",
    "intelligentTieringEventData",
    "lifecycleEventData",
];
const S3: [&str; 4] = ["s3SchemaVersion", "configurationId", "bucket", "object"];
const BUCKET: [&str; 4] = ["name", "ownerIdentity", "arn", "awsGeneratedTags"];
const OBJECT: [&str; 5] = ["key", "size", "eTag", "versionId", "sequencer"];
const IDENTITY: [&str; 1] = ["principalId"];
const REQUEST: [&str; 1] = ["sourceIPAddress"];
const RESPONSE: [&str; 2] = ["x-amz-request-id", "x-amz-id-2"];
/// MD5 of nothing: what a delete marker has for an `eTag`.
const EMPTY_MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Reads a notification: one event for each of its records, as AWS sends them to Lambda. `received` stands in for the time
/// where the sender gives none.
///
/// AWS's own records (`eventSource` `aws:s3`, emulators' too) pass through as they are, members we do not know included.
/// Of other senders' only AWS's members are kept, in AWS's spelling and order: a function sees what AWS would have sent.
pub fn read(config: &Config, notification: &[u8], received: Timestamp) -> Vec<Notification> {
    match open(notification, received) {
        Opened::Records(records) if records.is_empty() => vec![Notification::Skip("no records".to_owned())],
        Opened::Records(records) => {
            records.into_iter().map(|record| shape(config, record, received)).collect()
        }
        Opened::Skip(why) => vec![Notification::Skip(why)],
        Opened::Unreadable(why) => vec![Notification::Unreadable(why)],
    }
}

enum Opened {
    Records(Vec<Members>),
    Skip(String),
    Unreadable(String),
}

fn open(notification: &[u8], received: Timestamp) -> Opened {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(rename = "Records", borrow)]
        records: Option<&'a RawValue>,
        #[serde(rename = "Event")]
        event: Option<String>,
    }
    let unreadable = || Opened::Unreadable("expected an object with a list Records".to_owned());
    let Ok(outer) = serde_json::from_slice::<Outer<'_>>(notification) else { return unreadable() };
    if let Some(records) = outer.records {
        return serde_json::from_str(records.get()).map_or_else(|_| unreadable(), Opened::Records);
    }
    if outer.event.as_deref() == Some("s3:TestEvent") {
        return Opened::Skip("s3:TestEvent: sent when a bucket's notifications are configured".to_owned());
    }
    let Ok(change) = serde_json::from_slice::<Change>(notification) else { return unreadable() };
    match change.records(received) {
        Ok(records) => Opened::Records(records.iter().map(members).collect()),
        Err(why) => Opened::Skip(why),
    }
}

fn members(value: &serde_json::Value) -> Members {
    serde_json::from_str(&value.to_string()).expect("a record of ours is an object")
}

fn shape(config: &Config, mut record: Members, received: Timestamp) -> Notification {
    let Some(sender) = record.text("eventSource").as_deref().and_then(Sender::of) else {
        return Notification::Unreadable("expected an eventSource like aws:s3 in every record".to_owned());
    };
    let s3 = record.object("s3").unwrap_or_default();
    let (mut bucket, mut object) =
        (s3.object("bucket").unwrap_or_default(), s3.object("object").unwrap_or_default());
    let (Some(name), Some(bucket_name), Some(key)) =
        (record.said("eventName"), bucket.said("name"), object.said("key"))
    else {
        return Notification::Unreadable(
            "expected eventName, s3.bucket.name and s3.object.key in every record".to_owned(),
        );
    };
    let name = name.strip_prefix("s3:").unwrap_or(&name).to_owned();
    let key = if sender == Sender::Raw { encode(&key) } else { normalize(&key) };
    if let Err(why) = wanted(config, &bucket_name, &name, &key) {
        return Notification::Skip(why);
    }

    if sender != Sender::Aws {
        tidy(&mut record, &mut bucket, &mut object, &name, &bucket_name, received);
    }
    object.set(&OBJECT, "key", &key);
    bucket.fill(&BUCKET, "ownerIdentity", &filled(Members::default(), &IDENTITY));
    bucket.fill(&BUCKET, "arn", &format!("arn:aws:s3:::{bucket_name}"));
    frame(config, &mut record, &name, sender, received);
    let s3 = entity(config, s3, sender, &bucket, &object);
    record.set(&RECORD, "s3", &s3);
    event(&record, &object, name, bucket_name, key)
}

/// Who wrote a record, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// AWS or one who writes like it.
    Aws,
    /// A store that encodes keys (MinIO and those made after it).
    Encoding,
    /// One that does not (Ceph RGW, SeaweedFS).
    Raw,
}

impl Sender {
    fn of(source: &str) -> Option<Self> {
        match source {
            "aws:s3" => Some(Self::Aws),
            "ceph:s3" | "seaweedfs:s3" => Some(Self::Raw),
            other => other.ends_with(":s3").then_some(Self::Encoding),
        }
    }
}

/// The record itself: members every one of AWS's has. A handler reads them without looking whether they are there, so
/// what the sender does not know is there and empty.
fn frame(config: &Config, record: &mut Members, name: &str, sender: Sender, received: Timestamp) {
    record.set(&RECORD, "eventVersion", &version(config, record, name, sender));
    record.set(&RECORD, "eventSource", &"aws:s3");
    if record.said("awsRegion").is_none() {
        record.set(&RECORD, "awsRegion", &config.region);
    }
    record.fill(&RECORD, "eventTime", &milliseconds(received));
    record.set(&RECORD, "eventName", &name);
    for (member, order) in
        [("userIdentity", &IDENTITY[..]), ("requestParameters", &REQUEST), ("responseElements", &RESPONSE)]
    {
        let members = filled(record.object(member).unwrap_or_default(), order);
        record.set(&RECORD, member, &members);
    }
}

fn filled(mut members: Members, order: &[&str]) -> Members {
    order.iter().for_each(|name| members.fill(order, name, &""));
    members
}

fn entity(config: &Config, mut s3: Members, sender: Sender, bucket: &Members, object: &Members) -> Members {
    if sender != Sender::Aws {
        s3.keep(&S3);
    }
    s3.fill(&S3, "s3SchemaVersion", &"1.0");
    // MinIO has no ids: it writes "Config" into every record.
    let id = s3.said("configurationId").filter(|id| sender == Sender::Aws || id != "Config");
    s3.set(&S3, "configurationId", id.as_ref().unwrap_or(&config.id));
    s3.set(&S3, "bucket", bucket);
    s3.set(&S3, "object", object);
    s3
}

/// Makes another store's record AWS's: only AWS's members, AWS's types, absent where AWS has them absent.
fn tidy(
    record: &mut Members,
    bucket: &mut Members,
    object: &mut Members,
    name: &str,
    bucket_name: &str,
    received: Timestamp,
) {
    record.keep(&RECORD);
    for (member, order) in
        [("userIdentity", &IDENTITY[..]), ("requestParameters", &REQUEST), ("responseElements", &RESPONSE)]
    {
        let mut members = record.object(member).unwrap_or_default();
        members.keep(order);
        record.set(&RECORD, member, &members);
    }
    // Ceph gives microseconds.
    let time = record.text("eventTime").and_then(|time| time.parse().ok()).unwrap_or(received);
    record.set(&RECORD, "eventTime", &milliseconds(time));

    bucket.keep(&BUCKET);
    let mut owner = bucket.object("ownerIdentity").unwrap_or_default();
    owner.keep(&IDENTITY);
    bucket.set(&BUCKET, "ownerIdentity", &filled(owner, &IDENTITY));
    bucket.set(&BUCKET, "arn", &format!("arn:aws:s3:::{bucket_name}"));

    object.keep(&OBJECT);
    sizes(object, name);
}

/// Size, `eTag` and sequencer where AWS has them.
fn sizes(object: &mut Members, name: &str) {
    let annotates = name.starts_with("ObjectAcl:") || name.starts_with("ObjectTagging:");
    if annotates {
        object.remove("sequencer");
    }
    if annotates || name.starts_with("ObjectRemoved:") {
        object.remove("size");
    }
    // Ceph has written it as a string; MinIO leaves out a zero.
    let size = object.raw("size").and_then(|size| size.trim_matches('"').parse::<u64>().ok());
    if let Some(size) = size.or_else(|| name.starts_with("ObjectCreated:").then_some(0)) {
        object.set(&OBJECT, "size", &size);
    }
    match name {
        "ObjectRemoved:Delete" => object.remove("eTag"),
        "ObjectRemoved:DeleteMarkerCreated" => object.set(&OBJECT, "eTag", &EMPTY_MD5),
        _ => {
            if let Some(etag) = object.text("eTag") {
                object.set(&OBJECT, "eTag", &etag.trim_matches('"'));
            }
        }
    }
}

/// One number for all types since 2026; a newer one of AWS's own stays. Before, it depended on the type.
fn version(config: &Config, record: &Members, name: &str, sender: Sender) -> String {
    const CURRENT: u32 = 5;
    let family = name.split(':').next().unwrap_or_default();
    let fixed = match config.version {
        EventVersion::Current => {
            let given = record.text("eventVersion").filter(|_| sender == Sender::Aws);
            let minor = given.and_then(|given| given.strip_prefix("2.")?.parse::<u32>().ok());
            return format!("2.{}", minor.unwrap_or(0).max(CURRENT));
        }
        EventVersion::Y2025 if name == "ObjectRestore:Delete" => "2.3",
        EventVersion::Y2025 => match family {
            "Replication" => "2.2",
            "LifecycleTransition"
            | "LifecycleExpiration"
            | "IntelligentTiering"
            | "ObjectAcl"
            | "ObjectTagging" => "2.3",
            _ => "2.1",
        },
    };
    fixed.to_owned()
}

fn milliseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn event(record: &Members, object: &Members, name: String, bucket: String, key: String) -> Notification {
    let mut body = br#"{"Records":["#.to_vec();
    serde_json::to_writer(&mut body, record).expect("members always serialise, and a Vec takes any bytes");
    body.extend_from_slice(b"]}");
    let response = record.object("responseElements").unwrap_or_default();
    Notification::Event(Box::new(Event {
        body: body.into(),
        bucket,
        key,
        name,
        time: record.text("eventTime").unwrap_or_default(),
        region: record.text("awsRegion").unwrap_or_default(),
        version_id: object.said("versionId"),
        sequencer: object.said("sequencer"),
        request_id: response.said("x-amz-request-id"),
        host_id: response.said("x-amz-id-2"),
    }))
}
