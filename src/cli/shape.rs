//! `klr shape`: native messages in, Lambda events out. Pure but for stdin and stdout.

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};

use anyhow::bail;
use bytes::Bytes;
use cloudevents::{AttributesWriter, Data, Event};
#[cfg(any(feature = "sqs", feature = "kafka", feature = "kinesis", feature = "dynamodb"))]
use {
    crate::deliver::cloudevent::Envelope,
    anyhow::Context as _,
    klr_contract::{Record, Shape},
};

/// What comes in, and how it is to go out.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What stdin holds, one JSON document a line
    source: SourceKind,
    /// The event source's ARN; needed for sqs, kinesis and dynamodb, and makes a Kafka event MSK's
    #[arg(long, value_name = "ARN")]
    event_source_arn: Option<String>,
    /// The cluster's bootstrap servers, as they stand in a Kafka event
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// The shard, as it stands in a Kinesis event
    #[arg(long, value_name = "ID", default_value = "shardId-000000000000")]
    shard_id: String,
    /// Records an event [default: all in one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: Option<u64>,
    /// The region, where neither ARN nor message tells
    #[arg(long)]
    region: Option<String>,
    /// The CloudEvent (structured JSON) instead of the event
    #[arg(long)]
    envelope: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SourceKind {
    #[cfg(feature = "sqs")]
    Sqs,
    #[cfg(feature = "kafka")]
    Kafka,
    #[cfg(feature = "kinesis")]
    Kinesis,
    #[cfg(feature = "dynamodb")]
    Dynamodb,
    #[cfg(feature = "s3")]
    S3,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stdin = io::stdin().lock();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = match args.source {
        #[cfg(feature = "sqs")]
        SourceKind::Sqs => sqs(args, stdin, &mut out),
        #[cfg(feature = "kafka")]
        SourceKind::Kafka => kafka(args, stdin, &mut out),
        #[cfg(feature = "kinesis")]
        SourceKind::Kinesis => kinesis(args, stdin, &mut out),
        #[cfg(feature = "dynamodb")]
        SourceKind::Dynamodb => dynamodb(args, stdin, &mut out),
        #[cfg(feature = "s3")]
        SourceKind::S3 => s3(args, stdin, &mut out),
    };
    let flushed = out.flush().map_err(Into::into);
    match result.and(flushed) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever reads us has had enough.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
    }
}

/// Lines that hold something, with their numbers.
fn lines(input: impl BufRead) -> impl Iterator<Item = anyhow::Result<(usize, String)>> {
    let numbered = input.lines().enumerate();
    numbered
        .map(|(n, line)| Ok((n + 1, line?)))
        .filter(|line| line.as_ref().map_or(true, |(_, text)| !text.trim().is_empty()))
}

#[cfg(feature = "sqs")]
fn sqs(args: &Args, input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(arn) = &args.event_source_arn else { bail!("shape sqs needs --event-source-arn, the queue's") };
    let parsed: klr_aws::Arn = arn.parse().context("--event-source-arn")?;
    let config = klr_sqs::Config {
        arn: arn.clone(),
        region: args.region.clone().unwrap_or(parsed.region),
        account: parsed.account,
        name: parsed.resource,
        endpoint: None,
        windowed: false,
    };
    let mut messages = Vec::new();
    for line in lines(input) {
        let (number, text) = line?;
        messages.push(klr_sqs::Message::native(text.as_bytes()).with_context(|| format!("line {number}"))?);
    }
    let records = klr_sqs::records(&config, messages);
    let envelope = Envelope::sqs(config.arn, config.name);
    write_batches(args, &records, &klr_sqs::Shape, &envelope, out)
}

#[cfg(feature = "kafka")]
fn kafka(args: &Args, input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(servers) = &args.bootstrap_servers else {
        bail!("shape kafka needs --bootstrap-servers, as they stand in the event")
    };
    let mut records = Vec::new();
    let mut topic = None;
    for line in lines(input) {
        let (number, text) = line?;
        let message = klr_kafka::Message::parse(&text).with_context(|| format!("line {number}"))?;
        let native = message.native();
        topic.get_or_insert_with(|| native.topic.to_owned());
        records.push(klr_kafka::Shape::record(native, 0));
    }
    let topic = topic.unwrap_or_default();
    let shape = klr_kafka::Shape::of(servers, args.event_source_arn.as_deref());
    let first = servers.split(',').next().unwrap_or_default();
    let envelope = Envelope::kafka(args.event_source_arn.clone(), first, topic);
    write_batches(args, &records, &shape, &envelope, out)
}

/// The stream's ARN, and what a read of the one shard would say of itself.
#[cfg(any(feature = "kinesis", feature = "dynamodb"))]
fn stream(args: &Args) -> anyhow::Result<(klr_aws::Arn, klr_aws::shards::Reading)> {
    let arn = args.event_source_arn.as_deref().context("shape needs --event-source-arn, the stream's")?;
    let partition = klr_contract::Partition { index: 0, epoch: 0 };
    let reading = klr_aws::shards::Reading { partition, shard: args.shard_id.as_str().into(), closed: false };
    Ok((arn.parse().context("--event-source-arn")?, reading))
}

#[cfg(feature = "kinesis")]
fn kinesis(args: &Args, input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    let (arn, reading) = stream(args)?;
    let config = klr_kinesis::Config::new(arn, "").context("--event-source-arn")?;
    let native = |line: anyhow::Result<(usize, String)>| {
        let (number, text) = line?;
        klr_kinesis::Native::parse(&text).with_context(|| format!("line {number}"))
    };
    let natives: Vec<_> = lines(input).map(native).collect::<anyhow::Result<_>>()?;
    let records = klr_kinesis::records(&config, &reading, &natives);
    let envelope = Envelope::stream("kinesis", config.arn.to_string(), config.stream().to_owned());
    write_batches(args, &records, &klr_kinesis::Shape, &envelope, out)
}

#[cfg(feature = "dynamodb")]
fn dynamodb(args: &Args, input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    let (arn, reading) = stream(args)?;
    let config = klr_dynamodb::Config::new(arn, "").context("--event-source-arn")?;
    let native = |line: anyhow::Result<(usize, String)>| {
        let (number, text) = line?;
        klr_dynamodb::Native::parse(&text).with_context(|| format!("line {number}"))
    };
    let natives: Vec<_> = lines(input).map(native).collect::<anyhow::Result<_>>()?;
    let records = klr_dynamodb::records(&config, &reading, natives);
    let envelope = Envelope::stream("dynamodb", config.arn.to_string(), config.table().to_owned());
    write_batches(args, &records, &klr_dynamodb::Shape, &envelope, out)
}

#[cfg(feature = "s3")]
fn s3(args: &Args, input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    use crate::trigger::bucket;
    use klr_s3::Notification;
    let config =
        klr_s3::Config { region: args.region.clone().unwrap_or_default(), ..klr_s3::Config::default() };
    let bucket = bucket::Envelope { function_name: None, overrides: Vec::new() };
    for line in lines(input) {
        let (number, text) = line?;
        for notification in klr_s3::read(&config, text.as_bytes(), jiff::Timestamp::now()) {
            match notification {
                Notification::Event(event) if args.envelope => {
                    write_envelope(bucket.event(&event.attributes())?, event.body, out)?;
                }
                Notification::Event(event) => write_line(&event.body, out)?,
                Notification::Skip(why) => eprintln!("line {number}: no event: {why}"),
                Notification::Unreadable(why) => bail!("line {number}: {why}"),
            }
        }
    }
    Ok(())
}

#[cfg(any(feature = "sqs", feature = "kafka"))]
fn write_batches(
    args: &Args,
    records: &[Record],
    shape: &dyn Shape,
    envelope: &Envelope,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let all = u64::try_from(records.len()).unwrap_or(u64::MAX).max(1);
    let size = usize::try_from(args.batch_size.unwrap_or(all)).unwrap_or(usize::MAX);
    for batch in records.chunks(size) {
        let body = shape.event(batch);
        match args.envelope {
            true => write_envelope(envelope.event(batch)?, body, out)?,
            false => write_line(&body, out)?,
        }
    }
    Ok(())
}

fn write_envelope(mut event: Event, body: Bytes, out: &mut impl Write) -> anyhow::Result<()> {
    event.set_datacontenttype(Some("application/json"));
    event.set_data_unchecked(Data::Binary(body.to_vec()));
    write_line(&klr_host::cloudevent::structured(&event), out)
}

fn write_line(bytes: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
    out.write_all(bytes)?;
    out.write_all(b"\n")?;
    Ok(())
}
