//! The runtimes AWS manages: what starts the runtime client of each on this machine.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::on_path;
use crate::{Error, layers::Layers};

/// How long a program may take to say what it is.
const PROBE: Duration = Duration::from_secs(30);

/// Where a runtime client is looked for.
pub(super) struct Search<'a> {
    /// As it was asked for: `python3.12`.
    pub(super) runtime: &'a str,
    pub(super) handler: &'a str,
    pub(super) directory: &'a Path,
    pub(super) layers: &'a Layers,
}

/// What starts a runtime client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    /// The runtime it really is, as Lambda spells it.
    pub(super) runtime: String,
}

impl Search<'_> {
    /// Looks for the client of the runtime's language. `None`: Lambda has no such language, or we have no client for it.
    pub(super) async fn client(&self) -> Option<Result<Client, Error>> {
        let found = match self.runtime {
            name if name.starts_with("python") => self.python().await,
            name if name.starts_with("nodejs") => self.node().await,
            name if name.starts_with("java") => self.java(),
            name if name.starts_with("ruby") => self.ruby().await,
            _ => return None,
        };
        Some(found)
    }

    async fn python(&self) -> Result<Client, Error> {
        const SCRIPT: &str = "import sys, awslambdaric; print('python%d.%d' % sys.version_info[:2])";
        let mut candidates: Vec<OsString> = std::env::var_os("KLR_PYTHON").into_iter().collect();
        candidates.extend([OsString::from(self.runtime), OsString::from("python3")]);
        let below = format!("python/lib/{}/site-packages", self.runtime);
        let mut paths: Vec<PathBuf> = self.layers.folders(&below).collect();
        paths.extend(self.layers.folders("python").chain([PathBuf::from("/var/runtime")]));
        paths.extend(std::env::var_os("PYTHONPATH").iter().flat_map(std::env::split_paths));
        let paths = std::env::join_paths(paths).unwrap_or_default();
        for program in &candidates {
            let mut probe = Command::new(program);
            // It may be packaged with the code, which `-c` has first on its path.
            probe.args(["-c", SCRIPT]).current_dir(self.directory).env("PYTHONPATH", &paths);
            let Some(runtime) = told(probe).await else { continue };
            let arguments = ["-m", "awslambdaric", self.handler].map(OsString::from).to_vec();
            return Ok(Client { program: program.clone(), arguments, runtime });
        }
        let install = format!(
            "`pip install awslambdaric` into one of them, or beside the code (`pip install --target {} awslambdaric`), or \
             name its interpreter in KLR_PYTHON",
            self.directory.display()
        );
        Err(self.missing("awslambdaric", &candidates, install))
    }

    async fn node(&self) -> Result<Client, Error> {
        const BINARY: &str = "node_modules/.bin/aws-lambda-ric";
        let mut candidates: Vec<PathBuf> =
            std::env::var_os("KLR_NODE_RIC").into_iter().map(Into::into).collect();
        candidates.push(self.directory.join(BINARY));
        candidates.extend(self.layers.each(&format!("nodejs/{BINARY}")));
        candidates.extend(["/usr/local/lib", "/usr/lib"].map(|lib| Path::new(lib).join(BINARY)));
        candidates.extend(on_path("aws-lambda-ric"));
        let Some(script) = candidates.iter().find(|path| path.is_file()) else {
            let install = "`npm install aws-lambda-ric` beside the code or `npm install -g aws-lambda-ric` (Debian needs \
                           g++, make, cmake, python3, autoconf, automake and libtool for it), or name its program in \
                           KLR_NODE_RIC";
            return Err(self.missing("aws-lambda-ric", &candidates, install.to_owned()));
        };
        let program = std::env::var_os("KLR_NODE").unwrap_or_else(|| "node".into());
        let mut probe = Command::new(&program);
        probe.arg("--version");
        let version = told(probe).await;
        let Some(major) = version.as_deref().and_then(|told| told.strip_prefix('v')?.split('.').next())
        else {
            let install =
                "install Node.js (Debian: `apt-get install nodejs`), or name its program in KLR_NODE";
            return Err(self.missing("node", &[program], install.to_owned()));
        };
        let arguments = vec![script.clone().into(), self.handler.into()];
        Ok(Client { program, arguments, runtime: format!("nodejs{major}.x") })
    }

    fn java(&self) -> Result<Client, Error> {
        const CLIENT: &str = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";
        // As on Lambda: the code, its libraries, the layers' libraries.
        let mut libraries = vec![self.directory.join("lib")];
        libraries.extend(self.layers.each("java/lib"));
        libraries.extend(std::env::var_os("KLR_JAVA_RIC").map(PathBuf::from));
        libraries.extend(["/var/runtime/lib", "/usr/share/java"].map(PathBuf::from));
        let unpacked = self.directory.join(CLIENT.replace('.', "/")).with_extension("class");
        let with_client =
            libraries.iter().find(|folder| has_jar(folder, "aws-lambda-java-runtime-interface-client"));
        let Some(java) = java_home().or_else(|| on_path("java").into_iter().next()) else {
            let install =
                "install a Java runtime (Debian: `apt-get install default-jre-headless`), or set JAVA_HOME";
            return Err(self.missing("java", &[PathBuf::from("java")], install.to_owned()));
        };
        if with_client.is_none() && !unpacked.is_file() {
            let install = "put com.amazonaws:aws-lambda-java-runtime-interface-client and what it needs into the code's lib \
                           (`mvn dependency:copy-dependencies -DoutputDirectory=lib`), or name a folder with its jars in \
                           KLR_JAVA_RIC; for a jar with everything in it give the command: `-- java -cp app.jar \
                           com.amazonaws.services.lambda.runtime.api.client.AWSLambda HANDLER`";
            return Err(self.missing("the Java runtime interface client", &libraries, install.to_owned()));
        }
        let mut path = vec![self.directory.to_owned(), self.directory.join("lib/*")];
        path.extend(self.layers.folders("java/lib").map(|folder| folder.join("*")));
        path.extend(with_client.map(|folder| folder.join("*")).filter(|entry| !path.contains(entry)));
        path.extend(std::env::var_os("CLASSPATH").iter().flat_map(std::env::split_paths));
        let path = std::env::join_paths(path).map_err(|_| Error::Directory {
            what: "code",
            path: self.directory.to_owned(),
            error: std::io::Error::other("a class path cannot hold a folder with `:` in its name"),
        })?;
        let arguments = vec!["-cp".into(), path, CLIENT.into(), self.handler.into()];
        let runtime = java_version(&java).unwrap_or_else(|| self.runtime.to_owned());
        Ok(Client { program: java.into(), arguments, runtime })
    }

    async fn ruby(&self) -> Result<Client, Error> {
        let mut candidates: Vec<PathBuf> =
            std::env::var_os("KLR_RUBY_RIC").into_iter().map(Into::into).collect();
        candidates.extend(
            ["bin/aws_lambda_ric", "vendor/bin/aws_lambda_ric"].map(|path| self.directory.join(path)),
        );
        candidates.extend(self.layers.each("bin/aws_lambda_ric"));
        candidates.extend(on_path("aws_lambda_ric"));
        let Some(program) = candidates.iter().find(|path| path.is_file()) else {
            let install = "`gem install aws_lambda_ric`, or `bundle binstubs aws_lambda_ric` beside the code, or name its \
                           program in KLR_RUBY_RIC";
            return Err(self.missing("aws_lambda_ric", &candidates, install.to_owned()));
        };
        let mut probe = Command::new("ruby");
        probe.args(["-e", "print 'ruby', RUBY_VERSION[/^\\d+\\.\\d+/]"]);
        let runtime = told(probe).await.unwrap_or_else(|| self.runtime.to_owned());
        Ok(Client { program: program.into(), arguments: vec![self.handler.into()], runtime })
    }

    fn missing<P: AsRef<std::ffi::OsStr>>(
        &self,
        client: &'static str,
        looked: &[P],
        install: String,
    ) -> Error {
        let looked: Vec<_> = looked.iter().map(|path| path.as_ref().to_string_lossy()).collect();
        Error::NoClient { runtime: self.runtime.to_owned(), client, looked: looked.join(", "), install }
    }
}

/// What a program prints, if it succeeds.
async fn told(mut probe: Command) -> Option<String> {
    probe.kill_on_drop(true).stdin(Stdio::null());
    let output = tokio::time::timeout(PROBE, probe.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn has_jar(folder: &Path, name: &str) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| {
        let file = entry.file_name();
        file.to_str().is_some_and(|file| file.starts_with(name) && file.ends_with(".jar"))
    })
}

fn java_home() -> Option<PathBuf> {
    let java = PathBuf::from(std::env::var_os("JAVA_HOME")?).join("bin/java");
    java.is_file().then_some(java)
}

/// From the file beside it: asking Java itself takes longer than a function's whole start may.
fn java_version(java: &Path) -> Option<String> {
    let release = java.canonicalize().ok()?.parent()?.parent()?.join("release");
    let text = std::fs::read_to_string(release).ok()?;
    let version = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    // Java 8 calls itself 1.8.
    let version = version.strip_prefix("1.").unwrap_or(version);
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    (!major.is_empty()).then(|| format!("java{major}"))
}
