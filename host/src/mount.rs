//! A view of the file system as on Lambda: the code at `/var/task`, the layers at `/opt`, both read-only, and a `/tmp` that is
//! the environment's own.
//!
//! Each process gets a mount namespace of its own, made by util-linux's `unshare` and `mount` before the program takes over:
//! a system call between fork and exec would be unsafe code. Root needs no more than that; anybody else is given a user
//! namespace too, in which the function sees itself as root, where the kernel allows those. Both mount points have to
//! exist; root makes them. Where any of it is missing, the code stays where it is, and variables and search paths say so.

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
/// Binds each triple up to `--` (how, what, where), goes where the next argument says, and becomes the rest. `$0` is `mount`.
///
/// The plain bind is for what was mounted with restrictions that an unprivileged remount may not touch.
const SCRIPT: &str = r#"
while [ "$1" != -- ]; do
    "$0" -o "$1" "$2" "$3" 2>/dev/null || "$0" --bind "$2" "$3" || exit 125
    shift 3
done
cd "$2" || exit 125
unset OLDPWD
shift 2
exec "$@"
"#;

/// How code and layers are bound.
const READ_ONLY: &str = "bind,ro";

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
    code: PathBuf,
    layer: Option<PathBuf>,
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
    /// Of a code directory, and a layer where there is one to be seen. `None`: the machine does not allow it.
    pub(crate) async fn new(code: &Path, layer: Option<&Path>) -> Option<Self> {
        let tools = TOOLS.get_or_init(Tools::find).await.clone()?;
        let layer = layer.filter(|_| present(Path::new(OPT), &tools)).map(Path::to_owned);
        Some(Self { tools, code: code.to_owned(), layer, tmp: Tmp::Shared })
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

    /// Where a path is seen.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        let below = |folder: &Path, point: &str| {
            let rest = path.strip_prefix(folder).ok()?;
            Some(if rest.as_os_str().is_empty() { point.into() } else { Path::new(point).join(rest) })
        };
        let layer = || self.layer.as_ref().and_then(|layer| below(layer, OPT));
        below(&self.code, TASK).or_else(layer).unwrap_or_else(|| path.to_owned())
    }

    /// Whether the machine's own `/opt` is out of sight.
    pub(crate) fn hides_opt(&self) -> bool {
        self.layer.is_some()
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
        command.arg(READ_ONLY).arg(&self.code).arg(TASK);
        match &self.layer {
            Some(layer) => {
                command.arg(READ_ONLY).arg(layer).arg(OPT);
            }
            // The machine's own: nobody writes there.
            None if Path::new(OPT).is_dir() => {
                command.arg(READ_ONLY).arg(OPT).arg(OPT);
            }
            None => {}
        }
        // The last: the others may lie in the machine's own.
        if let Tmp::Own(folder) = &self.tmp {
            command.arg("bind").arg(folder).arg(TMP);
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
        let tools = Self { unshare: on_path("unshare")?, mount: on_path("mount")?, flags };
        let works = present(Path::new(TASK), &tools) && tools.work().await;
        if !works {
            tracing::info!(
                "functions see their code where it lies: /var/task and /opt need root, or user namespaces and both folders"
            );
        }
        works.then_some(tools)
    }

    async fn work(&self) -> bool {
        let mounts = Self::trial(self);
        let mut command = mounts.command(OsStr::new("true"), &[], &mounts.code);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.status().await.is_ok_and(|status| status.success())
    }

    fn trial(&self) -> Mounts {
        Mounts { tools: self.clone(), code: std::env::temp_dir(), layer: None, tmp: Tmp::Needed }
    }
}

/// Whether the mount point is there, or could be made.
fn present(point: &Path, tools: &Tools) -> bool {
    let root = tools.flags == ["-m"];
    point.is_dir() || root && made(point).is_ok()
}

fn made(point: &Path) -> io::Result<()> {
    fs::create_dir_all(point).inspect(|()| tracing::info!(folder = %point.display(), "made to mount on"))
}
