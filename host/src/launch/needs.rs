//! What a command needs of the machine's own folders, which then stay in sight.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::on_path;
use crate::layers::Layers;

/// More than a script's first line may say.
const FIRST_LINE: u64 = 256;

/// The files a command is made of: its words, the entries of class paths among them, and what runs the scripts.
pub(super) fn files(program: &OsString, arguments: &[OsString]) -> Vec<PathBuf> {
    let words = std::iter::once(program).chain(arguments);
    let mut files: Vec<PathBuf> = words.flat_map(env::split_paths).map(placed).collect();
    let runners: Vec<PathBuf> = files.iter().flat_map(|file| runner(file)).map(placed).collect();
    files.extend(runners);
    files
}

/// Whether search paths of ours lead into the machine's `/opt`, or it has Python's modules: a runtime client may be there.
pub(super) fn searched(layers: &Layers) -> bool {
    let paths = ["LD_LIBRARY_PATH", "PYTHONPATH", "NODE_PATH", "GEM_PATH"].map(env::var_os);
    let paths = paths.iter().flatten().flat_map(env::split_paths).chain(layers.folders("python"));
    paths.filter(|path| path.exists()).any(|path| lies_in(&path, "/opt"))
}

/// Whether it does, by its name or in truth.
pub(super) fn lies_in(path: &Path, folder: &str) -> bool {
    path.starts_with(folder) || path.canonicalize().is_ok_and(|real| real.starts_with(folder))
}

/// Where the system finds a program that is called without its folder.
fn placed(word: PathBuf) -> PathBuf {
    let bare = word.parent() == Some(Path::new(""));
    let found = word.to_str().filter(|_| bare).and_then(|name| on_path(name).into_iter().next());
    found.unwrap_or(word)
}

/// What a script names in its first line, after `#!`.
fn runner(file: &Path) -> Vec<PathBuf> {
    let mut head = Vec::new();
    // A pipe, which would be waited for, is no script.
    let regular = || file.is_file().then(|| File::open(file).ok()).flatten();
    let read = regular().and_then(|file| file.take(FIRST_LINE).read_to_end(&mut head).ok());
    let line = head.split(|&byte| byte == b'\n').next().and_then(|line| line.strip_prefix(b"#!"));
    let Some(line) = line.filter(|_| read.is_some()) else { return Vec::new() };
    String::from_utf8_lossy(line).split_whitespace().map(|word| OsStr::new(word).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_what_its_words_and_its_scripts_name() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("bootstrap");
        std::fs::write(&script, "#!/opt/some/python -u\nprint()\n").unwrap();
        let class_path = OsString::from("/var/task:/opt/java/lib/x.jar");
        let found = files(&script.clone().into(), &["-cp".into(), class_path, "sh".into()]);
        for file in ["/opt/some/python", "/opt/java/lib/x.jar", "/var/task", script.to_str().unwrap()] {
            assert!(found.contains(&file.into()), "{file}: {found:?}");
        }
        assert!(found.iter().any(|file| file.is_absolute() && file.ends_with("sh")), "{found:?}");
        assert!(lies_in(Path::new("/opt/some/python"), "/opt") && !lies_in(&script, "/opt"));
    }
}
