//! Where every event is: 12 bytes for each frame of an event in the log, 8 for each event that is not settled.

use std::{collections::VecDeque, fs::File, sync::Arc};

use super::frame::Place;

/// An event that is in the log, for as long as it is: wherever compaction moves it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::queue) struct Key(pub u32);

/// The key of a frame whose event is settled, or stands elsewhere.
const DEAD: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u32,
    length: u32,
    key: u32,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub file: Arc<File>,
    entries: Vec<Entry>,
    /// Bytes of its frames.
    pub size: u64,
    /// Bytes and number of those that are alive.
    pub live: Sum,
}

/// So many events, so many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::queue) struct Sum {
    pub events: u64,
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, length: u32) {
        self.events += 1;
        self.bytes += u64::from(length);
    }

    fn take(&mut self, length: u32) {
        self.events -= 1;
        self.bytes -= u64::from(length);
    }
}

/// Segments are numbered without gaps; only the first is ever removed.
#[derive(Debug, Default)]
pub(super) struct Index {
    first: u32,
    pub segments: VecDeque<Segment>,
    places: Vec<Place>,
    free: Vec<Key>,
    pub live: Sum,
}

impl Index {
    pub fn starting_at(first: u32) -> Self {
        Self { first, ..Self::default() }
    }

    /// The number of the oldest segment.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The number the next segment gets.
    pub fn next(&self) -> u32 {
        self.first + u32::try_from(self.segments.len()).expect("segments are numbered by 32 bits")
    }

    pub fn push(&mut self, file: File, size: u64) {
        let (file, entries, live) = (Arc::new(file), Vec::new(), Sum::default());
        if let Some(sealed) = self.segments.back_mut() {
            sealed.entries.shrink_to_fit();
        }
        self.segments.push_back(Segment { file, entries, size, live });
    }

    /// Takes the oldest segment out. Nothing in it is alive.
    pub fn pop(&mut self) {
        if self.segments.pop_front().is_some() {
            self.first += 1;
        }
    }

    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Notes an event in the newest segment; one that stands in for `key` takes its place.
    pub fn put(&mut self, offset: u32, length: u32, key: Option<Key>) -> Key {
        if let Some(key) = key {
            self.kill(key);
        }
        let key = key.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.places.push(Place::NONE);
            Key(u32::try_from(self.places.len() - 1).expect("events are limited far below 32 bits"))
        });
        let number = self.next() - 1;
        let segment = self.segments.back_mut().expect("a frame is in a segment");
        let index = u32::try_from(segment.entries.len()).expect("a segment is shorter than 4 GiB");
        segment.entries.push(Entry { offset, length, key: key.0 });
        segment.live.add(length);
        self.live.add(length);
        self.places[key.0 as usize] = Place::new(number, index);
        key
    }

    /// The event is settled. Doing so twice does nothing.
    pub fn done(&mut self, key: Key) {
        if self.kill(key) {
            self.free.push(key);
        }
    }

    /// The frame is of no use any more.
    fn kill(&mut self, key: Key) -> bool {
        let Some(place) = self.place(key) else { return false };
        self.places[key.0 as usize] = Place::NONE;
        let Some(segment) = self.segment_mut(place) else { return false };
        let entry = &mut segment.entries[place.index() as usize];
        entry.key = DEAD;
        let length = entry.length;
        segment.live.take(length);
        self.live.take(length);
        true
    }

    /// Where an event is. `None`: it is settled.
    pub fn place(&self, key: Key) -> Option<Place> {
        self.places.get(key.0 as usize).copied().filter(|place| *place != Place::NONE)
    }

    /// Which event stands there. `None`: none does any more.
    pub fn at(&self, place: Place) -> Option<Key> {
        let segment = self.segments.get(place.segment().checked_sub(self.first)? as usize)?;
        let entry = segment.entries.get(place.index() as usize)?;
        (entry.key != DEAD).then_some(Key(entry.key))
    }

    fn segment_mut(&mut self, place: Place) -> Option<&mut Segment> {
        self.segments.get_mut(place.segment().checked_sub(self.first)? as usize)
    }

    /// Where to read an event: file, number of the segment, offset, length.
    pub fn locate(&self, key: Key) -> Option<(Arc<File>, u32, u32, u32)> {
        let place = self.place(key)?;
        let segment = self.segments.get(place.segment().checked_sub(self.first)? as usize)?;
        let entry = segment.entries.get(place.index() as usize)?;
        Some((Arc::clone(&segment.file), place.segment(), entry.offset, entry.length))
    }

    /// Events of the oldest segment that are alive, from the `from`th frame on, of about so many bytes; and the frame
    /// after them.
    pub fn oldest(&self, from: usize, bytes: u64) -> (Vec<Key>, usize) {
        let Some(segment) = self.segments.front() else { return (Vec::new(), from) };
        let (mut keys, mut sum, mut next) = (Vec::new(), 0, from);
        for entry in segment.entries.iter().skip(from) {
            if sum >= bytes {
                break;
            }
            next += 1;
            if entry.key != DEAD {
                keys.push(Key(entry.key));
                sum += u64::from(entry.length);
            }
        }
        (keys, next)
    }
}
