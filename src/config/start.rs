//! Where a log that was never read begins.

use jiff::Timestamp;

use super::node::{Fields, Node};

/// `StartingPosition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At the oldest record.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
    /// At the first record of this moment or later.
    AtTimestamp(Timestamp),
}

/// Reads it; it is required, as on AWS.
pub(super) fn read(spec: &Fields) -> Option<Start> {
    let time = spec.get("startingPositionTimestamp");
    let Some(node) = spec.get("startingPosition") else {
        spec.missing(
            "startingPosition",
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must \
             not be null. Use LATEST, AT_TIMESTAMP or TRIM_HORIZON",
        );
        return None;
    };
    let start = match node.text()? {
        "TRIM_HORIZON" => Start::TrimHorizon,
        "LATEST" => Start::Latest,
        "AT_TIMESTAMP" => {
            let Some(time) = time else {
                spec.missing("startingPositionTimestamp", "is required with AT_TIMESTAMP");
                return None;
            };
            return timestamp(&time).map(Start::AtTimestamp);
        }
        other => {
            return node.refuse(format!(
                "1 validation error detected: Value '{other}' at 'startingPosition' failed to satisfy constraint: \
                 Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]"
            ));
        }
    };
    if let Some(time) = time {
        time.wrong("is for startingPosition AT_TIMESTAMP only; remove it");
    }
    Some(start)
}

/// Seconds since 1970, or ISO 8601.
fn timestamp(node: &Node) -> Option<Timestamp> {
    let time = match node.number() {
        // Milliseconds are what logs keep; whole ones survive the way through a float.
        Some(seconds) => Timestamp::from_millisecond((seconds * 1000.0).round() as i64).ok(),
        None => node.text()?.parse().ok(),
    };
    match time {
        None => node.refuse("must be seconds since 1970 or a time as 2026-01-01T00:00:00Z"),
        Some(time) if time > Timestamp::now() => node.refuse("must not be in the future"),
        time => time,
    }
}
