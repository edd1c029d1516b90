//! The queue as a whole, on a real disk.

mod admin;
mod again;
mod crash;
mod drive;
mod full;
mod world;
