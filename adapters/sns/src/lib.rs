//! Amazon SNS: a topic as a [`Destination`].

mod destination;

pub use destination::Destination;
