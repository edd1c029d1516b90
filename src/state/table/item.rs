//! Items: a row, a heartbeat.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use klr_contract::Row;

use super::super::{
    Error,
    row::{read, spell},
};

/// A table's key: the mapping's name, and the partition's.
pub(super) const HASH: &str = "mapping";
/// See [`HASH`].
pub(super) const RANGE: &str = "partition";
/// Which mapping the members' items are under. No mapping has a `$` in its name.
pub(super) const MEMBERS: &str = "$members";
pub(super) const VERSION: &str = "version";
pub(super) const BEAT: &str = "beat";
const WRITE: &str = "write";

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn key(mapping: &str, partition: &str) -> Item {
    HashMap::from([(HASH.to_owned(), text(mapping)), (RANGE.to_owned(), text(partition))])
}

/// The row as it is stored once it is written, by this write.
pub(super) fn encode(mapping: &str, row: &Row, write: &str) -> Item {
    let (mark, at) = spell(&row.mark);
    let mut item = key(mapping, &row.partition);
    let mut set = |name: &str, value| item.insert(name.to_owned(), value);
    set("stream", text(&row.stream));
    set("mark", text(mark));
    set(VERSION, number(row.version + 1));
    set(WRITE, text(write));
    at.map(|at| set("at", text(&at)));
    row.owner.as_deref().map(|owner| set("owner", text(owner)));
    item
}

pub(super) fn decode(mapping: &str, item: &Item) -> Result<Row, Error> {
    let partition = string(item, RANGE).unwrap_or_default();
    let wrong = |found| Error::Row { mapping: mapping.to_owned(), partition: partition.to_owned(), found };
    let needed = |name| string(item, name).ok_or_else(|| wrong("an item that is no row"));
    let mark = read(needed("mark")?, string(item, "at")).map_err(wrong)?;
    Ok(Row {
        partition: partition.to_owned(),
        stream: needed("stream")?.to_owned(),
        mark,
        owner: string(item, "owner").map(str::to_owned),
        version: count(item, VERSION).ok_or_else(|| wrong("an item without a version"))?,
    })
}

/// Whether it was stored by this write.
pub(super) fn is_by(item: &Item, write: &str) -> bool {
    string(item, WRITE) == Some(write)
}

pub(super) fn heartbeat(member: &str, beat: u64) -> Item {
    let mut item = key(MEMBERS, member);
    item.insert(BEAT.to_owned(), number(beat));
    item
}

/// A member, and how far it has counted.
pub(super) fn beat(item: &Item) -> Option<(String, u64)> {
    Some((string(item, RANGE)?.to_owned(), count(item, BEAT)?))
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn count(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
