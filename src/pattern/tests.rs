//! Verdicts that AWS, or event-ruler, gave.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::*;

/// Recorded facts lie beside the workspace and are never copied.
fn cases(file: &str) -> Vec<Value> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures"));
    let fixtures = std::env::var_os("KLR_FIXTURES").map_or_else(beside, PathBuf::from);
    let path = fixtures.join("patterns").join(file);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).expect("fixtures are JSON"),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{}: {error}", path.display()),
        Err(error) => {
            eprintln!("SKIPPED: {}: {error}", path.display());
            Vec::new()
        }
    }
}

/// A pattern or event, as text or as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn recorded_verdicts() {
    let mut wrong = Vec::new();
    for file in
        ["aws-test-event-pattern.json", "aws-extra.json", "array-consistency.json", "ruler-verdicts.json"]
    {
        for case in cases(file) {
            let (pattern, event) = (text(&case["pattern"]), text(&case["event"]));
            let (seen, why) = match Pattern::parse(&pattern) {
                Err(error) => ("error", error.aws()),
                Ok(pattern) if pattern.matches(event.as_bytes()) => ("match", String::new()),
                Ok(_) => ("no-match", String::new()),
            };
            let message = case["error"].as_str().unwrap_or(&why);
            if seen != case["expect"] || why != message {
                wrong.push(format!(
                    "{file}: {pattern} {event}: {seen} {why}, expected {} {message}",
                    case["expect"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// As event-ruler 2.1.0 answers: what it compares has its quotes around it.
#[test]
fn a_prefix_may_reach_to_the_closing_quote() {
    let of = |item: &str, value: &str| {
        let pattern = Pattern::parse(&format!("{{\"x\":[{item}]}}")).expect("a good pattern");
        pattern.matches(format!("{{\"x\":{value}}}").as_bytes())
    };
    assert!(of(r#"{"prefix":"x\""}"#, r#""x""#) && of(r#"{"suffix":"\"x"}"#, r#""x""#));
    assert!(of(r#"{"suffix":"\""}"#, r#""""#) && !of(r#"{"prefix":"\""}"#, r#""x""#));
    assert!(!of(r#"{"anything-but":{"prefix":"x\""}}"#, r#""x""#));
    assert!(of(r#"{"prefix":{"equals-ignore-case":"X\""}}"#, r#""x""#));
    assert!(of(r#"{"suffix":{"equals-ignore-case":"\"X"}}"#, r#""x""#));
}
