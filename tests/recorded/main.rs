//! Promise: same decisions. What AWS delivered and gave up, recorded from real AWS, we deliver and give up as well: every
//! recording of a stream's mapping is played against a real server through the binary. What AWS is known to do and was not
//! given to us as a recording stands in `own`, in the same form.
//!
//! `KLR_RECORDED=name` plays one of them. Those that cannot be played say why.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

mod case;
mod masks;
mod stage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::scope;
use std::time::Duration;

use klr_test_support::{eventually, fixtures, workspace};
use serde_json::{Value, json};

use case::{Case, Deliveries};
use masks::Masks;
use stage::Stage;

/// The longest waits for a record to be too old, a minute.
const PATIENCE: Duration = Duration::from_secs(150);
/// In which nothing more may come.
const SILENCE: Duration = Duration::from_secs(3);
/// Most of a case is waiting.
const ABREAST: usize = 6;

#[test]
fn recorded_streams_do_the_same_here() {
    let Some(fixtures) = fixtures() else { return };
    let only = std::env::var("KLR_RECORDED").unwrap_or_default();
    let recordings = ["kinesis", "dynamodb"].map(|source| fixtures.join("esm-snapshots").join(source));
    let own = workspace().join("tests/recorded/own");
    let mut files: Vec<PathBuf> = recordings
        .iter()
        .chain([&own])
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter(|path| path.to_string_lossy().contains(&only))
        .collect();
    files.sort_unstable();
    let files = Mutex::new(files.into_iter());
    let wrong = Mutex::new(Vec::new());
    let next = || files.lock().unwrap().next();
    scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                while let Some(path) = next() {
                    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                    match case::read(&path) {
                        Err(why) => println!("not played: {name}: {why}"),
                        Ok(case) => match catch_unwind(AssertUnwindSafe(|| play(&case))) {
                            Ok(Ok(())) => println!("the same: {name}"),
                            Ok(Err(why)) => wrong.lock().unwrap().push(format!("{name}: {why}")),
                            Err(_) => wrong.lock().unwrap().push(format!("{name}: panicked, see above")),
                        },
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn play(case: &Case) -> Result<(), String> {
    let Some(stage) = Stage::set(case) else { return Ok(()) };
    let deliveries = match &case.deliveries {
        Deliveries::Unknown => 0,
        Deliveries::Events(events) => events.len(),
        Deliveries::Records(records) => records.len(),
    };
    let by_event = !matches!(case.deliveries, Deliveries::Records(_));
    let came = || {
        let events = stage.events();
        if by_event { events.len() } else { events.iter().map(|event| records(event).len()).sum() }
    };
    let mut failures = Vec::new();
    let complete = eventually(PATIENCE, || {
        failures.extend(stage.take_failures());
        came() >= deliveries && failures.len() >= case.failures.len()
    });
    if complete {
        std::thread::sleep(SILENCE);
        failures.extend(stage.take_failures());
    }
    compare(case, &stage, &failures).map_err(|why| format!("{why}\n{}", stage.words()))
}

fn compare(case: &Case, stage: &Stage, failures: &[Value]) -> Result<(), String> {
    let mut masks = Masks::default();
    let events = stage.events();
    match &case.deliveries {
        Deliveries::Unknown => {}
        Deliveries::Events(recorded) => masks.fit(&json!(recorded), &json!(events))?,
        Deliveries::Records(recorded) => {
            let mut seen: Vec<Value> = events.iter().flat_map(|event| records(event).clone()).collect();
            let key = |record: &Value| record["kinesis"]["partitionKey"].as_str().map(str::to_owned);
            seen.sort_by_key(key);
            masks.fit(&json!(recorded), &json!(seen))?;
        }
    }
    let recorded: Vec<&Value> = case.failures.iter().map(case::Failure::record).collect();
    masks.fit(&json!(recorded), &json!(failures))
}

fn records(event: &Value) -> &Vec<Value> {
    event["Records"].as_array().unwrap()
}
