#[cfg(feature = "state")]
mod again;
#[cfg(feature = "state")]
mod crash;
#[cfg(feature = "state")]
mod file;
#[cfg(feature = "state")]
mod full;
#[cfg(feature = "table")]
mod proxy;
#[cfg(feature = "table")]
mod table;

use klr_contract::{Mark, Row};

fn row(partition: &str, at: &str, version: u64) -> Row {
    Row {
        partition: partition.to_owned(),
        stream: "stream".to_owned(),
        mark: Mark::After(at.to_owned()),
        owner: None,
        version,
    }
}
