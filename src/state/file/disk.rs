//! From a directory to an open database.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

use redb::{Builder, Database, backends::FileBackend};

use super::{
    super::Error,
    rows::{self, Trouble},
};

/// redb takes up to a gigabyte unless told otherwise; ten thousand rows are three megabytes.
const CACHE: usize = 4 << 20;
/// redb's own name in the first bytes of its files; it comes last when a file is made.
const MAGIC: usize = 9;
/// What redb writes before that, at most.
const HEADER: usize = 4096;
/// No file is longer before its first row.
const LONGEST_UNFINISHED: u64 = 1 << 20;

/// Opens the file, for us alone.
pub(super) fn database(path: &Path) -> Result<Database, Error> {
    let file = own(path)?;
    let database = FileBackend::new(file).and_then(|backend| {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).create_with_backend(backend)
    });
    let database = database.map_err(|error| Trouble::from(error).at(path))?;
    match rows::format(&database).map_err(|trouble| trouble.at(path))? {
        found if found > rows::FORMAT => {
            Err(Error::Newer { file: path.to_owned(), found, known: rows::FORMAT })
        }
        _ => Ok(database),
    }
}

/// The file, made if missing, locked and durably in its directory.
pub(crate) fn own(path: &Path) -> Result<File, Error> {
    let directory = path.parent().expect("the file is in a directory");
    let failed = |error: io::Error| Error::disk(path, &error);
    let made = directory.ancestors().take_while(|part| !part.exists()).count();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| Error::disk(directory, &error))?;
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
    let file = options.open(path).map_err(failed)?;
    // redb takes a lock as well, but only after it was told that the file is its own.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::InUse { directory: directory.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if unfinished(&file).map_err(failed)? {
        tracing::info!(file = %path.display(), "the file was being made when its klr was ended: made anew");
        file.set_len(0).map_err(failed)?;
    }
    // A file whose name is lost with the power is lost: redb syncs the file, the directories are ours.
    for part in directory.ancestors().take(made + 1) {
        File::open(part).and_then(|part| part.sync_all()).map_err(|error| Error::disk(part, &error))?;
    }
    Ok(file)
}

/// Whether a klr was killed while redb made the file: it has its length and no name yet, and redb would refuse it for ever.
/// Nothing was accepted then, and there is nothing behind the header; if there is, the file is damaged, which is for a
/// person to decide.
fn unfinished(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    if length == 0 || length > LONGEST_UNFINISHED {
        return Ok(false);
    }
    let mut bytes = vec![0; usize::try_from(length).expect("a megabyte at most")];
    file.read_exact_at(&mut bytes, 0)?;
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    Ok(zero(&bytes[..MAGIC.min(bytes.len())]) && zero(bytes.get(HEADER..).unwrap_or_default()))
}
