//! What a verdict costs, beside `serde_json::from_slice::<Value>` of the same body and beside quamina on what it knows.
//!
//! Rounds take turns, the fastest of each counts: a shared machine only ever adds. Allocations are counted over verdicts
//! after the first.

mod bodies;
mod timing;

use std::process::ExitCode;

use klr::pattern::{Dialect, Pattern, Patterns, Scratch, Source, Verdict};
use quamina::Quamina;
use serde_json::Value;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use timing::{Pair, compare};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Goals: of the time of a parse, of quamina's, and of one rule's for a thousand of them.
const PARSE_GOAL: f64 = 0.5;
const QUAMINA_GOAL: f64 = 1.0;
const RULES_GOAL: f64 = 50.0;
/// CI fails above the goal and a quarter, which a tenth of the rounds on two shared cores scatters by.
const SLACK: f64 = 1.25;

fn main() -> ExitCode {
    let tenth = std::env::args().any(|arg| arg == "--tenth");
    let verdicts = if tenth { 2_000 } else { 20_000 };
    let mut report = Report::default();
    println!("1 KB bodies, {verdicts} verdicts each; ns a verdict\n");
    println!(
        "{:<28} {:>7} {:>8} {:>8} {:>6} {:>9} {:>8}",
        "pattern", "verdict", "parse", "ratio", "allocs", "matches", "quamina"
    );
    for (name, pattern) in bodies::PATTERNS {
        plain(name, pattern, verdicts, &mut report);
    }
    println!();
    for (name, source, pattern) in bodies::CARRIED {
        carried(name, *source, pattern, verdicts, &mut report);
    }
    println!();
    rules(verdicts / 10, &mut report);
    report.judge(tenth)
}

/// What has to hold, over all lines.
#[derive(Default)]
struct Report {
    of_parse: f64,
    /// By pattern.
    of_quamina: Vec<f64>,
    of_one_rule: f64,
    allocations: usize,
}

impl Report {
    fn judge(&self, tenth: bool) -> ExitCode {
        let of_quamina = self.of_quamina.iter().sum::<f64>() / self.of_quamina.len().max(1) as f64;
        println!(
            "\nat worst {:.2} of a parse (goal {PARSE_GOAL}) and {:.1} of one rule for a thousand (goal {RULES_GOAL}), with {} \
             allocations (goal 0);\non average {of_quamina:.2} of quamina (goal {QUAMINA_GOAL}), at worst {:.2}",
            self.of_parse,
            self.of_one_rule,
            self.allocations,
            self.of_quamina.iter().copied().fold(0.0, f64::max),
        );
        let within = self.of_parse <= PARSE_GOAL * SLACK
            && of_quamina <= QUAMINA_GOAL * SLACK
            && self.of_one_rule <= RULES_GOAL
            && self.allocations == 0;
        if tenth && !within {
            eprintln!("that is past the goals and their slack of {SLACK}");
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }

    fn line(&mut self, name: &str, pair: &Pair, quamina: Option<&Pair>) {
        let of_parse = pair.ours / pair.theirs;
        let (sure, theirs) = quamina.map_or((String::new(), String::new()), |pair| {
            (format!("{:.0}", pair.ours), format!("{:.0}", pair.theirs))
        });
        println!(
            "{name:<28} {:>7.0} {:>8.0} {of_parse:>8.2} {:>6} {sure:>9} {theirs:>8}",
            pair.ours, pair.theirs, pair.allocations
        );
        self.of_parse = self.of_parse.max(of_parse);
        self.allocations = self.allocations.max(pair.allocations);
        if let Some(theirs) = quamina {
            self.of_quamina.push(theirs.ours / theirs.theirs);
        }
    }
}

fn plain(name: &str, pattern: &str, verdicts: usize, report: &mut Report) {
    let bodies = bodies::json();
    let ours = Pattern::parse(pattern).expect("the bench's patterns are good");
    let mut scratch = Scratch::default();
    let matches = |body: &[u8], scratch: &mut Scratch| ours.verdict(body, scratch) == Verdict::Match;
    let pair = compare(
        verdicts,
        &bodies,
        |body| matches(body, &mut scratch),
        |body| serde_json::from_slice::<Value>(body).is_ok(),
    );
    let mut theirs = Quamina::new();
    let known = theirs.add_pattern(name, pattern).is_ok();
    let mut scratch = Scratch::default();
    let quamina = known.then(|| {
        for body in &bodies {
            let found = theirs.matches_for_event(body).is_ok_and(|found| !found.is_empty());
            assert_eq!(found, matches(body, &mut scratch), "{name}: quamina sees it otherwise");
        }
        compare(
            verdicts,
            &bodies,
            |body| ours.matches_in(body, &mut scratch),
            |body| theirs.has_matches(body).is_ok(),
        )
    });
    report.line(name, &pair, quamina.as_ref());
}

/// Whole records, whose data is decoded first, on both sides into memory that is used again.
fn carried(name: &str, source: Source, pattern: &str, verdicts: usize, report: &mut Report) {
    let records = bodies::records(source);
    let ours = Pattern::parse_as(pattern, Dialect::Lambda { source, strict: false });
    let ours = ours.expect("the bench's patterns are good");
    let mut scratch = Scratch::default();
    let mut buffer = Vec::new();
    let pair = compare(
        verdicts,
        &records,
        |record| ours.verdict(record, &mut scratch) == Verdict::Match,
        |record| bodies::decoded(source, record, &mut buffer),
    );
    report.line(name, &pair, None);
}

fn rules(verdicts: usize, report: &mut Report) {
    println!(
        "{:<28} {:>7} {:>8} {:>8} {:>10} {:>7}",
        "1,000 rules", "ours", "one rule", "quamina", "of one", "allocs"
    );
    let bodies = bodies::json();
    for (name, rules) in bodies::rule_sets() {
        let parsed: Vec<Pattern> =
            rules.iter().map(|rule| Pattern::parse(rule).expect("the bench's rules are good")).collect();
        let (all, one) = (Patterns::of(&parsed), &parsed[0]);
        let (mut of_all, mut of_one) = (Scratch::default(), Scratch::default());
        let pair = compare(
            verdicts,
            &bodies,
            |body| all.matching(body, &mut of_all).is_ok(),
            |body| one.verdict(body, &mut of_one) == Verdict::Match,
        );
        let mut quamina = Quamina::new();
        let known = rules.iter().enumerate().all(|(id, rule)| quamina.add_pattern(id, rule).is_ok());
        let theirs = known.then(|| {
            compare(verdicts, &bodies, |_| true, |body| quamina.matches_for_event(body).is_ok()).theirs
        });
        let text = theirs.map_or("-".to_owned(), |theirs| format!("{theirs:.0}"));
        let of_one = pair.ours / pair.theirs;
        println!(
            "{name:<28} {:>7.0} {:>8.0} {text:>8} {of_one:>10.1} {:>7}",
            pair.ours, pair.theirs, pair.allocations
        );
        report.of_one_rule = report.of_one_rule.max(of_one);
        report.allocations = report.allocations.max(pair.allocations);
    }
}
