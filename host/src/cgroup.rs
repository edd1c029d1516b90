//! A control group of its own for each process of the function, where the system lets us: the memory limit, enforced.
//!
//! Version 2 only. A group with processes of its own cannot limit children of it (the kernel's "no internal processes"),
//! so the host moves itself into a leaf first.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

/// Where version 2 is mounted, everywhere.
const MOUNT: &str = "/sys/fs/cgroup";
/// The leaf the host itself lives in.
const HOST: &str = "klr-host";

/// How often it is tried to remove a group, a millisecond apart.
const ATTEMPTS: u32 = 100;

/// Where groups can be made; found out once, and said once.
static PARENT: OnceLock<Option<PathBuf>> = OnceLock::new();

/// A group, until it is [removed](Self::remove).
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// A group of this name, if there can be one.
    pub(crate) fn new(name: &str, memory_mb: u32) -> Option<Self> {
        let parent = PARENT.get_or_init(|| match parent() {
            Ok(parent) => Some(parent),
            Err(why) => {
                tracing::info!(%why, "the memory limit is told to the function, and not enforced");
                None
            }
        });
        Self::within(parent.as_deref()?, name, memory_mb)
            .inspect_err(|error| tracing::warn!(%error, "no control group: the memory limit is not enforced"))
            .ok()
    }

    fn within(parent: &Path, name: &str, memory_mb: u32) -> io::Result<Self> {
        let path = parent.join(name);
        fs::create_dir(&path)?;
        let group = Self(path);
        group.write("memory.max", &(u64::from(memory_mb) * 1024 * 1024).to_string())?;
        // Half a function is none: its processes go together.
        group.write("memory.oom.group", "1")?;
        // A function that swaps is over its limit too, and slow besides. Without swap there is no such file.
        let _ = group.write("memory.swap.max", "0");
        Ok(group)
    }

    /// Puts a process in; those it starts from now on are in as well.
    pub(crate) fn join(&self, pid: i32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Whether the kernel killed it for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        fs::read_to_string(self.0.join("memory.events")).is_ok_and(|events| kills(&events) > 0)
    }

    /// Kills all that is in it, whatever it has made of itself, and removes it. It blocks, a moment.
    pub(crate) fn remove(&self) {
        let _ = self.write("cgroup.kill", "1");
        // What was killed is in it until it has ended.
        for _ in 0..ATTEMPTS {
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return,
            }
        }
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.0.join(file), value)
    }
}

fn kills(events: &str) -> u64 {
    let told = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    told.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Our own group, made to have limited children.
fn parent() -> Result<PathBuf, String> {
    let ours = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let ours =
        ours.lines().find_map(|line| line.strip_prefix("0::")).ok_or("no control groups, version 2")?;
    let parent = Path::new(MOUNT).join(ours.trim_start_matches('/'));
    let has = |file: &str| fs::read_to_string(parent.join(file)).unwrap_or_default();
    let listed = |file: &str| has(file).split_whitespace().any(|name| name == "memory");
    if !listed("cgroup.controllers") {
        return Err(format!("no memory controller in {}", parent.display()));
    }
    if !listed("cgroup.subtree_control") {
        let enable = || -> io::Result<()> {
            let leaf = parent.join(HOST);
            fs::create_dir_all(&leaf)?;
            fs::write(leaf.join("cgroup.procs"), "0")?;
            fs::write(parent.join("cgroup.subtree_control"), "+memory")
        };
        enable().map_err(|error| format!("{}: {error}", parent.display()))?;
    }
    Ok(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_of_kills_is_read() {
        let events = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(kills(events), 3);
        assert_eq!(kills("oom_kill 0\n"), 0);
        assert_eq!(kills(""), 0);
    }

    /// Where this machine has no version 2 with memory, that is what is said.
    #[test]
    fn a_group_is_made_and_removed_or_the_reason_told() {
        match parent() {
            Ok(parent) => {
                let name = format!("klr-test-{}", std::process::id());
                let group = Group::within(&parent, &name, 128).unwrap();
                let limit = fs::read_to_string(parent.join(&name).join("memory.max")).unwrap();
                assert_eq!(limit.trim(), (128_u64 * 1024 * 1024).to_string());
                group.remove();
                assert!(!parent.join(&name).exists());
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}
