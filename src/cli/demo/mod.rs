//! `klr demo`: the main job on embedded parts. Real Kafka records (librdkafka's in-process broker) and S3 notifications
//! (to the real webhook) become Lambda events, travel as CloudEvents and come out of an ordinary Python handler.

mod witness;

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use klr_kafka::Embedded;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    run::{self, Signals},
    say,
    wire::Wiring,
};
use crate::config::{self, Resources};
use witness::{Seen, Witness};

const FUNCTION: &str = include_str!("function.py");
const BOOTSTRAP: &str = include_str!("bootstrap.py");
const RESOURCES: &str = include_str!("resources.yaml");
const TOKEN: &str = "demo-token";
/// The objects that are put into the bucket.
const OBJECTS: [&str; 3] = ["holiday/beach.jpg", "holiday/café menu.pdf", "invoices/2026-11.csv"];
/// What MinIO escapes in a key; a blank becomes `+`.
const KEY: AsciiSet = NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');
/// Joining a consumer group takes a few seconds; this is for slow machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much, and whether to stay.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Kafka records to send
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    records: u64,
    /// Go on running until Ctrl-C
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let folder = std::env::temp_dir().join(format!("klr-demo-{}", std::process::id()));
    let outcome = tokio::select! {
        outcome = play(&args, &folder) => outcome,
        () = signals.next() => Ok(ExitCode::SUCCESS),
    };
    // Best effort: a file left in the temporary folder hurts nobody.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

async fn play(args: &Args, folder: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut wiring = Wiring::new(64 << 20, Duration::from_secs(5), false)?;
    if let Err(error) = function(&mut wiring, folder).await {
        eprintln!("error: the demo's function needs python3: {error:#}");
        return Ok(ExitCode::from(3));
    }
    let broker = Embedded::start("orders", 3)?;
    let seen = Arc::new(Seen::default());
    let sink = stand_witness(&wiring, &seen).await?;
    let resources = resources(folder, &broker.bootstrap(), &sink)?;
    let parts = run::wire(&wiring, &resources, Some(([127, 0, 0, 1], 0).into())).await?;
    let webhook = parts.receiver().context("the demo has a webhook")?;
    say(format_args!("broker    {} (in this process)", broker.bootstrap()));
    say(format_args!("webhook   http://{webhook}/bucketnotifications/uploads"));
    say(format_args!("resources {}\n", folder.join("resources.yaml").display()));

    let stop = CancellationToken::new();
    let ended = stop.clone();
    let mut signals = Signals::new()?;
    let running =
        tokio::spawn(async move { run::go(parts, &ended, &mut signals, Duration::from_secs(5)).await });
    let begun = Instant::now();
    feed(args.records, &broker, &format!("http://{webhook}/bucketnotifications/uploads")).await?;
    let complete = tokio::time::timeout(PATIENCE, arrived(&seen, args.records)).await.is_ok();
    say(format_args!("\n{}", totals(&seen, begun.elapsed())));
    if args.keep {
        say("still running: Ctrl-C ends it");
        std::future::pending::<()>().await;
    }
    stop.cancel();
    running.await.context("the mappings")?;
    wiring.stop_functions().await;
    let failed = seen.failed.load(Ordering::Relaxed) > 0;
    Ok(if complete && !failed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The handler under AWS's own Python runtime client where it is installed, else under a dozen lines of our own.
async fn function(wiring: &mut Wiring, folder: &Path) -> anyhow::Result<()> {
    std::fs::write(folder.join("function.py"), FUNCTION)?;
    std::fs::write(folder.join("bootstrap.py"), BOOTSTRAP)?;
    let python = std::env::var("KLR_PYTHON").unwrap_or_else(|_| "python3".into());
    let with = |command: Vec<String>| klr_host::Settings {
        name: "shop".into(),
        runtime: Some("python3.12".into()),
        handler: Some("function.handler".into()),
        directory: Some(folder.to_owned()),
        command,
        logs: klr_host::Logs::Traced("shop".into()),
        ..klr_host::Settings::default()
    };
    if wiring.host("shop", with(Vec::new())).await.is_ok() && wiring.ready("shop") {
        say("function  function.handler under awslambdaric, unmodified");
        return Ok(());
    }
    wiring.host("shop", with(vec![python.clone(), "bootstrap.py".into()])).await?;
    // A host serves a function that failed to start, too: its callers are told.
    anyhow::ensure!(wiring.ready("shop"), "{python} does not start; KLR_PYTHON may name another");
    say("function  function.handler under a bootstrap of its own (pip install awslambdaric for AWS's)");
    Ok(())
}

async fn stand_witness(wiring: &Wiring, seen: &Arc<Seen>) -> anyhow::Result<String> {
    let function = format!("http://{}", wiring.address("shop").context("the function runs")?);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let witness = Witness { client, function, seen: Arc::clone(seen) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let sink = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, witness::router(witness)).into_future());
    Ok(sink)
}

fn resources(folder: &Path, broker: &str, sink: &str) -> anyhow::Result<Resources> {
    let token = folder.join("token");
    std::fs::write(&token, TOKEN)?;
    let text = RESOURCES
        .replace("${BROKER}", broker)
        .replace("${SINK}", sink)
        .replace("${TOKEN}", &token.display().to_string());
    let file = folder.join("resources.yaml");
    std::fs::write(&file, text)?;
    Ok(config::load(&[file])?)
}

/// Records as a shop would write them, notifications as MinIO sends them.
async fn feed(records: u64, broker: &Embedded, webhook: &str) -> anyhow::Result<()> {
    for n in 0..records {
        let order = serde_json::json!({ "order": n, "amount": 5 + n % 20 }).to_string();
        broker.produce("orders", &format!("customer-{}", n % 5), &order, ("trace", "demo")).await?;
    }
    let client = reqwest::Client::builder().no_proxy().build()?;
    for (n, key) in OBJECTS.into_iter().enumerate() {
        let key = percent_encoding::utf8_percent_encode(key, &KEY).to_string().replace("%20", "+");
        let body = serde_json::json!({
            "EventName": "s3:ObjectCreated:Put", "Key": format!("uploads/{key}"),
            "Records": [{
                "eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "", "eventName": "s3:ObjectCreated:Put",
                "eventTime": jiff::Timestamp::now().to_string(), "userIdentity": { "principalId": "minioadmin" },
                "requestParameters": { "sourceIPAddress": "127.0.0.1" },
                "responseElements": { "x-amz-request-id": format!("187A3F00C0FFEE{n:02}"), "x-amz-id-2": "minio" },
                "s3": {
                    "s3SchemaVersion": "1.0", "configurationId": "Config",
                    "bucket": { "name": "uploads", "ownerIdentity": { "principalId": "minioadmin" }, "arn": "arn:aws:s3:::uploads" },
                    "object": { "key": key, "size": 1024, "eTag": "0123456789abcdef0123456789abcdef", "sequencer": "17A0" },
                },
            }],
        });
        let sent = client.post(webhook).bearer_auth(TOKEN).body(body.to_string()).send().await?;
        anyhow::ensure!(sent.status().is_success(), "the webhook answered {}", sent.status());
    }
    Ok(())
}

async fn arrived(seen: &Seen, records: u64) {
    let enough = || {
        seen.kafka_records.load(Ordering::Relaxed) >= records
            && seen.objects.load(Ordering::Relaxed) >= OBJECTS.len() as u64
    };
    while !enough() {
        seen.changed.notified().await;
    }
}

fn totals(seen: &Seen, took: Duration) -> String {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "total: {} deliveries, {} Kafka records, {} S3 notifications, {} failed, in {:.1} s",
        count(&seen.deliveries),
        count(&seen.kafka_records),
        count(&seen.objects),
        count(&seen.failed),
        took.as_secs_f64(),
    )
}
