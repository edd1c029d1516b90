//! What is fuzzed: whatever the bytes, nothing panics, and what is asked in different ways is answered alike.

use klr::pattern::{Dialect, Pattern, Patterns, Scratch, Source, Verdict, sns};

const EVENTS: &[&str] = &[
    r#"{"a":1}"#,
    r#"{"a":{"b":["1",{"c":"x"},[2]],"c":null},"d":[{"e":"10.0.0.1"},{"f":true}],"x":"abc"}"#,
    r#"{"body":"{\"a\":\"x\"}","kinesis":{"data":"eyJhIjoxfQ==","partitionKey":"p"},"value":"eA=="}"#,
];

const PATTERNS: &[&str] = &[
    r#"{"a":["x",1,null,{"exists":false}]}"#,
    r#"{"a":{"b":[{"prefix":"x"}],"c":[{"anything-but":["y"]}]},"d":[{"exists":false}]}"#,
    r#"{"$or":[{"a":[{"numeric":[">",0,"<=",5]}]},{"d":{"e":[{"cidr":"10.0.0.0/8"}]}}],"x":[{"wildcard":"*b*"}]}"#,
    r#"{"body":{"a":["x"]},"data":{"a":[1]},"kinesis":{"partitionKey":[{"equals-ignore-case":"P"}]},"value":{"a":[1]}}"#,
];

const DIALECTS: &[Dialect] = &[
    Dialect::EventBridge,
    Dialect::Lambda { source: Source::Sqs, strict: false },
    Dialect::Lambda { source: Source::Kinesis, strict: false },
    Dialect::Lambda { source: Source::DynamoDb, strict: true },
    Dialect::Lambda { source: Source::Kafka, strict: false },
    Dialect::Lambda { source: Source::Mq, strict: false },
    Dialect::SnsAttributes,
    Dialect::SnsBody,
];

/// The bytes are a pattern.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for dialect in DIALECTS {
        match Pattern::parse_as(text, *dialect) {
            Ok(pattern) => EVENTS.iter().for_each(|event| agree(&pattern, event.as_bytes())),
            Err(error) => drop((error.to_string(), error.aws(), error.position())),
        }
    }
}

/// The bytes are an event.
pub fn event(data: &[u8]) {
    for dialect in DIALECTS {
        let patterns = PATTERNS.iter().filter_map(|text| Pattern::parse_as(text, *dialect).ok());
        patterns.for_each(|pattern| agree(&pattern, data));
    }
    let _ = sns::attributes(data, &mut Vec::new());
}

fn agree(pattern: &Pattern, event: &[u8]) {
    let mut scratch = Scratch::default();
    let verdict = pattern.verdict(event, &mut scratch);
    let matching = Patterns::of([pattern]).matching(event, &mut scratch).map(<[u32]>::len);
    let explained = pattern.explain(event).map(|explanation| explanation.matches);
    match verdict {
        Verdict::Malformed(malformed) => {
            assert_eq!(matching, Err(malformed));
            assert_eq!(explained, Err(malformed));
        }
        verdict => {
            let matches = verdict == Verdict::Match;
            assert_eq!(pattern.matches(event), matches);
            assert_eq!((matching, explained), (Ok(usize::from(matches)), Ok(matches)));
        }
    }
}
