//! The simplest shape there is, for tests of the engine.

use bytes::Bytes;
use klr_contract::{Place, Position, Record, Shape};
use serde_json::Value;

/// `[fragment,…]`; an identifier is a queue's message id, or `partition-offset`.
pub struct Brackets;

impl Shape for Brackets {
    fn frame(&self) -> usize {
        1
    }

    fn opening(&self, _: &Record) -> usize {
        0
    }

    fn event(&self, batch: &[Record]) -> Bytes {
        let fragments: Vec<&[u8]> = batch.iter().map(|record| &**record.json.as_ref().unwrap()).collect();
        [b"[".as_slice(), &fragments.join(&b','), b"]"].concat().into()
    }

    fn locate(&self, identifier: &Value, batch: &[Record]) -> Vec<usize> {
        let named = |record: &Record| match &record.place {
            Place::Item { id, .. } => identifier.as_str().is_some_and(|wanted| wanted == id),
            Place::At { partition, position: Position::Offset(offset), .. } => {
                identifier.as_str().is_some_and(|wanted| wanted == format!("{}-{offset}", partition.index))
            }
            Place::At { .. } => false,
        };
        (0..batch.len()).filter(|index| named(&batch[*index])).collect()
    }
}
