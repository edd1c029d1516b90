//! External extensions: the executable files directly in an extensions folder.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use crate::layers::Layers;

/// The extensions of all layers and of `/opt`, in the order of their names, which is that of their start. Of two with one name
/// the one counts whose layer wins.
pub(crate) fn find(layers: &Layers) -> Vec<PathBuf> {
    let mut found = std::collections::BTreeMap::new();
    for folder in layers.folders("extensions") {
        let Ok(entries) = folder.read_dir() else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            // A symbolic link counts as what it leads to.
            let executable =
                path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
            if executable {
                found.entry(entry.file_name()).or_insert(path);
            }
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_files_directly_in_the_folder_count() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (layer, name, mode) in
            [(&first, "b", 0o755), (&first, "both", 0o755), (&first, "data", 0o644), (&second, "both", 0o700)]
        {
            let folder = layer.path().join("extensions");
            std::fs::create_dir_all(folder.join("inner")).unwrap();
            std::fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let (first, second) = (first.path().canonicalize().unwrap(), second.path().canonicalize().unwrap());
        let found = find(&Layers::find(&[first.clone(), second.clone()]).unwrap());
        let ours: Vec<_> = found.into_iter().filter(|path| !path.starts_with("/opt")).collect();
        assert_eq!(ours, [first.join("extensions/b"), second.join("extensions/both")]);
    }
}
