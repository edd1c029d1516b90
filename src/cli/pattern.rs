//! `klr pattern test`: does a pattern match an event, and which clause decides.

use std::{
    borrow::Cow,
    io::{self, BufRead, Read, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::say;
use crate::pattern::{Dialect, Malformed, Pattern, Scratch, Source, Verdict, sns};

/// Event patterns.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Whether a pattern matches an event: exit 0 if so, 1 if not, 2 if one of them is invalid
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Test {
    /// The pattern: a file, `-` for stdin, or JSON
    #[arg(long, value_name = "P", required_unless_present = "lines", conflicts_with = "lines")]
    pattern: Option<String>,
    /// The event: a file, `-` for stdin, or JSON
    #[arg(long, value_name = "E", required_unless_present = "lines", conflicts_with = "lines")]
    event: Option<String>,
    /// Say which clause decided
    #[arg(long, conflicts_with = "lines")]
    explain: bool,
    /// Read {"pattern": TEXT, "event": TEXT} from each line of stdin; print match, no-match or invalid: WHY for each
    #[arg(long)]
    lines: bool,
    /// Whose patterns they are
    #[arg(long, value_enum, default_value_t)]
    dialect: Language,
    /// With lambda: whose records; the event is one record as the function sees it
    #[arg(long, value_enum, required_if_eq("dialect", "lambda"))]
    source: Option<Records>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    #[default]
    Eventbridge,
    Lambda,
    SnsAttributes,
    SnsBody,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Records {
    Sqs,
    Kinesis,
    Dynamodb,
    Kafka,
    Mq,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Verb::Test(test) = &args.verb;
    let dialect = test.dialect()?;
    let (Some(pattern), Some(event)) = (&test.pattern, &test.event) else {
        return lines(dialect).map(|()| ExitCode::SUCCESS);
    };
    if pattern == "-" && event == "-" {
        bail!("--pattern and --event cannot both be stdin");
    }
    let (pattern, event) = (text(pattern).context("--pattern")?, text(event).context("--event")?);
    let pattern = Pattern::parse_as(pattern.trim_end(), dialect)?;
    for warning in pattern.warnings() {
        tracing::warn!("{warning}");
    }
    let event = laid_out(dialect, event.as_bytes()).context("--event")?;
    let matches = match pattern.verdict(&event, &mut Scratch::default()) {
        Verdict::Match => true,
        Verdict::NoMatch => false,
        Verdict::Malformed(malformed) => return Err(malformed).context("--event"),
    };
    say(if matches { "match" } else { "no-match" });
    if test.explain {
        explain(&pattern, &event)?;
    }
    Ok(if matches { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Test {
    fn dialect(&self) -> anyhow::Result<Dialect> {
        let source = self.source.map(|source| match source {
            Records::Sqs => Source::Sqs,
            Records::Kinesis => Source::Kinesis,
            Records::Dynamodb => Source::DynamoDb,
            Records::Kafka => Source::Kafka,
            Records::Mq => Source::Mq,
        });
        match (self.dialect, source) {
            (Language::Lambda, Some(source)) => Ok(Dialect::Lambda { source, strict: false }),
            (Language::Lambda, None) => bail!("--dialect lambda needs --source"),
            (_, Some(_)) => bail!("--source goes with --dialect lambda only"),
            (Language::Eventbridge, None) => Ok(Dialect::EventBridge),
            (Language::SnsAttributes, None) => Ok(Dialect::SnsAttributes),
            (Language::SnsBody, None) => Ok(Dialect::SnsBody),
        }
    }
}

/// A file's text, stdin's, or the argument itself.
fn text(argument: &str) -> anyhow::Result<Cow<'_, str>> {
    if argument == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("stdin")?;
        return Ok(text.into());
    }
    let json = argument.trim_start().starts_with(['{', '[', '"']);
    if !json && Path::new(argument).is_file() {
        return Ok(std::fs::read_to_string(argument).with_context(|| argument.to_owned())?.into());
    }
    if !json && (argument.contains('/') || argument.ends_with(".json")) {
        bail!("{argument}: no such file, and no JSON object either");
    }
    Ok(argument.into())
}

/// The event as patterns of the dialect see it.
fn laid_out(dialect: Dialect, event: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    if dialect != Dialect::SnsAttributes {
        return Ok(event.into());
    }
    let mut attributes = Vec::new();
    sns::attributes(event, &mut attributes)?;
    Ok(attributes.into())
}

fn explain(pattern: &Pattern, event: &[u8]) -> Result<(), Malformed> {
    let explanation = pattern.explain(event)?;
    let several = explanation.ways.len() > 1;
    for (number, clauses) in (1..).zip(&explanation.ways) {
        for clause in clauses {
            match several {
                true => say(format_args!("alternative {number}: {clause}")),
                false => say(clause),
            }
        }
    }
    Ok(())
}

/// A line of `--lines`. What is not quoted stands for its own text.
#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    pattern: &'l RawValue,
    #[serde(borrow)]
    event: &'l RawValue,
}

fn lines(dialect: Dialect) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut scratch = Scratch::default();
    for line in io::stdin().lock().lines() {
        let verdict = match line_verdict(&line.context("stdin")?, dialect, &mut scratch) {
            Ok(true) => "match".to_owned(),
            Ok(false) => "no-match".to_owned(),
            Err(why) => format!("invalid: {}", format!("{why:#}").replace(['\n', '\r'], " ")),
        };
        match writeln!(out, "{verdict}").and_then(|()| out.flush()) {
            // Whoever reads us has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

fn line_verdict(line: &str, dialect: Dialect, scratch: &mut Scratch) -> anyhow::Result<bool> {
    let line: Line<'_> =
        serde_json::from_str(line).context(r#"the line is not {"pattern": TEXT, "event": TEXT}"#)?;
    let (pattern, event) = (unquoted(line.pattern)?, unquoted(line.event)?);
    let pattern = Pattern::parse_as(&pattern, dialect)?;
    let event = laid_out(dialect, event.as_bytes()).context("the event")?;
    match pattern.verdict(&event, scratch) {
        Verdict::Match => Ok(true),
        Verdict::NoMatch => Ok(false),
        Verdict::Malformed(malformed) => Err(malformed).context("the event"),
    }
}

fn unquoted(raw: &RawValue) -> serde_json::Result<Cow<'_, str>> {
    match raw.get().starts_with('"') {
        true => serde_json::from_str::<String>(raw.get()).map(Cow::Owned),
        false => Ok(raw.get().into()),
    }
}
