//! One file of the log. It is appended to by one process at a time, its room taken from the disk ahead: what is written
//! into it later (that events are settled, above all) finds room on a disk that is full by then.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::{fs::FallocateFlags, io::Errno};

use super::{
    frame::{self, Frame, PREFIX},
    seen::{Label, Names, Seen},
};
use crate::queue::{error::Error, event::Stored};

/// What a segment begins with; the last four bytes are the format.
const MAGIC: &[u8; 12] = b"klr-queue\0\0\0";
const FORMAT: u32 = 1;
/// Where its first frame is.
pub(super) const START: u64 = 16;

pub(super) fn log(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:010}.log"))
}

pub(super) fn hint(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:010}.hint"))
}

/// Makes a segment's file, durably, with room for `capacity` bytes.
pub(super) fn create(directory: &Path, number: u32, capacity: u64) -> io::Result<File> {
    let path = log(directory, number);
    let made = (|| {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        take_room(&file, capacity)?;
        begin(&file)?;
        sync(directory)?;
        Ok(file)
    })();
    if made.is_err() {
        // Nothing is in it: half a file is none.
        let _ = std::fs::remove_file(&path);
    }
    made
}

/// Takes room from the disk; where the file system cannot (it says so), room is taken as it is needed.
fn take_room(file: &File, capacity: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, capacity) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn begin(file: &File) -> io::Result<()> {
    let mut header = MAGIC.to_vec();
    header.extend(FORMAT.to_le_bytes());
    file.write_all_at(&header, 0)?;
    file.sync_all()
}

/// A file that was made or removed is so only once its directory is safe.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// What is in a segment's file.
pub(super) struct Found {
    pub file: File,
    pub seen: Vec<Seen>,
    /// Where its last frame ends.
    pub end: u64,
}

/// Opens a segment and reads its frames. Behind the last that is whole there is nothing, in a sealed one; in the last
/// segment there may be what a crash has left of frames that were never accepted, and it is wiped out.
pub(super) fn open(directory: &Path, number: u32, last: bool, names: &mut Names) -> Result<Found, Error> {
    let path = log(directory, number);
    let failed = |error: io::Error| Error::disk(&path, &error);
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut header = [0; START as usize];
    let read = file.read_exact_at(&mut header, 0);
    let (magic, format) = header.split_last_chunk().expect("16 bytes are more than 4");
    let format = u32::from_le_bytes(*format);
    match read {
        Ok(()) if magic == MAGIC && format == FORMAT => {}
        Ok(()) if magic == MAGIC => return Err(Error::Newer { file: path, found: format, known: FORMAT }),
        // Killed while it was made.
        _ if last && header == [0; START as usize] => begin(&file).map_err(failed)?,
        _ => {
            return Err(Error::Damaged { file: path, why: "it does not begin as a segment does".to_owned() });
        }
    }
    let (seen, end) = scan(&file, &path, length, names)?;
    let rest = first_written(&file, end, length).map_err(failed)?;
    match rest {
        Some(_) if last => wipe(&file, end, length).map_err(failed)?,
        Some(at) => {
            let why = format!("no frame begins at byte {end}, and byte {at} is not 0");
            return Err(Error::Damaged { file: path, why });
        }
        None => {}
    }
    Ok(Found { file, seen, end })
}

/// Opens a sealed segment whose frames are known.
pub(super) fn known(directory: &Path, number: u32, seen: Vec<Seen>) -> Result<Found, Error> {
    let path = log(directory, number);
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.map_err(|error| Error::disk(&path, &error))?;
    let end = seen.iter().map(|seen| match seen {
        Seen::Put { length, .. } => u64::from(*length),
        Seen::Done(_) => frame::DONE_SIZE as u64,
    });
    let end = START + end.sum::<u64>();
    Ok(Found { file, seen, end })
}

fn scan(file: &File, path: &Path, length: u64, names: &mut Names) -> Result<(Vec<Seen>, u64), Error> {
    let failed = |error: io::Error| Error::disk(path, &error);
    let mut reader = BufReader::with_capacity(1 << 20, file);
    reader.seek(SeekFrom::Start(START)).map_err(failed)?;
    let (mut seen, mut at, mut body) = (Vec::new(), START, Vec::new());
    while at + PREFIX as u64 <= length {
        let mut prefix = [0; PREFIX];
        reader.read_exact(&mut prefix).map_err(failed)?;
        let Some((size, sum)) = frame::prefix(prefix) else { break };
        if at + (PREFIX + size) as u64 > length {
            break;
        }
        body.resize(size, 0);
        reader.read_exact(&mut body).map_err(failed)?;
        let Some(frame) = frame::body(&body, sum) else { break };
        seen.push(match frame {
            Frame::Done(place) => Seen::Done(place),
            Frame::Put { replaces, head, .. } => {
                let stored = Stored::read(head, Bytes::new());
                let stored = stored.map_err(|error| unreadable(path, at, &error))?;
                let mut label = Label::of(&stored);
                label.target = names.of(&label.target);
                let [offset, length] = [at, (PREFIX + size) as u64]
                    .map(|number| u32::try_from(number).expect("a segment is shorter than 4 GiB"));
                Seen::Put { offset, length, replaces, label }
            }
        });
        at += (PREFIX + size) as u64;
    }
    Ok((seen, at))
}

/// Its sum is right, so this is what was written: by a klr that spells it otherwise.
fn unreadable(path: &Path, at: u64, error: &serde_json::Error) -> Error {
    // The category: the error's text may quote what it has read.
    Error::Damaged {
        file: path.to_owned(),
        why: format!("the event at byte {at} cannot be read ({:?})", error.classify()),
    }
}

/// The first byte that is not zero.
fn first_written(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let size = usize::try_from(to - at).unwrap_or(usize::MAX).min(chunk.len());
        file.read_exact_at(&mut chunk[..size], at)?;
        if let Some(found) = chunk[..size].iter().position(|byte| *byte != 0) {
            return Ok(Some(at + found as u64));
        }
        at += size as u64;
    }
    Ok(None)
}

/// Makes zeros of what is no frame. On a disk too full even for that (the room was not there ahead), cuts it off.
pub(super) fn wipe(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let size = usize::try_from(to - at).unwrap_or(usize::MAX).min(zeros.len());
        if file.write_all_at(&zeros[..size], at).is_err() {
            file.set_len(from)?;
            break;
        }
        at += size as u64;
    }
    file.sync_data()
}

/// Reads one event back.
pub(super) fn read(file: &Arc<File>, path: &Path, offset: u32, length: u32) -> Result<Stored, Error> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, u64::from(offset)).map_err(|error| Error::disk(path, &error))?;
    let bytes = Bytes::from(bytes);
    let damaged = || Error::Damaged {
        file: path.to_owned(),
        why: format!("the event at byte {offset} is not the one that was written there"),
    };
    let (first, _) = bytes.split_first_chunk().ok_or_else(damaged)?;
    let (size, sum) = frame::prefix(*first).ok_or_else(damaged)?;
    let body = bytes.get(PREFIX..PREFIX + size).ok_or_else(damaged)?;
    match frame::body(body, sum) {
        Some(Frame::Put { head, payload, .. }) => Stored::read(head, bytes.slice_ref(payload))
            .map_err(|error| unreadable(path, u64::from(offset), &error)),
        _ => Err(damaged()),
    }
}
