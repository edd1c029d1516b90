//! A certificate authority of the test's own, and what it vouches for.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::servers::unavailable;

/// A server's certificate for `localhost` and 127.0.0.1, and the authority that signed it.
pub struct Identity {
    /// The authority's certificate, PEM: what a client is to trust.
    pub ca: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl Identity {
    /// Made anew. `None`: no openssl here.
    pub fn new() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        std::fs::write(dir.path().join("server.ext"), extensions)
            .expect("the temporary directory can be written");
        for command in [
            format!("req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=klr-test-ca"),
            format!("req {curve} -keyout server.key -out server.csr -subj /CN=server"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile server.ext".to_owned(),
        ] {
            openssl(dir.path(), &command)?;
        }
        let pem = |name: &str| std::fs::read(dir.path().join(name)).expect("openssl wrote it");
        let certificate = CertificateDer::from_pem_slice(&pem("server.pem")).expect("openssl writes PEM");
        let key = PrivateKeyDer::from_pem_slice(&pem("server.key")).expect("openssl writes PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("key and certificate belong together");
        let ca = String::from_utf8(pem("ca.pem")).expect("PEM is ASCII");
        Some(Self { ca, acceptor: Arc::new(config).into() })
    }
}

fn openssl(dir: &Path, arguments: &str) -> Option<()> {
    let output = match Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output() {
        Ok(output) => output,
        Err(error) => {
            unavailable("openssl", &error.to_string());
            return None;
        }
    };
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {words}");
    Some(())
}
