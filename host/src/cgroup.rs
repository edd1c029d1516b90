//! A control group of its own for each process of the function, where the system lets us: the memory limit, enforced.
//!
//! In version 2 a group with processes of its own cannot limit children of it (the kernel's "no internal processes"), so the
//! host moves itself into a leaf first. Version 1, where memory still is under it, has no such rule; nor does it end a group
//! as a whole, neither for us nor for want of memory.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::children;

/// Where version 2 is mounted, everywhere, and the controllers of version 1 below it.
const MOUNT: &str = "/sys/fs/cgroup";
/// The leaf the host itself lives in.
const HOST: &str = "klr-host";

/// How often it is tried to remove a group, a millisecond apart.
const ATTEMPTS: u32 = 100;

/// Where groups can be made; found out once, and said once.
static PARENT: OnceLock<Option<Parent>> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group that may have limited children.
#[derive(Debug)]
struct Parent {
    version: Version,
    path: PathBuf,
}

/// A group, until it is [removed](Self::remove).
#[derive(Debug)]
pub(crate) struct Group {
    version: Version,
    path: PathBuf,
}

impl Group {
    /// A group of this name, if there can be one.
    pub(crate) fn new(name: &str, memory_mb: u32) -> Option<Self> {
        let parent = PARENT.get_or_init(|| {
            let told = |why: &String| tracing::info!(%why, "the memory limit is told to the function, and not enforced");
            Parent::find().inspect_err(told).ok()
        });
        Self::within(parent.as_ref()?, name, memory_mb)
            .inspect_err(|error| tracing::warn!(%error, "no control group: the memory limit is not enforced"))
            .ok()
    }

    fn within(parent: &Parent, name: &str, memory_mb: u32) -> io::Result<Self> {
        let path = parent.path.join(name);
        fs::create_dir(&path)?;
        let group = Self { version: parent.version, path };
        group.limit(&(u64::from(memory_mb) * 1024 * 1024).to_string()).inspect_err(|_| group.remove())?;
        Ok(group)
    }

    fn limit(&self, bytes: &str) -> io::Result<()> {
        match self.version {
            Version::One => {
                self.write("memory.limit_in_bytes", bytes)?;
                let _ = self.write("memory.memsw.limit_in_bytes", bytes);
            }
            Version::Two => {
                self.write("memory.max", bytes)?;
                // Half a function is none: its processes go together.
                self.write("memory.oom.group", "1")?;
                // A function that swaps is over its limit too, and slow besides. Without swap there is no such file.
                let _ = self.write("memory.swap.max", "0");
            }
        }
        Ok(())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a process in, with what it has started meanwhile; what it starts from now on is in as well. It blocks, for 6 to 30
    /// ms at times: the kernel waits until nobody forks.
    pub(crate) fn join(&self, pid: u32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())?;
        for child in children::of(pid) {
            // It may be gone again.
            let _ = self.join(child);
        }
        Ok(())
    }

    /// Whether the kernel killed it for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        fs::read_to_string(self.path.join(file)).is_ok_and(|events| kills(&events) > 0)
    }

    /// [Removes](remove) it.
    pub(crate) fn remove(&self) {
        remove(&self.path);
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(file), value)
    }
}

/// Kills all that is in the group at this path, whatever it has made of itself, and removes it. It blocks, a moment.
pub(crate) fn remove(path: &Path) {
    // What was killed is in it until it has ended.
    for _ in 0..ATTEMPTS {
        kill(path);
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => return,
        }
    }
}

fn kill(path: &Path) {
    // Opened, not made: version 1 has no such file.
    let at_once = fs::File::options().write(true).open(path.join("cgroup.kill"));
    if at_once.is_ok_and(|mut file| file.write_all(b"1").is_ok()) {
        return;
    }
    let inside = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in inside.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// How both versions tell it.
fn kills(events: &str) -> u64 {
    let told = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    told.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

impl Parent {
    /// Our own group, made to have limited children.
    fn find() -> Result<Self, String> {
        let ours = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        match Self::of_two(&ours) {
            Err(why) if ours.lines().any(|line| line.contains(":memory:")) => {
                Self::of_one(&ours).map_err(|other| format!("version 2: {why}; version 1: {other}"))
            }
            found => found,
        }
    }

    fn of_one(ours: &str) -> Result<Self, String> {
        let ours = ours.lines().find_map(|line| Some(line.split_once(":memory:")?.1)).unwrap_or_default();
        let path = Path::new(MOUNT).join("memory").join(ours.trim_start_matches('/'));
        // Tried, for no other file says whether we may.
        let trial = path.join(format!("{HOST}-{}", std::process::id()));
        let tried = fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial));
        tried.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { version: Version::One, path })
    }

    fn of_two(ours: &str) -> Result<Self, String> {
        let ours =
            ours.lines().find_map(|line| line.strip_prefix("0::")).ok_or("no control groups, version 2")?;
        let path = Path::new(MOUNT).join(ours.trim_start_matches('/'));
        let has = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        let listed = |file: &str| has(file).split_whitespace().any(|name| name == "memory");
        if !listed("cgroup.controllers") {
            return Err(format!("no memory controller in {}", path.display()));
        }
        if !listed("cgroup.subtree_control") {
            let enable = || -> io::Result<()> {
                let leaf = path.join(HOST);
                fs::create_dir_all(&leaf)?;
                fs::write(leaf.join("cgroup.procs"), "0")?;
                fs::write(path.join("cgroup.subtree_control"), "+memory")
            };
            enable().map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Self { version: Version::Two, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_of_kills_is_read() {
        let events = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(kills(events), 3);
        assert_eq!(kills("oom_kill 0\n"), 0);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(kills(""), 0);
    }

    /// Where this machine lets nobody limit memory, that is what is said.
    #[test]
    fn a_group_is_made_and_removed_or_the_reason_told() {
        match Parent::find() {
            Ok(parent) => {
                let name = format!("klr-test-{}", std::process::id());
                let group = Group::within(&parent, &name, 128).unwrap();
                let file = match parent.version {
                    Version::One => "memory.limit_in_bytes",
                    Version::Two => "memory.max",
                };
                let limit = fs::read_to_string(parent.path.join(&name).join(file)).unwrap();
                assert_eq!(limit.trim(), (128_u64 * 1024 * 1024).to_string());
                let mut inside =
                    std::process::Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
                while children::of(inside.id()).is_empty() {
                    std::thread::sleep(Duration::from_millis(10));
                }
                group.join(inside.id()).unwrap();
                let joined = fs::read_to_string(group.path().join("cgroup.procs")).unwrap();
                assert_eq!(joined.lines().count(), 2, "the process and what it had started");
                // Its zombie is ours to wait for, and stays in no group.
                group.remove();
                assert!(!inside.wait().unwrap().success() && !parent.path.join(&name).exists());
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}
