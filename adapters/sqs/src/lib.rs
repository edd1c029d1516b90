//! TODO
mod config;
pub use config::*;
