//! What is started: the command, found as Lambda finds it, and where.

use std::{
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use crate::{Error, Settings};

/// How long an interpreter may take to say whether it has the runtime client.
const PROBE: Duration = Duration::from_secs(30);

/// A command that can be started again and again.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// Where it runs; absolute.
    pub(crate) directory: PathBuf,
    /// `_HANDLER`.
    pub(crate) handler: Option<String>,
    /// `AWS_EXECUTION_ENV`. Clients change behaviour on it (Python from 3.12 on), so it is told truthfully or not at all.
    pub(crate) execution_env: Option<String>,
}

impl Launch {
    /// Finds what `settings` mean on this machine.
    pub(crate) async fn find(settings: &Settings) -> Result<Self, Error> {
        let given = settings.directory.clone().unwrap_or_else(|| PathBuf::from("."));
        let directory = match given.canonicalize() {
            Ok(path) if path.is_dir() => path,
            Ok(path) => {
                return Err(Error::Directory { path, source: std::io::ErrorKind::NotADirectory.into() });
            }
            Err(source) => return Err(Error::Directory { path: given, source }),
        };
        if let [program, arguments @ ..] = settings.command.as_slice() {
            return Ok(Self::of_command(settings, program, arguments, directory));
        }
        match settings.runtime.as_deref() {
            Some(runtime) if runtime.starts_with("python") => {
                Self::python(settings, runtime, directory).await
            }
            Some(runtime) if !runtime.starts_with("provided") => Err(Error::Runtime(runtime.to_owned())),
            _ => Self::bootstrap(settings, directory),
        }
    }

    fn of_command(settings: &Settings, program: &str, arguments: &[String], directory: PathBuf) -> Self {
        // As for an image function: the last argument is the handler.
        let handler = settings.handler.clone().or_else(|| arguments.last().cloned());
        let managed = settings.runtime.as_ref().filter(|runtime| !runtime.starts_with("provided"));
        Self {
            program: program.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            directory,
            handler,
            execution_env: managed.map(|runtime| format!("AWS_Lambda_{runtime}")),
        }
    }

    fn bootstrap(settings: &Settings, directory: PathBuf) -> Result<Self, Error> {
        let mut folders = vec![directory.clone()];
        folders.extend(["/var/runtime", "/var/task", "/opt"].map(PathBuf::from));
        let Some(path) = folders.iter().map(|folder| folder.join("bootstrap")).find(|path| path.is_file())
        else {
            let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(Error::NoCommand { looked: looked.join(", ") });
        };
        if !executable(&path) {
            return Err(Error::NotExecutable { path });
        }
        Ok(Self {
            program: path.into(),
            arguments: Vec::new(),
            directory,
            handler: settings.handler.clone(),
            execution_env: None,
        })
    }

    async fn python(settings: &Settings, runtime: &str, directory: PathBuf) -> Result<Self, Error> {
        let Some(handler) = settings.handler.clone() else {
            return Err(Error::NoHandler(runtime.to_owned()));
        };
        let mut candidates: Vec<OsString> = std::env::var_os("KLR_PYTHON").into_iter().collect();
        candidates.extend([OsString::from(runtime), OsString::from("python3")]);
        for candidate in &candidates {
            let Some(version) = has_client(candidate, &directory).await else { continue };
            if version != runtime {
                tracing::warn!(wanted = runtime, found = version, interpreter = ?candidate, "another Python than asked for");
            }
            return Ok(Self {
                program: candidate.clone(),
                arguments: ["-m", "awslambdaric", &handler].map(OsString::from).to_vec(),
                directory,
                handler: Some(handler),
                execution_env: Some(format!("AWS_Lambda_{version}")),
            });
        }
        let tried: Vec<_> = candidates.iter().map(|c| c.to_string_lossy().into_owned()).collect();
        Err(Error::NoPython { tried: tried.join(", ") })
    }
}

/// The version of an interpreter, as Lambda spells it, if it can import the runtime client from `directory` (the client
/// may be packaged with the code).
async fn has_client(interpreter: &OsString, directory: &Path) -> Option<String> {
    const SCRIPT: &str = "import sys, awslambdaric; print('python%d.%d' % sys.version_info[:2])";
    let mut probe = Command::new(interpreter);
    probe.args(["-c", SCRIPT]).current_dir(directory).kill_on_drop(true).stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(PROBE, probe.output()).await.ok()?.ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| version.trim().to_owned())
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(directory: &Path) -> Settings {
        Settings { directory: Some(directory.to_owned()), ..Settings::default() }
    }

    #[tokio::test]
    async fn a_bootstrap_is_found_in_the_code_and_must_be_executable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("bootstrap");
        assert!(matches!(Launch::find(&settings(folder.path())).await, Err(Error::NoCommand { .. })));
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(matches!(Launch::find(&settings(folder.path())).await, Err(Error::NotExecutable { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Launch::find(&settings(folder.path())).await.unwrap().program, path);
    }

    #[tokio::test]
    async fn other_runtimes_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let node = Settings { runtime: Some("nodejs22.x".into()), ..settings(folder.path()) };
        let told = Launch::find(&node).await.unwrap_err().to_string();
        assert!(told.contains("nodejs22.x") && told.contains("next release"), "{told}");
        let python = Settings { runtime: Some("python3.13".into()), ..settings(folder.path()) };
        assert!(matches!(Launch::find(&python).await, Err(Error::NoHandler(_))));
    }

    #[tokio::test]
    async fn the_last_argument_of_a_command_is_its_handler() {
        let command = ["node", "client.js", "index.handler"].map(str::to_owned).to_vec();
        let launch = Launch::find(&Settings { command, ..Settings::default() }).await.unwrap();
        assert_eq!(launch.handler.as_deref(), Some("index.handler"));
    }
}
