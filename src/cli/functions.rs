//! `klr functions`: the functions a running bridge runs, from files and from its Lambda API.

use std::process::ExitCode;

use serde_json::json;

use super::{
    admin::{Function, Listing},
    table::table,
};

pub(super) async fn run(listing: Listing) -> ExitCode {
    listing.print(listing.bridge.functions().await, |function| json!(function), lines)
}

fn lines(functions: &[Function]) -> Vec<String> {
    let head = ["NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "VERSIONS", "STATE", "ORIGIN"];
    let row = |function: &Function| {
        let versions = function.versions.iter().map(u64::to_string);
        let aliases = function.aliases.iter().map(|(alias, version)| format!("{alias}={version}"));
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        [
            function.name.clone(),
            text(&function.runtime),
            text(&function.handler),
            format!("{} MB", function.memory_size),
            format!("{} s", function.timeout),
            Some(versions.chain(aliases).collect::<Vec<_>>().join(","))
                .filter(|all| !all.is_empty())
                .unwrap_or_else(|| "-".to_owned()),
            function.state.clone(),
            function.origin.clone(),
        ]
    };
    table(head, functions.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_aliases_stand_beside_each_other() {
        let told = json!([
            {
                "name": "thumbs", "origin": "api", "runtime": "python3.13", "handler": "app.handler", "memorySize": 128,
                "timeout": 3, "state": "Active", "versions": [1, 2], "aliases": {"live": "2"},
            },
            { "name": "f", "origin": "f.yaml:1", "memorySize": 1024, "timeout": 900, "state": "Active" },
        ]);
        let told: Vec<Function> = serde_json::from_value(told).unwrap();
        assert_eq!(
            lines(&told),
            [
                "NAME    RUNTIME     HANDLER      MEMORY   TIMEOUT  VERSIONS    STATE   ORIGIN",
                "thumbs  python3.13  app.handler  128 MB   3 s      1,2,live=2  Active  api",
                "f       -           -            1024 MB  900 s    -           Active  f.yaml:1",
            ]
        );
    }
}
