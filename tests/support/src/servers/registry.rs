//! A schema registry.

use std::collections::HashMap;
use std::process::Command;
use std::sync::OnceLock;

use super::server::Server;

/// Apicurio, without schemas; no credentials. It forgets everything when stopped.
#[derive(Debug)]
pub struct Apicurio {
    /// Where it speaks Confluent's API.
    pub url: String,
    server: Server,
}

impl Apicurio {
    /// One for this test alone. `None`: no Java here.
    pub fn start() -> Option<Self> {
        let server = Server::start::<2>("apicurio", HashMap::new())?;
        Some(Self { url: format!("{}/apis/ccompat/v7", server.endpoint()), server })
    }

    /// The one all tests of this process share; give every test its own subjects.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Apicurio>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Registers a schema, as Confluent's clients do (`{"schema": "…", "schemaType": …, "references": …}`); answers its number.
    pub fn register(&self, subject: &str, request: &str) -> u32 {
        let url = format!("{}/subjects/{subject}/versions", self.url);
        let accept = "content-type: application/vnd.schemaregistry.v1+json";
        let output = Command::new("curl").args(["-sS", "-H", accept, "-d", request, &url]).output();
        let answer =
            String::from_utf8(output.expect("curl was there to start it").stdout).expect("JSON is UTF-8");
        let id = answer.strip_prefix(r#"{"id":"#).and_then(|rest| rest.split(['}', ',']).next());
        id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{subject} was not registered: {answer}"))
    }

    /// A crash.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again on the same ports, empty.
    pub fn start_again(&mut self) {
        self.server.start_again();
    }
}
