//! What is started: the command, found as Lambda finds it, and where.

mod managed;
mod needs;

use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{Error, Inherit, Mount, OtherVersion, Settings, layers::Layers, mount::Mounts};
use managed::Search;

const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// A command that can be started again and again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Launch {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// Where it runs; absolute.
    pub(crate) directory: PathBuf,
    /// `_HANDLER`.
    pub(crate) handler: Option<String>,
    /// The managed runtime it is, as Lambda spells it. Clients change behaviour on it (Python from 3.12 on), so it is told
    /// truthfully or not at all.
    pub(crate) runtime: Option<String>,
    pub(crate) layers: Layers,
    /// How processes see code and layers, where that is not where they are.
    pub(crate) mounts: Option<Mounts>,
    /// Why there is nothing to start, in Lambda's words: each start fails of it.
    pub(crate) fault: Option<String>,
}

impl Launch {
    /// Finds what `settings` mean on this machine.
    pub(crate) async fn find(settings: &Settings) -> Result<Self, Error> {
        let found = Self::unmounted(settings).await?;
        Ok(if settings.mount == Mount::Nothing { found } else { found.mounted(settings).await })
    }

    async fn unmounted(settings: &Settings) -> Result<Self, Error> {
        let handler = settings.handler.clone();
        let directory = directory(settings)?;
        let layers = Layers::find(&settings.layers)?;
        let found = Self { directory, handler, layers, ..Self::default() };
        match found.clone().program(settings).await {
            Err(error) if settings.fault_at_start => match fault(&error) {
                None => Err(error),
                fault => Ok(Self { fault, runtime: settings.runtime.clone(), ..found }),
            },
            found => found,
        }
    }

    /// With the program, and what it is told.
    async fn program(self, settings: &Settings) -> Result<Self, Error> {
        if let [program, arguments @ ..] = settings.command.as_slice() {
            return Ok(self.command(settings, program, arguments));
        }
        match settings.runtime.as_deref() {
            None => self.bootstrap(),
            Some(runtime) if runtime.starts_with("provided") => self.bootstrap(),
            Some(runtime) if runtime.starts_with("go") => self.go(runtime),
            Some(runtime) => self.managed(runtime, settings).await,
        }
    }

    /// Where a process sees a path.
    pub(crate) fn seen(&self, path: PathBuf) -> PathBuf {
        self.mounts.as_ref().map_or_else(|| path.clone(), |mounts| mounts.seen(&path))
    }

    /// With the layers at `/opt`, and the code at `/var/task` if that is asked for, where it can be done.
    async fn mounted(mut self, settings: &Settings) -> Self {
        // What the machine has in its own `/opt` or `/tmp` (an interpreter, a runtime client) must stay in sight.
        let paths = needs::files(&self.program, &self.arguments);
        let mut opt: Vec<PathBuf> = self.layers.given().cloned().collect();
        // In an image it is the function's.
        let needed =
            settings.inherit == Inherit::Image || paths.iter().any(|path| needs::lies_in(path, "/opt"));
        let has_some = Path::new("/opt").read_dir().is_ok_and(|mut entries| entries.next().is_some());
        if !opt.is_empty() && needed && has_some {
            opt.push("/opt".into());
        }
        let code = Some(self.directory.as_path()).filter(|_| settings.mount == Mount::All);
        // Where the host is a program of its own, that has nothing to do with the function.
        let bare = code.is_some() && opt.is_empty() && has_some && !needed && !needs::searched(&self.layers);
        self.mounts = Mounts::new(code, opt, bare).await;
        let Some(mounts) = &mut self.mounts else { return self };
        let layers = self.layers.given();
        if paths.iter().chain(layers).any(|path| mounts.seen(path) == *path && needs::lies_in(path, "/tmp")) {
            mounts.keep_tmp();
        }
        self.program = mounts.seen(Path::new(&self.program)).into();
        // A class path is several.
        let seen = |argument: &OsString| {
            let paths = std::env::split_paths(argument).map(|path| mounts.seen(&path));
            std::env::join_paths(paths).unwrap_or_else(|_| argument.clone())
        };
        self.arguments = self.arguments.iter().map(seen).collect();
        if mounts.hides_opt() {
            self.layers.without_opt();
        }
        self
    }

    fn command(mut self, settings: &Settings, program: &str, arguments: &[String]) -> Self {
        // As for an image function: the last argument is the handler.
        self.handler = self.handler.or_else(|| arguments.last().cloned());
        self.runtime = settings.runtime.clone().filter(|runtime| !runtime.starts_with("provided"));
        self.program = program.into();
        self.arguments = arguments.iter().map(OsString::from).collect();
        self
    }

    /// The first `bootstrap` there is. Lambda looks into `/var/runtime` first; here the code directory was named by
    /// whoever runs us, so it wins.
    fn bootstrap(mut self) -> Result<Self, Error> {
        let mut folders = vec![self.directory.clone()];
        folders.extend(["/var/runtime", "/var/task"].map(PathBuf::from));
        folders.extend(self.layers.each(""));
        let Some(path) = folders.iter().map(|folder| folder.join("bootstrap")).find(|path| path.is_file())
        else {
            let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(Error::NoCommand { looked: looked.join(", ") });
        };
        check_executable(&path)?;
        self.program = path.into();
        Ok(self)
    }

    /// `go1.x` ran the program its handler named; what was built for it speaks the Runtime API as well.
    fn go(mut self, runtime: &str) -> Result<Self, Error> {
        let named =
            self.handler.as_ref().map(|handler| self.directory.join(handler)).filter(|path| path.is_file());
        self.runtime = Some(runtime.to_owned());
        let Some(path) = named else { return self.bootstrap() };
        check_executable(&path)?;
        self.program = path.into();
        Ok(self)
    }

    async fn managed(mut self, runtime: &str, settings: &Settings) -> Result<Self, Error> {
        let handler = self.handler.clone().unwrap_or_default();
        let search = Search { runtime, handler: &handler, directory: &self.directory, layers: &self.layers };
        let known = ["python", "nodejs", "java", "ruby"].iter().any(|language| runtime.starts_with(language));
        if known && handler.is_empty() {
            return Err(Error::NoHandler(runtime.to_owned()));
        }
        let mut client = search.client().await.ok_or_else(|| Error::Runtime(runtime.to_owned()))??;
        if client.runtime != runtime {
            match settings.other_version {
                OtherVersion::Refused => {
                    return Err(Error::OtherVersion { runtime: runtime.to_owned(), found: client.runtime });
                }
                OtherVersion::Posing => runtime.clone_into(&mut client.runtime),
                OtherVersion::Told => {
                    tracing::warn!(
                        wanted = runtime,
                        found = client.runtime,
                        "another version than asked for"
                    );
                }
            }
        }
        self.program = client.program;
        self.arguments = client.arguments;
        self.runtime = Some(client.runtime);
        self.wrap(settings)
    }

    /// A managed runtime starts its client through the script the user names, if one is named.
    fn wrap(mut self, settings: &Settings) -> Result<Self, Error> {
        let given =
            settings.environment.iter().find(|(name, _)| name == WRAPPER).map(|(_, value)| value.into());
        let Some(given) = given.or_else(|| std::env::var_os(WRAPPER)).filter(|path| !path.is_empty()) else {
            return Ok(self);
        };
        let path = self.layers.resolve(&self.directory.join(given));
        if !path.is_file() {
            return Err(Error::NoWrapper { path });
        }
        check_executable(&path)?;
        self.arguments.insert(0, std::mem::replace(&mut self.program, path.into()));
        Ok(self)
    }
}

/// What Lambda says where its function cannot be started, if it is the function's fault.
fn fault(error: &Error) -> Option<String> {
    match error {
        Error::NoCommand { .. } => {
            Some("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".to_owned())
        }
        Error::NotExecutable { .. } => Some("fork/exec /var/task/bootstrap: permission denied".to_owned()),
        Error::NoWrapper { path } => Some(format!("fork/exec {}: no such file or directory", path.display())),
        _ => None,
    }
}

fn directory(settings: &Settings) -> Result<PathBuf, Error> {
    let given = settings.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    match given.canonicalize() {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(path) => {
            let error = std::io::ErrorKind::NotADirectory.into();
            Err(Error::Directory { what: "code", path, error })
        }
        Err(error) => Err(Error::Directory { what: "code", path: given, error }),
    }
}

/// Where a program of that name is on our own search path.
pub(crate) fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH");
    let folders = path.iter().flat_map(|path: &OsString| std::env::split_paths::<OsStr>(path));
    folders.map(|folder| folder.join(name)).filter(|path| path.is_file()).collect()
}

fn check_executable(path: &Path) -> Result<(), Error> {
    if path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0) {
        Ok(())
    } else {
        Err(Error::NotExecutable { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(directory: &Path) -> Settings {
        Settings { directory: Some(directory.to_owned()), ..Settings::default() }
    }

    fn script(path: &Path) {
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[tokio::test]
    async fn a_bootstrap_is_found_in_the_code_and_must_be_executable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("bootstrap");
        assert!(matches!(Launch::find(&settings(folder.path())).await, Err(Error::NoCommand { .. })));
        let forgiving = Settings { fault_at_start: true, ..settings(folder.path()) };
        let fault = Launch::find(&forgiving).await.unwrap().fault.unwrap();
        assert!(fault.contains("valid bootstrap"), "{fault}");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(matches!(Launch::find(&settings(folder.path())).await, Err(Error::NotExecutable { .. })));
        script(&path);
        assert_eq!(Launch::find(&settings(folder.path())).await.unwrap().program, path);
    }

    #[tokio::test]
    async fn a_bootstrap_may_be_a_layers() {
        let (code, layer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = layer.path().canonicalize().unwrap().join("bootstrap");
        script(&path);
        let settings = Settings { layers: vec![layer.path().to_owned()], ..settings(code.path()) };
        assert_eq!(Launch::find(&settings).await.unwrap().program, path);
    }

    #[tokio::test]
    async fn a_go_function_is_the_program_its_handler_names() {
        let code = tempfile::tempdir().unwrap();
        let path = code.path().canonicalize().unwrap().join("main");
        script(&path);
        let go =
            Settings { runtime: Some("go1.x".into()), handler: Some("main".into()), ..settings(code.path()) };
        let launch = Launch::find(&go).await.unwrap();
        assert_eq!((launch.program, launch.runtime.as_deref()), (path.into(), Some("go1.x")));
    }

    #[tokio::test]
    async fn other_runtimes_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let of = |runtime: &str| Settings { runtime: Some(runtime.into()), ..settings(folder.path()) };
        let told = Launch::find(&of("dotnet8")).await.unwrap_err().to_string();
        assert!(told.contains("dotnet8") && told.contains("after `--`"), "{told}");
        for runtime in ["python3.13", "nodejs22.x", "java21", "ruby3.4"] {
            assert!(matches!(Launch::find(&of(runtime)).await, Err(Error::NoHandler(_))), "{runtime}");
        }
    }

    #[tokio::test]
    async fn a_client_that_is_missing_is_told_how_to_come_by() {
        let folder = tempfile::tempdir().unwrap();
        for (runtime, install) in [
            ("nodejs20.x", "npm install aws-lambda-ric"),
            ("java17", "aws-lambda-java-runtime-interface-client"),
            ("ruby3.3", "gem install aws_lambda_ric"),
        ] {
            let wanted = Settings {
                runtime: Some(runtime.into()),
                handler: Some("a.b".into()),
                ..settings(folder.path())
            };
            // The machine may have one of them; then there is nothing to tell.
            if let Err(error) = Launch::find(&wanted).await {
                let told = error.to_string();
                assert!(told.contains(install) || told.contains("apt-get install"), "{told}");
            }
        }
    }

    #[tokio::test]
    async fn the_last_argument_of_a_command_is_its_handler() {
        let command = ["node", "client.js", "index.handler"].map(str::to_owned).to_vec();
        let launch = Launch::find(&Settings { command, ..Settings::default() }).await.unwrap();
        assert_eq!(launch.handler.as_deref(), Some("index.handler"));
    }

    #[test]
    fn a_wrapper_comes_before_the_client() {
        let layer = tempfile::tempdir().unwrap();
        script(&layer.path().join("wrap"));
        let layers = Layers::find(&[layer.path().to_owned()]).unwrap();
        let launch =
            Launch { program: "python3".into(), arguments: vec!["-m".into()], layers, ..Launch::default() };
        let with = |path: &str| {
            let environment = vec![(WRAPPER.to_owned(), path.to_owned())];
            launch.clone().wrap(&Settings { environment, ..Settings::default() })
        };
        let wrapped = with("/opt/wrap").unwrap();
        assert_eq!(wrapped.program, layer.path().canonicalize().unwrap().join("wrap"));
        assert_eq!(wrapped.arguments, ["python3", "-m"]);
        assert!(matches!(with("/opt/none"), Err(Error::NoWrapper { .. })));
    }
}
