//! The Extensions API: processes (external) and threads of the function (internal) that live beside it and are told of its
//! invocations and of its end.

pub(crate) mod api;
mod folder;
mod processes;
mod registry;
pub(crate) mod shutdown;
mod state;

pub(crate) use self::{
    folder::find,
    processes::Processes,
    registry::{Failure, Registry},
    state::Event,
};
