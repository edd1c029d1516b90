//! A function's log on disk: a JSON object a line, in a file and the one before it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::Entry;

/// After which a new file is begun; the one before the last goes.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The file that is written to.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    open: Option<tokio::fs::File>,
    size: u64,
    /// It could not be written, and that was said.
    failed: bool,
}

impl File {
    /// With the entries at its end, as many as take `most` bytes.
    pub(super) async fn open(path: PathBuf, most: usize) -> (Self, Vec<Entry>) {
        let entries = end(&path, most as u64).await.unwrap_or_default();
        (Self { path, open: None, size: 0, failed: false }, entries)
    }

    /// Writes at its end. A log that cannot be written is no reason not to run functions: it is said once.
    pub(super) async fn append(&mut self, entries: &[Arc<Entry>]) {
        let mut lines = Vec::new();
        for entry in entries {
            // Strings and times are always JSON.
            if serde_json::to_writer(&mut lines, &**entry).is_ok() {
                lines.push(b'\n');
            }
        }
        match self.write(&lines).await {
            Ok(()) => self.failed = false,
            Err(error) => {
                self.open = None;
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(path = %self.path.display(), %error, "a function's log is not written to disk");
                }
            }
        }
    }

    async fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.open.is_some() && self.size >= LARGEST {
            self.open = None;
            tokio::fs::rename(&self.path, self.path.with_extension("1.ndjson")).await?;
        }
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let mut file = tokio::fs::File::options();
                let mut file = file.create(true).append(true).read(true).mode(0o600).open(&self.path).await?;
                self.size = file.metadata().await?.len();
                // What a crash left half written ends here.
                if !ends(&mut file).await? {
                    file.write_all(b"\n").await?;
                }
                self.open.insert(file)
            }
        };
        self.size += lines.len() as u64;
        file.write_all(lines).await?;
        file.flush().await
    }
}

/// Whether the last line is whole.
async fn ends(file: &mut tokio::fs::File) -> io::Result<bool> {
    if file.metadata().await?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(io::SeekFrom::End(-1)).await?;
    file.read_exact(&mut last).await?;
    Ok(last == *b"\n")
}

/// The entries in the last `most` bytes; what cannot be read is left out.
async fn end(path: &Path, most: u64) -> io::Result<Vec<Entry>> {
    let mut file = tokio::fs::File::open(path).await?;
    let size = file.metadata().await?.len();
    file.seek(io::SeekFrom::Start(size.saturating_sub(most))).await?;
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text).await?;
    Ok(text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Removes the files written longest ago, until the rest takes no more than `most`.
pub(super) fn prune(directory: &Path, most: u64) -> io::Result<()> {
    let mut files: Vec<_> = std::fs::read_dir(directory)?
        .flatten()
        .filter_map(|entry| {
            entry.metadata().ok().filter(|file| file.is_file()).map(|file| (entry.path(), file))
        })
        .collect();
    files.sort_by_key(|(_, file)| file.modified().ok());
    let mut size: u64 = files.iter().map(|(_, file)| file.len()).sum();
    for (path, file) in files {
        if size <= most {
            break;
        }
        std::fs::remove_file(path)?;
        size -= file.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_go_first() {
        let directory = tempfile::tempdir().unwrap();
        for (name, age) in [("old", 200), ("new", 0), ("older", 400)] {
            let path = directory.path().join(name);
            std::fs::write(&path, [0; 10]).unwrap();
            let at = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        }
        prune(directory.path(), 15).unwrap();
        let left: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().flatten().map(|file| file.file_name()).collect();
        assert_eq!(left, ["new"]);
    }
}
