//! `klr queue`: the asynchronous queue of a running bridge.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::say;
use crate::queue::Waiting;

/// What to do, and with which events.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// list: what waits, by function · show: events · redrive: failed ones once more · purge: throw away
    #[arg(value_enum)]
    what: What,
    /// A function's name or ARN
    name: Option<String>,
    /// A request id; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<Uuid>,
    /// Where the bridge's admin port is
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    List,
    Show,
    Redrive,
    Purge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns
    Text,
    /// A JSON document a line
    Json,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.what == What::Purge && args.name.is_none() && args.id.is_empty() {
        bail!("say what is to be purged: a function's name, or --id");
    }
    let (method, path) = match args.what {
        What::List => (Method::GET, "queue"),
        What::Show => (Method::GET, "queue/events"),
        What::Redrive => (Method::POST, "queue/redrive"),
        What::Purge => (Method::POST, "queue/purge"),
    };
    let call = Client::new().request(method, format!("http://{}/{path}{}", args.admin, query(&args)));
    let answer = match call.send().await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("error: no bridge answers at {}: {}", args.admin, error.without_url());
            return Ok(ExitCode::from(3));
        }
    };
    let status = answer.status();
    let body = answer.text().await.context("the bridge's answer")?;
    if status == StatusCode::NOT_FOUND {
        bail!("the bridge at {} has no asynchronous queue", args.admin);
    }
    if !status.is_success() {
        bail!("{}", body.trim_end());
    }
    let answer: Value = serde_json::from_str(&body).context("the bridge's answer")?;
    match (args.format, args.what) {
        (Format::Json, _) => lines(&answer).for_each(say),
        (Format::Text, What::List) => table(list(&answer, args.name.as_deref())?),
        (Format::Text, What::Show) => table(show(&answer)),
        (Format::Text, What::Redrive | What::Purge) => lines(&answer).for_each(|line| say(counted(line))),
    }
    Ok(ExitCode::SUCCESS)
}

fn query(args: &Args) -> String {
    let function = args.name.iter().map(|name| {
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        format!("function={name}")
    });
    let ids = args.id.iter().map(|id| format!("id={id}"));
    let pairs: Vec<_> = function.chain(ids).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A list's members, or the one document.
fn lines(answer: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match answer {
        Value::Array(members) => Box::new(members.iter()),
        other => Box::new(std::iter::once(other)),
    }
}

fn list(answer: &Value, name: Option<&str>) -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = vec![
        ["FUNCTION", "READY", "LATER", "IN FLIGHT", "FAILED", "RESTING UNTIL"].map(str::to_owned).into(),
    ];
    for line in lines(answer) {
        let waiting: Waiting = serde_json::from_value(line.clone()).context("the bridge's answer")?;
        let Waiting { function, ready, later, in_flight, failed, resting_until } = waiting;
        if name.is_some_and(|name| !function.split(':').any(|part| part == name) && function != name) {
            continue;
        }
        let numbers = [ready, later, in_flight, failed].map(|number| number.to_string());
        rows.push([vec![function], numbers.into(), vec![resting_until.unwrap_or_default()]].concat());
    }
    Ok(rows)
}

fn show(answer: &Value) -> Vec<Vec<String>> {
    const COLUMNS: [&str; 7] = ["requestId", "function", "accepted", "state", "attempts", "condition", "due"];
    const HEAD: [&str; 7] = ["REQUEST ID", "FUNCTION", "ACCEPTED", "STATE", "ATTEMPTS", "CONDITION", "DUE"];
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let row = |line: &Value| COLUMNS.iter().map(|name| text(&line[*name])).collect();
    std::iter::once(HEAD.map(str::to_owned).into()).chain(lines(answer).map(row)).collect()
}

/// `{"redriven": 3}` in words.
fn counted(line: &Value) -> String {
    let members = line.as_object().into_iter().flatten();
    members.map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest.
fn table(rows: Vec<Vec<String>>) {
    let width = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(String::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;
    use serde_json::json;
    use tempfile::TempDir;
    use tokio::net::TcpListener;

    use super::*;
    use crate::queue::{Event, Metrics, Options, Queue, router};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    async fn klr(line: &str) -> anyhow::Result<ExitCode> {
        run(Line::try_parse_from(line.split(' '))?.args).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_running_queue_is_looked_at_and_emptied() {
        let directory = TempDir::new().unwrap();
        let queue = Queue::open(directory.path(), Options::default(), Metrics::default()).await.unwrap();
        let event = |target: &str, n| Event::new(Uuid::from_u128(n), target, b"{}".to_vec().into());
        for n in 0..4 {
            queue.accept(event(if n == 3 { "g h" } else { "f" }, n)).await.unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router(Arc::clone(&queue))).into_future());
        for line in ["list", "list f --format json", "show", "redrive f"] {
            assert_eq!(klr(&format!("queue {line} --admin {admin}")).await.unwrap(), ExitCode::SUCCESS);
        }
        assert_eq!(queue.size().events, 4);
        let id = Uuid::from_u128(1);
        klr(&format!("queue purge f --id {id} --admin {admin}")).await.unwrap();
        assert_eq!(queue.size().events, 3);
        klr(&format!("queue purge f --admin {admin}")).await.unwrap();
        assert_eq!(queue.waiting()[0].function, "g h");
        assert!(
            klr(&format!("queue purge --admin {admin}")).await.is_err(),
            "all of it is not meant by saying nothing"
        );
        assert_eq!(klr("queue list --admin 127.0.0.1:9").await.unwrap(), ExitCode::from(3));
    }

    #[test]
    fn lists_are_of_the_function_that_is_meant() {
        let of = |function: &str| json!({"function": function, "ready": 1, "later": 0, "inFlight": 2, "failed": 3});
        let answer = json!([of("arn:aws:lambda:us-east-1:000000000000:function:f:live"), of("g")]);
        let rows = list(&answer, Some("f")).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1][1..], ["1", "0", "2", "3", ""]);
        assert_eq!(list(&answer, None).unwrap().len(), 3);
        let shown = show(&json!([{"requestId": "r", "attempts": 2}]));
        assert_eq!(shown[1], ["r", "", "", "", "2", "", ""]);
        assert_eq!(counted(&json!({"purged": 2})), "purged 2");
    }
}
