//! What users write, and what it means.
//!
//! A file is read twice: for its values, and for the line each of them stands on (`document`, `lines`). What was typed
//! is a tree of nodes that know their path (`node`); what it means are the types exported here, valid by construction.
//! All checking happens on the way from the one to the other, and finds everything that is wrong, not just the first.
//! What this version cannot do is refused by name, in one place: `not_yet`.

// What only one source needs stands beside the rest; a build without that source does not use it.
#![cfg_attr(not(all(feature = "sqs", feature = "kafka", feature = "s3")), allow(dead_code, unused_imports))]

mod access;
mod conflict;
pub mod destination;
mod document;
mod filters;
mod function;
#[cfg(feature = "kafka")]
mod kafka;
mod lines;
mod mapping;
mod name;
mod node;
mod not_yet;
mod notification;
mod problem;
#[cfg(feature = "kafka")]
mod registry;
mod request;
mod resource;
#[cfg(feature = "s3")]
mod s3;
mod secret;
#[cfg(feature = "sqs")]
mod sqs;
mod start;
#[cfg(any(feature = "kinesis", feature = "dynamodb"))]
mod stream;
mod target;

use std::path::PathBuf;

pub use access::{Access, AccessKind};
#[cfg(feature = "kafka")]
pub use access::{resolve, resolve_registry};
pub use function::Function;
pub use mapping::{Mapping, Source};
pub use name::function_arn;
pub use notification::{Notification, Receive};
pub use problem::{Failure, Place, Problem};
pub use request::{LeftOut, request};
pub use secret::{Error as SecretError, SecretRef};
pub use target::{Environment, LARGEST_EVENT, Sink, Target, implied};

use crate::deliver::AckMode;
use document::Document;
use resource::Resource;

/// Everything in the files.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// What is polled for.
    pub mappings: Vec<Mapping>,
    /// What buckets tell.
    pub notifications: Vec<Notification>,
    /// What klr runs itself.
    pub functions: Vec<Function>,
}

/// Reads YAML or JSON files, several documents in each; `-` is stdin. A target that only the environment can name is
/// left [`Target::Unresolved`]: a file may be checked where it does not run.
pub fn load(files: &[PathBuf]) -> Result<Resources, Failure> {
    read(&document::read(files)?)
}

/// The resources in the files as they were written, if there is nothing wrong with them.
pub fn written(files: &[PathBuf]) -> Result<Vec<serde_json::Value>, Failure> {
    let documents = document::read(files)?;
    read(&documents)?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

/// Reads one resource that came another way than in a file; `origin` stands for the file in what is wrong with it.
pub fn of(value: serde_json::Value, origin: &str) -> Result<Resources, Failure> {
    read(&[Document::of(value, origin)])
}

fn read(documents: &[Document]) -> Result<Resources, Failure> {
    let mut resources = Resources::default();
    let mut problems = Vec::new();
    for document in documents {
        let (resource, found) = resource::read(document);
        problems.extend(found);
        match resource {
            Some(Resource::Mapping(mapping)) => resources.mappings.push(*mapping),
            Some(Resource::Notification(notification)) => resources.notifications.push(*notification),
            Some(Resource::Function(function)) => resources.functions.push(*function),
            None => {}
        }
    }
    resources.meet_functions();
    problems.extend(conflict::find(&resources));
    Failure::unless_none(problems)?;
    Ok(resources)
}

impl Resources {
    /// Gives what has no target yet that of the environment; refuses what is left without one.
    pub fn resolve(&mut self, environment: &Environment) -> Result<(), Failure> {
        let sink = environment.sink();
        let mut problems = Vec::new();
        for mapping in &mut self.mappings {
            let function = mapping.function_name().to_owned();
            let failure = resolve_one(&mut mapping.target, &mapping.place, &function, sink.as_ref());
            problems.extend(failure);
            if let Target::Environment(sink) = &mapping.target
                && sink.ack_mode() == AckMode::Accepted
            {
                problems.extend(mapping.needs_an_answer());
            }
        }
        for notification in &mut self.notifications {
            let function = notification.function_name().to_owned();
            problems.extend(resolve_one(
                &mut notification.target,
                &notification.place,
                &function,
                sink.as_ref(),
            ));
        }
        Failure::unless_none(problems)
    }

    /// A `Function` of the right name is the target of what has no sink of its own.
    fn meet_functions(&mut self) {
        let functions = &self.functions;
        let meet = |target: &mut Target, name: &str| {
            if *target == Target::Unresolved && functions.iter().any(|function| function.name == name) {
                *target = Target::Function(name.to_owned());
            }
        };
        for mapping in &mut self.mappings {
            let name = mapping.function_name().to_owned();
            meet(&mut mapping.target, &name);
        }
        for notification in &mut self.notifications {
            let name = notification.function_name().to_owned();
            meet(&mut notification.target, &name);
        }
    }
}

/// A server that speaks the source's protocol.
fn endpoint(node: &node::Node) -> Option<String> {
    let expected = "must be an http or https address, as http://localhost:9324";
    let text = node.text()?;
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(text.to_owned()),
        _ => node.refuse(expected),
    }
}

fn resolve_one(
    target: &mut Target,
    place: &Place,
    function: &str,
    sink: Option<&Result<Sink, String>>,
) -> Option<Problem> {
    if *target != Target::Unresolved {
        return None;
    }
    let message = match sink {
        Some(Ok(sink)) => {
            *target = Target::Environment(sink.clone());
            return None;
        }
        Some(Err(why)) => why.clone(),
        None => format!(
            "nowhere to deliver to: set sink: {{uri: …}}, add a Function named {function} to the files, or start klr \
             with K_SINK (a SinkBinding or ContainerSource sets it); spec.lambda is not there yet"
        ),
    };
    Some(Problem { place: place.clone(), field: "spec.sink".to_owned(), message })
}

#[cfg(test)]
mod tests;
