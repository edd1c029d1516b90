//! Push triggers: a carriage (a webhook, a queue) joined to a shape.

#[cfg(feature = "s3")]
pub mod bucket;
