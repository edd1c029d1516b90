//! A segment's hint: what its frames say, without the events. With it a gigabyte of log is opened by reading 40 MB.
//!
//! It is written beside the log and never synced: a sum at its end says whether it is whole. Without one that is, the
//! segment itself is read. So an error here costs time at the next start and nothing else.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use bytes::{Buf, BufMut};
use crc32fast::Hasher;

use super::{
    frame::Place,
    seen::{Label, Names, Seen},
};

const MAGIC: &[u8; 8] = b"klrhint1";
const NAME: u8 = 0;
const PUT: u8 = 1;
const DONE: u8 = 2;

/// Writes one while its segment grows.
#[derive(Debug)]
pub(super) struct Writer {
    file: BufWriter<File>,
    sum: Hasher,
    names: HashMap<Arc<str>, u32>,
    entry: Vec<u8>,
}

impl Writer {
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut hint = Self {
            file: BufWriter::with_capacity(64 << 10, file),
            sum: Hasher::new(),
            names: HashMap::new(),
            entry: Vec::new(),
        };
        hint.write(MAGIC)?;
        Ok(hint)
    }

    pub fn add(&mut self, seen: &Seen) -> io::Result<()> {
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        match seen {
            Seen::Put { offset, length, replaces, label } => {
                let name = self.name(&label.target, &mut entry);
                entry.put_u8(PUT);
                entry.put_u32_le(*offset);
                entry.put_u32_le(*length);
                entry.put_u64_le(replaces.0);
                entry.put_u32_le(name);
                entry.put_i64_le(label.accepted);
                entry.put_i64_le(label.due);
                entry.put_u8(label.failed.into());
            }
            Seen::Done(place) => {
                entry.put_u8(DONE);
                entry.put_u64_le(place.0);
            }
        }
        self.entry = entry;
        let entry = std::mem::take(&mut self.entry);
        let written = self.write(&entry);
        self.entry = entry;
        written
    }

    /// The number of a function's name; a new one is written down first.
    fn name(&mut self, target: &Arc<str>, entry: &mut Vec<u8>) -> u32 {
        if let Some(known) = self.names.get(target) {
            return *known;
        }
        let number = u32::try_from(self.names.len()).expect("a segment's frames are numbered by 32 bits");
        self.names.insert(Arc::clone(target), number);
        entry.put_u8(NAME);
        entry.put_u32_le(u32::try_from(target.len()).expect("a name is part of a frame"));
        entry.put_slice(target.as_bytes());
        number
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }

    /// The segment is complete: so is this.
    pub fn finish(mut self) -> io::Result<()> {
        let sum = self.sum.finalize();
        self.file.write_all(&sum.to_le_bytes())?;
        self.file.flush()
    }
}

/// The frames of a segment, by its hint. `None`: there is none that is whole.
pub(super) fn read(path: &Path, names: &mut Names) -> Option<Vec<Seen>> {
    let bytes = fs::read(path).ok()?;
    let (rest, sum) = bytes.split_last_chunk()?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = rest.strip_prefix(MAGIC)?;
    let (mut seen, mut known) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        match rest.try_get_u8().ok()? {
            NAME => {
                let length = rest.try_get_u32_le().ok()? as usize;
                let (name, after) = rest.split_at_checked(length)?;
                known.push(names.of(std::str::from_utf8(name).ok()?));
                rest = after;
            }
            PUT => seen.push(Seen::Put {
                offset: rest.try_get_u32_le().ok()?,
                length: rest.try_get_u32_le().ok()?,
                replaces: Place(rest.try_get_u64_le().ok()?),
                label: Label {
                    target: Arc::clone(known.get(rest.try_get_u32_le().ok()? as usize)?),
                    accepted: rest.try_get_i64_le().ok()?,
                    due: rest.try_get_i64_le().ok()?,
                    failed: rest.try_get_u8().ok()? != 0,
                },
            }),
            DONE => seen.push(Seen::Done(Place(rest.try_get_u64_le().ok()?))),
            _ => return None,
        }
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_hint_is_whole_or_none() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("1.hint");
        let label = |target: &str| Label { target: target.into(), accepted: 5, due: 7, failed: true };
        let seen = [
            Seen::Put { offset: 16, length: 9, replaces: Place::NONE, label: label("f") },
            Seen::Put { offset: 25, length: 9, replaces: Place::new(1, 0), label: label("g") },
            Seen::Done(Place::new(1, 1)),
            Seen::Put { offset: 51, length: 9, replaces: Place::NONE, label: label("f") },
        ];
        let mut hint = Writer::create(&path).unwrap();
        seen.iter().for_each(|seen| hint.add(seen).unwrap());
        hint.finish().unwrap();
        assert_eq!(read(&path, &mut Names::default()).unwrap(), seen);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path, &mut Names::default()), None, "{length} bytes");
        }
    }
}
