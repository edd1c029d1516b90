//! Amazon SQS as a Lambda event source: any server that speaks its API, standard and FIFO queues.
//!
//! [`Queue`] does the input and output, [`Shape`] turns a [`Message`] into the record a function sees. Who wants the
//! messages themselves (S3 notifications that come through a queue) takes [`Queue::receive_messages`].
//!
//! A queue is also where a mapping may send what it gives up: [`Destination`].

mod config;
mod destination;
mod message;
mod settle;
mod shape;
mod source;

pub use config::Config;
pub use destination::Destination;
pub use message::{Attribute, Content, Message, NotAMessage};
pub use shape::{Shape, records};
pub use source::Queue;
