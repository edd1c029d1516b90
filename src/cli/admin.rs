//! What verbs ask of a running bridge.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::say;

/// Where it listens.
#[derive(Debug, clap::Args)]
pub(super) struct Bridge {
    /// The admin address of a running bridge
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
}

/// What a listing is of, and how it is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Listing {
    #[command(flatten)]
    pub bridge: Bridge,
    /// One JSON document a line, for programs
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    format: String,
}

impl Listing {
    /// Prints what the bridge told.
    pub fn print<T>(
        &self,
        told: Result<Vec<T>, NotThere>,
        document: impl Fn(&T) -> Value,
        lines: impl Fn(&[T]) -> Vec<String>,
    ) -> ExitCode {
        match told {
            Ok(all) if self.format == "json" => all.iter().map(document).for_each(say),
            Ok(all) => lines(&all).into_iter().for_each(say),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(3);
            }
        }
        ExitCode::SUCCESS
    }
}

/// One mapping, as `/mappings` tells of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    pub name: String,
    pub origin: String,
    pub state: String,
    pub last_processing_result: String,
    pub resource: Value,
}

/// One function, as `/functions` tells of it and `klr functions --format json` prints it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Function {
    pub name: String,
    pub origin: String,
    pub runtime: Option<String>,
    pub handler: Option<String>,
    pub memory_size: u32,
    /// Seconds.
    pub timeout: u64,
    pub state: String,
    /// Published ones.
    #[serde(default)]
    pub versions: Vec<u64>,
    /// With the version each points to.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct All {
    mappings: Vec<Told>,
}

#[derive(Debug, Deserialize)]
struct Functions {
    functions: Vec<Function>,
}

/// It is not there, or not what it should be: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("expected a running bridge at {admin} (klr run --admin), {why}")]
pub(super) struct NotThere {
    admin: SocketAddr,
    why: String,
}

impl Bridge {
    /// Everything it maps.
    pub async fn mappings(&self) -> Result<Vec<Told>, NotThere> {
        Ok(self.get::<All>("/mappings").await?.mappings)
    }

    /// Everything it runs.
    pub async fn functions(&self) -> Result<Vec<Function>, NotThere> {
        Ok(self.get::<Functions>("/functions").await?.functions)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NotThere> {
        let not_there = |why: String| NotThere { admin: self.admin, why };
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.map_err(|error| not_there(format!("and cannot ask: {error}")))?;
        let answer = client.get(format!("http://{}{path}", self.admin)).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let bytes = match answer {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|error| match error.status() {
            Some(status) => not_there(format!("it answers {path} with {status}")),
            None => not_there("nothing answers there".to_owned()),
        })?;
        serde_json::from_slice(&bytes).map_err(|_| not_there(format!("what answers {path} there is none")))
    }
}
