//! What is to be written, and the frames of one write.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    frame::{self, Place},
    index::{Index, Key, Sum},
    seen::Label,
};
use crate::queue::event::Stored;

/// What is written of an event.
#[derive(Debug)]
pub(in crate::queue) struct Body {
    pub label: Label,
    head: Vec<u8>,
    payload: Bytes,
}

impl Body {
    pub fn of(stored: &Stored) -> Self {
        Self { label: Label::of(stored), head: stored.head(), payload: stored.event.payload.clone() }
    }

    pub fn size(&self) -> u64 {
        frame::put_size(&self.head, &self.payload) as u64
    }
}

/// One thing to be written.
#[derive(Debug)]
pub(in crate::queue) enum Op {
    /// A new event.
    Put(Body),
    /// An event has come further.
    Replace(Key, Body),
    /// An event is settled.
    Done(Key),
}

/// Frames for one write.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub bytes: Vec<u8>,
    pub marks: Vec<Mark>,
    pub new: Sum,
    /// Events it is about already: what comes after must know where they stand then.
    touched: HashSet<Key>,
}

impl Run {
    /// One more. Where events stand is as of now: an event that it is about already is none of these.
    pub fn add(&mut self, op: Op, index: &Index) {
        let offset = self.bytes.len();
        if let Op::Replace(key, _) | Op::Done(key) = &op {
            self.touched.insert(*key);
        }
        let mark = match op {
            Op::Put(body) => {
                self.new.events += 1;
                self.new.bytes += body.size();
                self.put(offset, None, Place::NONE, body)
            }
            Op::Replace(key, body) => match index.place(key) {
                Some(place) => self.put(offset, Some(key), place, body),
                None => Mark::Nothing(key),
            },
            Op::Done(key) => match index.place(key) {
                Some(place) => {
                    frame::done(&mut self.bytes, place);
                    Mark::Done { key, place }
                }
                None => Mark::Nothing(key),
            },
        };
        self.marks.push(mark);
    }

    fn put(&mut self, offset: usize, key: Option<Key>, replaces: Place, body: Body) -> Mark {
        frame::put(&mut self.bytes, replaces, &body.head, &body.payload);
        Mark::Put { offset, length: self.bytes.len() - offset, key, replaces, label: body.label }
    }

    pub fn is_new(&self, op: &Op) -> bool {
        match op {
            Op::Put(_) => true,
            Op::Replace(key, _) | Op::Done(key) => !self.touched.contains(key),
        }
    }
}

/// What the index does once they are safe.
#[derive(Debug)]
pub(super) enum Mark {
    Put {
        offset: usize,
        length: usize,
        key: Option<Key>,
        replaces: Place,
        label: Label,
    },
    Done {
        key: Key,
        place: Place,
    },
    /// Settled before.
    Nothing(Key),
}
