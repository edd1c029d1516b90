//! What a bucket notification says about the events it wants.

/// Which notifications a trigger takes. Valid by construction: the root's `config` checks what a user wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `s3.configurationId` where the sender gives none.
    pub id: String,
    /// Only this bucket's; any bucket when unset.
    pub bucket: Option<String>,
    /// Event types as written (`s3:ObjectCreated:*`); empty takes all.
    pub events: Vec<String>,
    /// Key prefix, compared with the form-encoded key as it stands in the event.
    pub prefix: Option<String>,
    /// Key suffix, likewise.
    pub suffix: Option<String>,
    /// Which `eventVersion` is written.
    pub version: EventVersion,
    /// Region to write when the sender gives none (MinIO).
    pub region: String,
}

/// Which `eventVersion` a record gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventVersion {
    /// AWS since July 2026: `2.5` for every type.
    #[default]
    Current,
    /// AWS through 2025: `2.1`, `2.2` for replication, `2.3` for lifecycle, Intelligent-Tiering, ACL, tagging, restore-delete.
    Y2025,
}
