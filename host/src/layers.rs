//! Unpacked layers: where each puts what it brings, and which of two wins.
//!
//! On Lambda layers are merged into `/opt`, a later one over an earlier. Where the machine lets us mount (the module `mount`),
//! the function's processes see them so. Elsewhere search paths name each layer's own folders, the last layer's first, and the
//! real `/opt` after them; what names a file in `/opt` by its full path finds it only if it is there.

use std::path::{Path, PathBuf};

use crate::Error;

/// The folders layers are in, the one that wins first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers(Vec<PathBuf>);

impl Layers {
    /// From the layers in the order they were given.
    pub(crate) fn find(given: &[PathBuf]) -> Result<Self, Error> {
        let mut folders = Vec::new();
        for path in given.iter().rev() {
            let whole = path.canonicalize();
            let whole =
                whole.map_err(|error| Error::Directory { what: "layer", path: path.clone(), error })?;
            if !whole.is_dir() {
                let error = std::io::ErrorKind::NotADirectory.into();
                return Err(Error::Directory { what: "layer", path: path.clone(), error });
            }
            folders.push(whole);
        }
        folders.push("/opt".into());
        Ok(Self(folders))
    }

    /// Those that were given: all but the machine's own `/opt`.
    pub(crate) fn given(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.iter().filter(|folder| folder.as_path() != Path::new("/opt"))
    }

    /// Leaves out the machine's own `/opt`.
    pub(crate) fn without_opt(&mut self) {
        self.0.pop();
    }

    /// Where `below` is in each of them, present or not.
    pub(crate) fn each<'a>(&'a self, below: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
        self.0.iter().map(move |folder| folder.join(below))
    }

    /// The folders of that name there are.
    pub(crate) fn folders<'a>(&'a self, below: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
        self.each(below).filter(|path| path.is_dir())
    }

    /// What a path into `/opt` means here: the file of the layer that wins.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix("/opt").ok();
        let found =
            below.and_then(|below| self.0.iter().map(|folder| folder.join(below)).find(|at| at.exists()));
        found.unwrap_or_else(|| path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_layer_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for layer in [&first, &second] {
            std::fs::create_dir(layer.path().join("bin")).unwrap();
            std::fs::write(layer.path().join("wrap"), "").unwrap();
        }
        std::fs::write(first.path().join("only"), "").unwrap();
        let layers = Layers::find(&[first.path().into(), second.path().into()]).unwrap();
        let (first, second) = (first.path().canonicalize().unwrap(), second.path().canonicalize().unwrap());
        assert_eq!(
            layers.folders("bin").take(2).collect::<Vec<_>>(),
            [second.join("bin"), first.join("bin")]
        );
        assert_eq!(layers.resolve(Path::new("/opt/wrap")), second.join("wrap"));
        assert_eq!(layers.resolve(Path::new("/opt/only")), first.join("only"));
        assert_eq!(layers.resolve(Path::new("/opt/nowhere")), Path::new("/opt/nowhere"));
        assert!(matches!(Layers::find(&["/no/such".into()]), Err(Error::Directory { what: "layer", .. })));
    }
}
