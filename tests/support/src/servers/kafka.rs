use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::process::{End, Process, free_ports};

/// Apache Kafka in KRaft mode: one node with its own ports and data, gone when dropped.
#[derive(Debug)]
pub struct Kafka {
    /// PLAINTEXT `host:port`.
    pub bootstrap: String,
    /// SASL_SSL `host:port`: PLAIN, SCRAM-SHA-256 and -512, OAUTHBEARER with unsecured tokens.
    pub sasl_bootstrap: String,
    /// SSL `host:port`; a client certificate is asked for, not required.
    pub tls_bootstrap: String,
    /// PEM of the CA that signed everything here.
    pub ca: PathBuf,
    /// PEM of a client certificate.
    pub client_certificate: PathBuf,
    /// PEM (PKCS#8) of its key.
    pub client_key: PathBuf,
    /// SASL username.
    pub user: &'static str,
    /// SASL password.
    pub password: &'static str,
    process: Option<Process>,
    ports: [u16; 4],
    env: HashMap<String, String>,
    dir: TempDir,
}

/// What a test may want otherwise.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More `server.properties` lines; they win over ours.
    pub properties: String,
    /// Java heap, as in `512m`.
    pub heap: Option<String>,
}

impl Kafka {
    /// One for this test alone. `None`: no Java here.
    pub fn start() -> Option<Self> {
        Self::start_with(Options::default())
    }

    /// One with settings of its own.
    pub fn start_with(options: Options) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut env = HashMap::from([("KAFKA_EXTRA".to_owned(), options.properties)]);
        env.extend(options.heap.map(|heap| ("KAFKA_HEAP".to_owned(), heap)));
        let ports = free_ports();
        let [plain, _, sasl, tls] = ports;
        let pem = |name: &str| dir.path().join("tls").join(name);
        let mut kafka = Self {
            bootstrap: format!("127.0.0.1:{plain}"),
            sasl_bootstrap: format!("localhost:{sasl}"),
            tls_bootstrap: format!("localhost:{tls}"),
            ca: pem("ca.pem"),
            client_certificate: pem("client.pem"),
            client_key: pem("client.key"),
            user: "app",
            password: "app-secret",
            process: None,
            ports,
            env,
            dir,
        };
        kafka.process = Some(Process::start("kafka", kafka.dir.path(), &ports, &kafka.env)?);
        Some(kafka)
    }

    /// The one all tests of this process share; give every test its own topics.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Kafka>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A controlled shutdown.
    pub fn stop(&mut self) {
        self.end(End::Stop);
    }

    /// A crash.
    pub fn kill(&mut self) {
        self.end(End::Kill);
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill): same ports, same data.
    pub fn start_again(&mut self) {
        let process = Process::start("kafka", self.dir.path(), &self.ports, &self.env);
        self.process = Some(process.expect("it has started on this machine before"));
    }

    fn end(&mut self, how: End) {
        if let Some(mut process) = self.process.take() {
            process.end(how);
        }
    }
}
