//! Filter criteria: which records a function sees (spec/filter.md §1).
//!
//! A record is looked at as it was shaped, its data decoded into memory that the next one uses again; what is delivered
//! are the record's own bytes. What the criteria drop is done at once: a queue's message is deleted, a log's record is
//! passed, and the checkpoint moves over it, even where nothing is left to invoke with.

use klr_contract::{Arrival, Place, Record};

use crate::pattern::{Dialect, Error, Pattern, Patterns, Scratch, Source, Verdict};

/// AWS: characters of a pattern, filters of a mapping, and the most a raised quota gives.
pub const LONGEST: usize = 4096;
/// Filters a mapping may have.
pub const FILTERS: usize = 5;
/// Filters it may have where the quota was raised.
pub const MOST_FILTERS: usize = 10;

/// The filters of a mapping. A record passes that any of them matches; without any, all do.
#[derive(Debug, Default)]
pub struct Filters {
    patterns: Option<Patterns>,
}

/// Reads one filter's pattern. `strict` refuses operators that Lambda's documentation does not list.
pub fn read(text: &str, source: Source, strict: bool) -> Result<Pattern, Error> {
    Pattern::parse_as(text, Dialect::Lambda { source, strict })
}

impl Filters {
    /// Of patterns for one source.
    pub fn of(patterns: &[Pattern]) -> Self {
        Self { patterns: (!patterns.is_empty()).then(|| Patterns::of(patterns)) }
    }

    /// Whether the function is to see a record. One that could not be shaped is none of theirs: it is given up, and said so.
    pub fn pass(&self, record: &Record, scratch: &mut Scratch) -> bool {
        match (&self.patterns, &record.json) {
            (Some(patterns), Ok(json)) => patterns.verdict(json, scratch) == Verdict::Match,
            _ => true,
        }
    }

    /// A log's arrivals, with what is not for the function passed over; answers how many those are.
    pub fn sift(&self, arrivals: &mut [Arrival], scratch: &mut Scratch) -> u64 {
        if self.patterns.is_none() {
            return 0;
        }
        let mut out = 0;
        for arrival in arrivals {
            let Arrival::Record(record) = arrival else { continue };
            if self.pass(record, scratch) {
                continue;
            }
            if let Place::At { partition, position, .. } = &record.place {
                *arrival = Arrival::Passed(*partition, position.clone(), Some(record.at));
                out += 1;
            }
        }
        out
    }

    /// Takes what is not for the function out of a queue's records.
    pub fn take(&self, records: &mut Vec<Record>, scratch: &mut Scratch) -> Vec<Place> {
        if self.patterns.is_none() {
            return Vec::new();
        }
        let dropped = records.extract_if(.., |record| !self.pass(record, scratch));
        dropped.map(|record| record.place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts of a source's filter on records with this data, in place of `DATA`.
    fn verdicts(source: Source, pattern: &str, record: &str, data: &[&str]) -> Vec<bool> {
        let pattern = read(pattern, source, false).expect("a good pattern");
        let filters = Filters::of(&[pattern]);
        let mut scratch = Scratch::default();
        let json = |data: &&str| match source {
            Source::Sqs => serde_json::to_string(data).expect("text"),
            _ => format!("\"{}\"", base64_simd::STANDARD.encode_to_string(data)),
        };
        let record = |data: &&str| Record {
            json: Ok(record.replace("DATA", &json(data)).into()),
            place: Place::Item { id: bytes::Bytes::new(), receipt: bytes::Bytes::new() },
            at: jiff::Timestamp::UNIX_EPOCH,
            trace: None,
        };
        data.iter().map(|data| filters.pass(&record(data), &mut scratch)).collect()
    }

    const SQS: &str = r#"{"messageId":"1","body":DATA,"attributes":{"SenderId":"me"}}"#;
    const KINESIS: &str = r#"{"kinesis":{"partitionKey":"p","data":DATA},"eventName":"aws:kinesis:record"}"#;
    const KAFKA: &str = r#"{"topic":"t","partition":0,"value":DATA}"#;
    const MQ: &str = r#"{"messageID":"1","data":DATA}"#;

    /// An object that fits, one that does not, plain text, text that only begins like JSON, a JSON string.
    const DATA: &[&str] = &[r#"{"a":"x\"é"}"#, r#"{"a":"y"}"#, "x", r#"{"a":"x\"é"} more"#, "\"x\""];

    #[test]
    fn formats_that_differ_drop_or_pass_as_the_tables_say() {
        let object = |key: &str| format!(r#"{{"{key}":{{"a":["x\"é"]}}}}"#);
        let absent = |key: &str| format!(r#"{{"{key}":{{"b":[{{"exists":false}}]}}}}"#);
        let plain = |key: &str| format!(r#"{{"{key}":["x",{{"exists":false}}]}}"#);
        assert_eq!(verdicts(Source::Sqs, &object("body"), SQS, DATA), [true, false, false, false, false]);
        assert_eq!(verdicts(Source::Sqs, &absent("body"), SQS, DATA), [true, true, false, false, false]);
        assert_eq!(verdicts(Source::Sqs, &plain("body"), SQS, DATA), [false, false, true, false, false]);
        assert_eq!(
            verdicts(Source::Kinesis, &object("data"), KINESIS, DATA),
            [true, false, false, false, false]
        );
        assert_eq!(
            verdicts(Source::Kinesis, &absent("data"), KINESIS, DATA),
            [true, true, false, false, false]
        );
        for (source, record, key) in [(Source::Kafka, KAFKA, "value"), (Source::Mq, MQ, "data")] {
            assert_eq!(verdicts(source, &object(key), record, DATA), [true, false, true, true, true]);
            assert_eq!(verdicts(source, &absent(key), record, DATA), [true, true, true, true, true]);
            assert_eq!(verdicts(source, &plain(key), record, DATA), [true, true, true, false, false]);
        }
    }

    #[test]
    fn metadata_stands_beside_the_data() {
        let all = |source, pattern, record| verdicts(source, pattern, record, &["x"])[0];
        assert!(all(Source::Sqs, r#"{"attributes":{"SenderId":["me"]}}"#, SQS));
        assert!(!all(Source::Sqs, r#"{"attributes":{"SenderId":["you"]}}"#, SQS));
        assert!(all(Source::Kinesis, r#"{"partitionKey":["p"],"eventName":[{"prefix":"aws:"}]}"#, KINESIS));
        assert!(all(Source::Kinesis, r#"{"kinesis":{"partitionKey":["p"]}}"#, KINESIS));
        assert!(all(Source::Kafka, r#"{"topic":["t"],"value":{"a":["x"]}}"#, KAFKA));
        assert!(!all(Source::Kafka, r#"{"topic":["u"],"value":{"a":["x"]}}"#, KAFKA));
        assert!(all(Source::Kafka, r#"{"value":{"a":["x"]}}"#, r#"{"topic":"t","value":"/w=="}"#), "no text");
        assert!(
            !all(Source::Kinesis, r#"{"data":{"a":["x"]}}"#, r#"{"kinesis":{"data":"/w=="}}"#),
            "no text"
        );
    }

    #[test]
    fn what_aws_refuses_is_refused_in_its_words() {
        let refused = |source, text| read(text, source, false).expect_err("refused").aws();
        for text in
            ["null", "\"x\"", r#"{"eventSource":"aws:sqs"}"#, r#"{"eventSource":[]}"#, "{", "single-string"]
        {
            assert_eq!(refused(Source::Sqs, text), "Invalid filter pattern definition.");
        }
        assert_eq!(refused(Source::Kinesis, r#"{"data":["x"]}"#), "Invalid filter pattern definition.");
        assert_eq!(refused(Source::DynamoDb, r#"{"dynamodb":["x"]}"#), "Invalid filter pattern definition.");
        assert!(read(r#"{"body":[{"wildcard":"*"}]}"#, Source::Sqs, false).is_ok());
        assert!(read(r#"{"body":[{"wildcard":"*"}]}"#, Source::Sqs, true).is_err());
    }

    #[test]
    fn what_is_filtered_out_of_a_log_is_passed() {
        let pattern = read(r#"{"n":[1]}"#, Source::DynamoDb, false).expect("a good pattern");
        let record = |n: i64| {
            let partition = klr_contract::Partition { index: 0, epoch: 1 };
            let position = klr_contract::Position::Offset(n);
            Arrival::Record(Record {
                json: Ok(format!("{{\"n\":{}}}", n % 2).into()),
                place: Place::At { partition, position, key: 0 },
                at: jiff::Timestamp::UNIX_EPOCH,
                trace: None,
            })
        };
        let mut arrivals: Vec<Arrival> = (0..4).map(record).collect();
        assert_eq!(Filters::of(&[pattern]).sift(&mut arrivals, &mut Scratch::default()), 2);
        let passed =
            arrivals.iter().map(|arrival| matches!(arrival, Arrival::Passed(..))).collect::<Vec<_>>();
        assert_eq!(passed, [true, false, true, false]);
    }
}
