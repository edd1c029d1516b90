//! The search paths of a function: for programs, libraries and the modules of each language.
//!
//! What the user, or the image, set comes first and is kept; then what Lambda would have found in the code, the layers and
//! its own folders. Folders that are not there are left out, so that a function in Go is not told about Ruby.

use std::{ffi::OsString, path::PathBuf};

use super::inherited::Environment;
use crate::launch::Launch;

/// Lambda's own, where neither host nor user has one. It ends with the layers' place.
const DEFAULT_PATH: &str = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin";

/// Completes the search paths in `all`.
pub(super) fn complete(all: &mut Environment, launch: &Launch) {
    let (code, layers) = (&launch.directory, &launch.layers);
    all.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
    append(all, launch, "PATH", layers.folders("bin"));
    // Lambda names the system's folders too. The loader looks there anyway, and naming them would put them before what a
    // program brings along.
    let libraries = ["/var/lang/lib", "/var/runtime", "/var/runtime/lib"].map(PathBuf::from).into_iter();
    let libraries = libraries.chain([code.clone(), code.join("lib")]).filter(|path| path.is_dir());
    append(all, launch, "LD_LIBRARY_PATH", libraries.chain(layers.folders("lib")));
    let runtime = launch.runtime.as_deref().unwrap_or_default();
    python(all, launch, runtime);
    node(all, launch, runtime);
    ruby(all, launch, runtime);
    if runtime.starts_with("java") {
        let jars = [code.clone(), code.join("lib/*")].into_iter();
        append(
            all,
            launch,
            "CLASSPATH",
            jars.chain(layers.folders("java/lib").map(|folder| folder.join("*"))),
        );
    }
}

fn python(all: &mut Environment, launch: &Launch, runtime: &str) {
    let own =
        Some(PathBuf::from("/var/runtime")).filter(|path| runtime.starts_with("python") && path.is_dir());
    let versioned = format!("python/lib/{runtime}/site-packages");
    let versioned = launch.layers.folders(&versioned).filter(|_| runtime.starts_with("python"));
    append(all, launch, "PYTHONPATH", versioned.chain(launch.layers.folders("python")).chain(own));
}

fn node(all: &mut Environment, launch: &Launch, runtime: &str) {
    let major = runtime.strip_prefix("nodejs").map(|version| version.trim_end_matches(".x"));
    let versioned = format!("nodejs/node{}/node_modules", major.unwrap_or("?"));
    let modules = launch.layers.folders(&versioned).chain(launch.layers.folders("nodejs/node_modules"));
    let own = ["/var/runtime/node_modules", "/var/runtime"].map(PathBuf::from).into_iter();
    let own = own.filter(|path| path.is_dir()).chain([launch.directory.clone()]).filter(|_| major.is_some());
    append(all, launch, "NODE_PATH", modules.chain(own));
}

fn ruby(all: &mut Environment, launch: &Launch, runtime: &str) {
    let (code, layers) = (&launch.directory, &launch.layers);
    let is_ruby = runtime.starts_with("ruby");
    if let Some(version) = runtime.strip_prefix("ruby") {
        let bundle = Some(code.join(format!("vendor/bundle/ruby/{version}.0"))).filter(|path| path.is_dir());
        let gems = format!("ruby/gems/{version}.0");
        append(all, launch, "GEM_PATH", bundle.into_iter().chain(layers.folders(&gems)));
    }
    let own = [code.clone(), "/var/runtime/lib".into()].into_iter().filter(|path| is_ruby && path.is_dir());
    append(all, launch, "RUBYLIB", own.chain(layers.folders("ruby/lib")));
}

/// Appends what is not on the path yet, as processes see it.
fn append(all: &mut Environment, launch: &Launch, name: &str, folders: impl Iterator<Item = PathBuf>) {
    let given = all.get(std::ffi::OsStr::new(name)).cloned().unwrap_or_default();
    let mut path: Vec<PathBuf> =
        std::env::split_paths(&given).filter(|path| !path.as_os_str().is_empty()).collect();
    let had = path.len();
    for folder in folders {
        let folder = launch.seen(folder);
        // One with a `:` in its name cannot be on a path.
        let fits = !folder.to_string_lossy().contains(':');
        if fits && !path.contains(&folder) {
            path.push(folder);
        }
    }
    if path.len() > had {
        let joined = std::env::join_paths(path).unwrap_or(given);
        all.insert(OsString::from(name), joined);
    }
}
