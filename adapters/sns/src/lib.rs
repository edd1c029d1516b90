//! Amazon SNS: a topic as an on-failure [`Destination`].

mod destination;

pub use destination::Destination;
