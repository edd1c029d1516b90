//! A view of the file system as on Lambda: the code at `/var/task`, the layers at `/opt`, both read-only, and a `/tmp` that is
//! the environment's own.
//!
//! Each process gets a mount namespace of its own, made by util-linux's `unshare` and `mount` before the program takes over:
//! a system call between fork and exec would be unsafe code. Root needs no more than that; anybody else is given a user
//! namespace too, in which the function sees itself as root, where the kernel allows those. Both mount points have to
//! exist; root makes them. Several layers are one overlay: nothing is copied, and a file of a later one hides an earlier's.
//! Without layers `/opt` is empty where the host is a program of its own, and the machine's own where that is needed.
//! Where any of it is missing, all stays where it is, the log says why, and variables and search paths say where.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::sync::OnceCell;

/// Where Lambda has a function's code.
const TASK: &str = "/var/task";
/// Where Lambda has the layers.
const OPT: &str = "/opt";
/// Where functions write.
const TMP: &str = "/tmp";
/// Mounts each four up to `--` (type, how, what, where), goes where the next argument says, and becomes the rest. `$0` is
/// `mount`.
///
/// The plain bind is for what was mounted with restrictions that an unprivileged remount may not touch. By the old system call:
/// the new ones take no more than 256 bytes of an option.
const SCRIPT: &str = r#"
while [ "$1" != -- ]; do
    LIBMOUNT_FORCE_MOUNT2=always "$0" -t "$1" -o "$2" "$3" "$4" 2>/dev/null ||
        { [ "$1" = none ] && "$0" --bind "$3" "$4"; } || exit 125
    shift 4
done
cd "$2" || exit 125
unset OLDPWD
shift 2
exec "$@"
"#;

/// How code and layers are bound.
const READ_ONLY: &str = "bind,ro";
/// What an overlay's list of folders cannot have in a name, or `mount` in an option.
const SEPARATORS: [char; 4] = [':', ',', '\\', '"'];

/// What a machine mounts with; `None` where it does not let us.
static TOOLS: OnceCell<Option<Tools>> = OnceCell::const_new();

#[derive(Debug, Clone)]
struct Tools {
    unshare: PathBuf,
    mount: PathBuf,
    flags: &'static [&'static str],
}

/// What is seen where.
#[derive(Debug, Clone)]
pub(crate) struct Mounts {
    tools: Tools,
    /// At `/var/task`. `None`: where it is.
    code: Option<PathBuf>,
    /// At `/opt`, the one that wins first. Empty: the machine's own is there.
    opt: Vec<PathBuf>,
    /// Nothing is there, as on Lambda without layers.
    bare: bool,
    tmp: Tmp,
}

/// What is seen at `/tmp`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tmp {
    /// The machine's own: something in there is needed.
    Needed,
    /// The machine's own.
    Shared,
    /// A folder.
    Own(PathBuf),
}

impl Mounts {
    /// Of a code directory and folders for `/opt`, the one that wins first, as far as the machine allows it. `bare`: without
    /// folders there is nothing at `/opt`. `None`: not at all.
    pub(crate) async fn new(code: Option<&Path>, opt: Vec<PathBuf>, bare: bool) -> Option<Self> {
        if code.is_none() && opt.is_empty() {
            return None;
        }
        let tools = TOOLS.get_or_init(Tools::find).await.clone()?;
        let code = code.filter(|_| present(TASK, &tools)).map(Path::to_owned);
        let opt = if opt.is_empty() || present(OPT, &tools) { opt } else { Vec::new() };
        let mut mounts = Self { tools, code, opt, bare: false, tmp: Tmp::Shared };
        if mounts.opt.len() > 1 && !mounts.overlay().await {
            mounts.opt.clear();
        }
        if bare {
            mounts.bare = true;
            // A convenience: where it cannot be had, the machine's own does no harm.
            mounts.bare = mounts.work().await;
        }
        (mounts.code.is_some() || !mounts.opt.is_empty()).then_some(mounts)
    }

    /// Whether several folders can be seen as one. Not every kernel, and not every file system, has it.
    async fn overlay(&self) -> bool {
        let odd = self.opt.iter().find(|folder| folder.to_string_lossy().contains(SEPARATORS));
        if let Some(folder) = odd {
            told(&format!("{} has one of {SEPARATORS:?} in its name", folder.display()));
        } else if self.work().await {
            return true;
        } else {
            told("this machine cannot lay several folders over each other (overlayfs)");
        }
        false
    }

    async fn work(&self) -> bool {
        let mut command = self.command(OsStr::new("true"), &[], Path::new("/"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.status().await.is_ok_and(|status| status.success())
    }

    /// Leaves the machine's own `/tmp` in sight.
    pub(crate) fn keep_tmp(&mut self) {
        self.tmp = Tmp::Needed;
    }

    /// Whether the machine's own `/tmp` may be out of sight.
    pub(crate) fn may_hide_tmp(&self) -> bool {
        self.tmp != Tmp::Needed
    }

    /// Has a folder be seen at `/tmp`.
    pub(crate) fn show_as_tmp(&mut self, folder: &Path) {
        self.tmp = Tmp::Own(folder.to_owned());
    }

    /// What is seen at `/tmp`, where that is not the machine's own.
    pub(crate) fn own_tmp(&self) -> Option<&Path> {
        match &self.tmp {
            Tmp::Own(folder) => Some(folder),
            Tmp::Needed | Tmp::Shared => None,
        }
    }

    /// Where a path is seen.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        let below = |folder: &Path, point: &str| {
            let rest = path.strip_prefix(folder).ok()?;
            Some(if rest.as_os_str().is_empty() { point.into() } else { Path::new(point).join(rest) })
        };
        let code = self.code.as_ref().and_then(|code| below(code, TASK));
        let layer = || self.opt.iter().find_map(|layer| below(layer, OPT));
        code.or_else(layer).unwrap_or_else(|| path.to_owned())
    }

    /// Whether the machine's own `/opt` is out of sight.
    pub(crate) fn hides_opt(&self) -> bool {
        self.bare || !self.opt.is_empty() && !self.opt.iter().any(|folder| folder == Path::new(OPT))
    }

    /// What starts `program` with that view, in `directory` (as it is seen).
    pub(crate) fn command(
        &self,
        program: &OsStr,
        arguments: &[OsString],
        directory: &Path,
    ) -> tokio::process::Command {
        let Tools { unshare, mount, flags } = &self.tools;
        let mut command = tokio::process::Command::new(unshare);
        command.args(*flags).args(["/bin/sh", "-c", SCRIPT]).arg(mount);
        let mut bind = |how: &str, what: &Path, point: &str| {
            command.args(["none", how]).arg(what).arg(point);
        };
        if let Some(code) = &self.code {
            bind(READ_ONLY, code, TASK);
        }
        match self.opt.as_slice() {
            [] if self.bare => {
                command.args(["tmpfs", "ro", "none", OPT]);
            }
            // The machine's own: nobody writes there.
            [] if Path::new(OPT).is_dir() => bind(READ_ONLY, Path::new(OPT), OPT),
            [] => {}
            [folder] => bind(READ_ONLY, folder, OPT),
            several => {
                let folders: Vec<&OsStr> = several.iter().map(|folder| folder.as_os_str()).collect();
                let mut how = OsString::from("ro,lowerdir=");
                how.push(folders.join(OsStr::new(":")));
                command.args(["overlay".as_ref(), how.as_os_str(), "layers".as_ref(), OPT.as_ref()]);
            }
        }
        // The last: the others may lie in the machine's own.
        if let Tmp::Own(folder) = &self.tmp {
            command.args(["none", "bind"]).arg(folder).arg(TMP);
        }
        command.arg("--").arg(self.seen(directory)).arg(program).args(arguments).current_dir("/");
        command
    }
}

impl Tools {
    /// What there is, if it works: tried once, with a folder that is there anyway.
    async fn find() -> Option<Self> {
        let flags: &[&str] = if rustix::process::geteuid().is_root() { &["-m"] } else { &["-r", "-m"] };
        let on_path = |name| crate::launch::on_path(name).into_iter().next();
        let (Some(unshare), Some(mount)) = (on_path("unshare"), on_path("mount")) else {
            told("no `unshare` and `mount` are on the path: install util-linux");
            return None;
        };
        let tools = Self { unshare, mount, flags };
        let trial = Mounts {
            tools: tools.clone(),
            code: None,
            opt: Vec::new(),
            bare: false,
            tmp: Tmp::Own(TMP.into()),
        };
        let works = trial.work().await;
        if !works {
            told("this machine allows no mount namespace: it takes root (CAP_SYS_ADMIN), or user namespaces");
        }
        works.then_some(tools)
    }
}

/// Says why something is not seen where Lambda has it.
fn told(why: &str) {
    tracing::warn!(why, "functions see code and layers where they lie, not at /var/task and /opt");
}

/// Whether the mount point is there, or could be made.
fn present(point: &str, tools: &Tools) -> bool {
    let root = tools.flags == ["-m"];
    let present = Path::new(point).is_dir() || root && made(point).is_ok();
    if !present {
        told(&format!("there is no {point} to mount on, and only root could make it"));
    }
    present
}

fn made(point: &str) -> io::Result<()> {
    fs::create_dir_all(point).inspect(|()| tracing::info!(folder = point, "made to mount on"))
}
