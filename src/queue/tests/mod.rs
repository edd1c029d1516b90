//! The queue as a whole, on a real disk.

mod admin;
mod again;
mod crash;
#[cfg(all(feature = "sqs", feature = "sns", feature = "s3-destination", feature = "eventbridge"))]
mod destinations;
mod drive;
mod full;
mod world;
