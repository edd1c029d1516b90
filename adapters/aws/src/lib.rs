//! What every AWS adapter needs: who we are, where to call, how often to try, what an answer means; and [`shards`], how a
//! stream of shards is read, whichever service it is of.
//!
//! Credentials, regions and endpoints come from where the AWS command line takes them. One thing is added: a client that
//! is pointed at another endpoint and finds no credentials gets made-up ones, because an emulator on a laptop has no
//! secrets and should need none.

mod arn;
mod batch_info;
mod config;
mod error;
pub mod event;
mod identity;
mod secret;
pub mod shards;

pub use arn::{Arn, NotAnArn};
pub use batch_info::BatchInfo;
pub use config::{config, credentials, elsewhere, region, standard_chain};
pub use error::{NO_QUEUE, failure, lost};
pub use identity::WebIdentity;
pub use secret::{secret, secret_at};
