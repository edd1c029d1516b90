//! The queue as a whole, on a real disk.

mod admin;
mod drive;
mod world;
