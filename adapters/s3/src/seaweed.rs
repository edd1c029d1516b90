//! SeaweedFS's webhook. It knows nothing of S3: it tells of changes to entries of the filer's tree, buckets being the
//! folders under `/buckets`. We say the same in S3's words.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the webhook posts.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    /// Path of the entry, of the old one if there are two.
    key: String,
    message: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    old_entry: Option<Entry>,
    new_entry: Option<Entry>,
    #[serde(default)]
    new_parent_path: String,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    is_directory: bool,
    #[serde(default)]
    attributes: EntryAttributes,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct EntryAttributes {
    file_size: u64,
    mtime: i64,
    /// Base64: it is a byte field.
    md5: String,
}

impl Change {
    /// The change as S3 records with keys that are not encoded; `Err` says why there are none. An entry that was written
    /// again is created again, as in S3; one that was moved is created there and removed here.
    pub(crate) fn records(&self, received: Timestamp) -> Result<Vec<Value>, String> {
        let Message { old_entry, new_entry, new_parent_path } = &self.message;
        if old_entry.iter().chain(new_entry).any(|entry| entry.is_directory) {
            return Err("a directory is no object".to_owned());
        }
        let record = |name: &str, path: &str, entry: Option<&Entry>| record(name, path, entry, received);
        match (old_entry, new_entry) {
            (None, Some(new)) => Ok(vec![record("ObjectCreated:Put", &self.key, Some(new))?]),
            (Some(_), None) => Ok(vec![record("ObjectRemoved:Delete", &self.key, None)?]),
            (Some(_), Some(new)) => {
                let path = format!("{}/{}", new_parent_path.trim_end_matches('/'), new.name);
                if new_parent_path.is_empty() || path == self.key {
                    return Ok(vec![record("ObjectCreated:Put", &self.key, Some(new))?]);
                }
                Ok(vec![
                    record("ObjectCreated:Copy", &path, Some(new))?,
                    record("ObjectRemoved:Delete", &self.key, None)?,
                ])
            }
            (None, None) => Err("no entry was changed".to_owned()),
        }
    }
}

fn record(name: &str, path: &str, entry: Option<&Entry>, received: Timestamp) -> Result<Value, String> {
    let (bucket, key) = path
        .strip_prefix("/buckets/")
        .and_then(|path| path.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or("not an object of a bucket")?;
    if key.starts_with(".uploads/") {
        return Err("a part of an upload that is not complete".to_owned());
    }
    let mut object = json!({ "key": key });
    if let Some(Entry { attributes, .. }) = entry {
        object["size"] = attributes.file_size.into();
        if let Ok(md5) = BASE64_STANDARD.decode(&attributes.md5) {
            object["eTag"] = md5.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        }
    }
    let changed = entry.and_then(|entry| Timestamp::from_second(entry.attributes.mtime).ok());
    let time = changed.filter(|time| *time != Timestamp::UNIX_EPOCH).unwrap_or(received);
    Ok(json!({
        "eventSource": "seaweedfs:s3",
        "eventName": name,
        "eventTime": time.to_string(),
        "s3": { "bucket": { "name": bucket }, "object": object },
    }))
}
