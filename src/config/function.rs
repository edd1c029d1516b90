//! A function that klr runs itself, under the host.

use std::path::PathBuf;
use std::time::Duration;

use super::node::{Fields, Node};
use super::not_yet;
use super::problem::Place;
use super::resource::Meta;

/// Processes a function may have where the file does not say. AWS has no such limit; a laptop has.
const CONCURRENCY: usize = 10;

/// A function, valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// `metadata.name`: what mappings call it.
    pub name: String,
    /// `metadata.namespace`, else `default`.
    pub namespace: String,
    /// Where it was written.
    pub place: Place,
    /// `python3.12`, `provided.al2023`, …
    pub runtime: Option<String>,
    /// What the runtime client calls.
    pub handler: Option<String>,
    /// The runtime client and its arguments; empty: the runtime's own.
    pub command: Vec<String>,
    /// The directory the code is in, seen from the working directory; `None`: the working directory itself.
    pub code: Option<PathBuf>,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// MB; told to the function.
    pub memory_size: u32,
    /// How many processes of it there may be; they are started as they are needed.
    pub concurrency: usize,
    /// Directories that stand for unpacked layers, in order.
    pub layers: Vec<PathBuf>,
    /// Its own variables.
    pub environment: Vec<(String, String)>,
}

/// Reads `spec`; what is wrong with it is noted where it stands.
pub(super) fn read(meta: &Meta, spec: &Node) -> Option<Function> {
    let spec = spec.fields(&[
        "code",
        "command",
        "concurrency",
        "environment",
        "handler",
        "memorySize",
        "runtime",
        "timeout",
        "layers",
        "destinationConfig",
        "deadLetterConfig",
        "ephemeralStorage",
        "fileSystemConfigs",
        "imageConfig",
        "loggingConfig",
        "snapStart",
        "tracingConfig",
        "vpcConfig",
    ])?;
    for field in not_yet::FUNCTION {
        if let Some(node) = spec.get(field) {
            node.wrong(not_yet::cannot(&format!("honour {field}"), "remove it"));
        }
    }
    let word = |name| spec.get(name).and_then(|node: Node| node.word()).map(str::to_owned);
    let seconds = spec.get("timeout").and_then(|node| node.whole(1..=900)).unwrap_or(3);
    let memory = spec.get("memorySize").and_then(|node| node.whole(128..=10_240)).unwrap_or(128);
    let function = Function {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        place: spec.node().place(),
        runtime: word("runtime"),
        handler: word("handler"),
        command: command(&spec),
        code: code(&spec),
        timeout: Duration::from_secs(seconds.unsigned_abs()),
        memory_size: u32::try_from(memory).unwrap_or(128),
        concurrency: spec.get("concurrency").and_then(|node| node.size(1..=1000)).unwrap_or(CONCURRENCY),
        layers: layers(&spec),
        environment: environment(&spec),
    };
    if spec.get("command").is_none() {
        runtime(&spec);
    }
    Some(function)
}

/// Without a command the host looks for the runtime's own client.
fn runtime(spec: &Fields) {
    let Some(node) = spec.get("runtime") else {
        return spec.missing(
            "command",
            "must be the runtime client to start, as [python3, -m, awslambdaric, app.handler]; or set runtime",
        );
    };
    let Some(text) = node.text() else { return };
    let managed = ["python3.", "nodejs", "java", "ruby"].iter().any(|family| text.starts_with(family));
    if managed && spec.get("handler").is_none() {
        spec.missing("handler", "is required with a managed runtime, as app.handler");
    }
    if !managed && !text.starts_with("provided") && !text.starts_with("go1.") {
        node.wrong(not_yet::cannot("find this runtime's client", "name it as command"));
    }
}

fn command(spec: &Fields) -> Vec<String> {
    let Some(list) = spec.get("command") else {
        return Vec::new();
    };
    let Some(items) = list.items() else {
        return Vec::new();
    };
    if items.is_empty() {
        list.wrong("must name a program");
    }
    items.iter().filter_map(|item| item.text()).map(str::to_owned).collect()
}

/// A path in a file is seen from that file.
fn code(spec: &Fields) -> Option<PathBuf> {
    let node = spec.get("code")?;
    let path =
        if node.is_text() { node.word()? } else { node.fields(&["path"])?.required("path")?.word()? };
    Some(node.document().directory.join(path))
}

/// On AWS a layer is an ARN; here it is where it was unpacked.
fn layers(spec: &Fields) -> Vec<PathBuf> {
    let items = spec.get("layers").and_then(|node| node.items()).unwrap_or_default();
    let layer = |node: &Node| {
        let text = node.text()?;
        if text.starts_with("arn:") {
            return node.refuse(not_yet::cannot("fetch a layer", "name the directory it is unpacked in"));
        }
        Some(node.document().directory.join(text))
    };
    items.iter().filter_map(layer).collect()
}

fn environment(spec: &Fields) -> Vec<(String, String)> {
    let variables = || spec.get("environment")?.fields(&["variables"])?.get("variables")?.entries();
    let mut environment = Vec::new();
    for (name, node) in variables().unwrap_or_default() {
        let mut letters = name.chars();
        let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
        if !begins || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            node.wrong("a variable's name must be letters, digits and _, beginning with a letter");
        }
        if let Some(value) = node.text() {
            environment.push((name.to_owned(), value.to_owned()));
        }
    }
    environment
}
