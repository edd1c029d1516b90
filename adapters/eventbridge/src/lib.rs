//! Amazon EventBridge: a bus as a [`Destination`].

mod destination;

pub use destination::{Destination, Event};
