//! Promise: an event pattern's verdict is event-ruler's, for whatever pattern and event.
//!
//! Recorded verdicts are in `src/pattern/tests.rs`; here are the laws: quamina agrees on what it knows, a pattern made of
//! an event matches it and not its neighbour, and no bytes, however made, are too much.

#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::time::{Duration, Instant};

use klr::pattern::{Dialect, Pattern, Patterns, Scratch, Source, Verdict, sns};
use proptest::prelude::*;
use quamina::Quamina;
use serde_json::{Map, Value, json};

/// Short strings that often meet.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]{0,3}",
        1 => "[A-B]{1,2}",
        1 => prop::sample::select(vec!["é", "É", "日本", "a*b", "10.0.0.1", "10", "\"", "\\", "a.b", "😀", "\u{7}"])
            .prop_map(str::to_owned),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3..12_i64).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.5, -2.25, 1e10]).prop_map(Value::from)
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => word().prop_map(Value::from),
        3 => number(),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

fn object(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(KEYS.to_vec()), value), 1..4).prop_map(|members| {
        Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    })
}

fn event() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![object(inner.clone()), prop::collection::vec(inner, 0..4).prop_map(Value::Array)]
    });
    object(value)
}

/// An item of a list, of those kinds that quamina reads as event-ruler does.
fn item() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => scalar(),
        1 => word().prop_map(|text| json!({"prefix": text})),
        1 => word().prop_map(|text| json!({"suffix": text})),
        1 => "[ab]{0,2}".prop_map(|text| json!({"equals-ignore-case": text})),
        1 => "[ab]{1,2}\\*?[ab]{0,1}".prop_map(|text| json!({"wildcard": text})),
        1 => prop::collection::vec("[ab]{1,2}", 1..3).prop_map(|texts| json!({"anything-but": texts})),
        1 => (-3..5_i64, 5..12_i64).prop_map(|(low, high)| json!({"numeric": [">=", low, "<", high]})),
    ]
}

fn pattern() -> impl Strategy<Value = Value> {
    // `exists` beside others in a list is what quamina does not take for an alternative.
    let list = prop_oneof![
        9 => prop::collection::vec(item(), 1..3).prop_map(Value::Array),
        1 => Just(json!([{"exists": true}])),
    ];
    let member = list.prop_recursive(2, 8, 3, object);
    object(member)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn quamina_agrees(pattern in pattern(), events in prop::collection::vec(event(), 8)) {
        let text = pattern.to_string();
        let mut theirs = Quamina::new();
        prop_assume!(theirs.add_pattern("p", &text).is_ok());
        let ours = Pattern::parse(&text).unwrap();
        let mut scratch = Scratch::default();
        // quamina takes the inner for the outer where a field in an array's object has the array's own name; event-ruler does not.
        for event in events.iter().filter(|event| !repeats_a_step(event, &mut Vec::new())).map(Value::to_string) {
            let expected = theirs.has_matches(event.as_bytes()).unwrap();
            let seen = ours.verdict(event.as_bytes(), &mut scratch);
            prop_assert_eq!(seen == Verdict::Match, expected, "{} on {}", text, event);
        }
    }

    /// One leaf of an event, wherever it is, is matched by a pattern made of it, and not by one made of another value.
    #[test]
    fn a_pattern_made_of_an_event_matches_it_and_not_its_neighbour(event in event(), pick in any::<prop::sample::Index>()) {
        let leaves = leaves(&event);
        prop_assume!(!leaves.is_empty());
        let (path, value) = &leaves[pick.index(leaves.len())];
        let text = event.to_string();
        let matches = |item: Value| {
            Pattern::parse(&nested(path, json!([item])).to_string()).unwrap().matches(text.as_bytes())
        };
        let (here, gone) = (json!({"exists": true}), json!({"exists": false}));
        prop_assert!(matches(value.clone()) && matches(here) && !matches(gone));
        let (other, but) = (json!("no such value"), json!({"anything-but": "no such value"}));
        prop_assert!(!matches(other) && matches(but));
        if let Value::String(string) = value {
            let (begin, end) = (string.chars().next(), string.chars().next_back());
            let begin = json!({"prefix": begin.map(String::from).unwrap_or_default()});
            let end = json!({"suffix": end.map(String::from).unwrap_or_default()});
            prop_assert!(matches(begin) && matches(end));
        }
    }

    /// The same pattern says the same of an event however it is asked: alone, in a set, in haste, through white space and
    /// escapes, with fields nobody asks for.
    #[test]
    fn how_it_is_asked_makes_no_difference(patterns in prop::collection::vec(pattern(), 1..40), event in event()) {
        let parsed: Vec<Pattern> = patterns.iter().map(|pattern| Pattern::parse(&pattern.to_string()).unwrap()).collect();
        let (plain, mut scratch) = (event.to_string(), Scratch::default());
        let mut wider = event.clone();
        wider["zz"] = json!({"a": {"b": [{"c": "a"}]}, "x": [[], {}]});
        let escaped: String = serde_json::to_string_pretty(&wider).unwrap().chars().map(|c| match c {
            'a'..='c' => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        }).collect();
        // Outside strings only `null`, `true`, `false` have letters, and those are put back.
        let escaped = escaped.replace("f\\u0061lse", "false");
        let matching = Patterns::of(&parsed).matching(plain.as_bytes(), &mut scratch).unwrap().to_vec();
        for (n, pattern) in parsed.iter().enumerate() {
            let verdict = pattern.verdict(plain.as_bytes(), &mut scratch);
            prop_assert_eq!(matching.contains(&(n as u32)), verdict == Verdict::Match, "{} on {}", patterns[n], plain);
            prop_assert_eq!(pattern.matches(plain.as_bytes()), verdict == Verdict::Match);
            prop_assert_eq!(pattern.verdict(escaped.as_bytes(), &mut scratch), verdict, "{} on {}", patterns[n], escaped);
            prop_assert_eq!(pattern.explain(plain.as_bytes()).unwrap().matches, verdict == Verdict::Match);
        }
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200), like in "[\\[\\]{}:,\"\\\\u0a-f.e+\\- ]{0,80}") {
        everything(&bytes);
        everything(like.as_bytes());
    }
}

/// Asks all there is to ask.
fn everything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lambda = |source| Dialect::Lambda { source, strict: false };
    for dialect in
        [Dialect::EventBridge, lambda(Source::Sqs), lambda(Source::Kinesis), Dialect::SnsAttributes]
    {
        if let Ok(pattern) = Pattern::parse_as(&text, dialect) {
            pattern.matches(bytes);
        }
    }
    let some =
        r#"{"a":["x",{"numeric":[">",1]}],"body":{"b":[{"exists":false}]},"kinesis":{"data":{"c":[1]}}}"#;
    for source in [Source::Sqs, Source::Kinesis, Source::Kafka] {
        let pattern = Pattern::parse_as(some, lambda(source)).unwrap();
        let _ = pattern.explain(bytes);
        pattern.matches(bytes);
    }
    let _ = sns::attributes(bytes, &mut Vec::new());
}

/// Whether a field lies, at any depth, in one of the same name.
fn repeats_a_step<'e>(event: &'e Value, above: &mut Vec<&'e str>) -> bool {
    match event {
        Value::Object(members) => members.iter().any(|(key, value)| {
            if above.contains(&key.as_str()) {
                return true;
            }
            above.push(key);
            let repeats = repeats_a_step(value, above);
            above.pop();
            repeats
        }),
        Value::Array(items) => items.iter().any(|item| repeats_a_step(item, above)),
        _ => false,
    }
}

/// The scalars of an event with their paths.
fn leaves(event: &Value) -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), event)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(members) => open.extend(members.iter().map(|(key, value)| {
                let path: Vec<String> = path.iter().chain([key]).cloned().collect();
                (path, value)
            })),
            Value::Array(items) => open.extend(items.iter().map(|item| (path.clone(), item))),
            scalar => found.push((path, scalar.clone())),
        }
    }
    found
}

fn nested(path: &[String], list: Value) -> Value {
    path.iter().rev().fold(list, |inner, step| Value::Object(Map::from_iter([(step.clone(), inner)])))
}

#[test]
fn depth_has_an_end_on_a_small_stack() {
    let deep =
        |open: &str, inside: &str, close: &str, depth| open.repeat(depth) + inside + &close.repeat(depth);
    let asked = move || {
        for depth in [200, 5_000, 500_000] {
            let pattern = deep("{\"a\":", "[1]", "}", depth);
            let event = deep("{\"a\":", "1", "}", depth);
            assert_eq!(
                Pattern::parse(&pattern).is_ok_and(|pattern| pattern.matches(event.as_bytes())),
                depth == 200
            );
            let _ = Pattern::parse(&deep("{\"$or\":[{\"a\":[1]},", "{\"a\":[1]}", "]}", depth));
            let arrays = format!("{{\"a\":{}}}", deep("[", "1", "]", depth));
            let pattern = Pattern::parse(r#"{"a": [1]}"#).unwrap();
            assert_eq!(pattern.matches(arrays.as_bytes()), depth == 200);
            let _ =
                Pattern::parse(r#"{"b": [1]}"#).unwrap().verdict(arrays.as_bytes(), &mut Scratch::default());
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(asked).unwrap().join().unwrap();
}

#[test]
fn work_stays_bounded() {
    let begun = Instant::now();
    // Two thousand ways, multiplied out: refused before they are.
    let twice =
        (0..40).map(|n| format!("\"$or\":[{{\"a{n}\":[1]}},{{\"b{n}\":[1]}}]")).collect::<Vec<_>>().join(",");
    assert!(Pattern::parse(&format!("{{{twice}}}")).unwrap_err().reason().starts_with("Rule is too complex"));
    // Elements that fit one field each, and none both: each is looked at, but not with each other.
    let n = 50_000;
    let element = |i: usize| if i.is_multiple_of(2) { "{\"x\":1,\"y\":2}" } else { "{\"x\":2,\"y\":1}" };
    let list = (0..n).map(element).collect::<Vec<_>>().join(",");
    let event = format!("{{\"a\":[{list}],\"b\":[{list}],\"c\":[{{\"z\":1}},{{\"w\":1}}]}}");
    for (pattern, matches) in [
        (r#"{"a":{"x":[1],"y":[1]}}"#, false),
        (r#"{"a":{"x":[1],"y":[2]},"b":{"x":[2],"y":[1]}}"#, true),
        (r#"{"a":{"x":[1],"y":[2]},"b":{"x":[2],"y":[1]},"c":{"w":[1],"z":[1]}}"#, false),
        (r#"{"a":{"x":[1]},"b":{"y":[1]},"c":{"w":[1],"z":[{"exists":false}]}}"#, true),
        (r#"{"a":{"x":[1],"y":[{"exists":false}]}}"#, false),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(event.as_bytes()), matches, "{pattern}");
    }
    // A wildcard that would go back and forth.
    let wildcard = Pattern::parse(r#"{"a":[{"wildcard":"*a*a*a*b"}]}"#).unwrap();
    assert!(!wildcard.matches(format!("{{\"a\":\"{}\"}}", "a".repeat(1 << 20)).as_bytes()));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_pattern_that_is_refused_says_where_and_why() {
    let of = |text: &str| Pattern::parse(text).unwrap_err().to_string();
    for (text, why) in [
        (
            "{\n  \"é\": [{\"numerc\": [\">\", 1]}]\n}",
            "Event pattern is not valid. Reason: Unrecognized match type numerc (line 2, column 10: did you mean numeric?)",
        ),
        (
            r#"{"a": "b"}"#,
            "Event pattern is not valid. Reason: \"a\" must be an object or an array (line 1, column 2: a value that must be \
             equal stands in a list: [\"value\"])",
        ),
        (
            r#"{"a": [{"numeric": [">", 0, ">", 5]}]}"#,
            "Event pattern is not valid. Reason: Bad numeric range operator: > (line 1, column 29: the first bound of a range is \
             the lower one (> or >=), the second the upper (< or <=))",
        ),
        ("[1]", "Event pattern is not valid. Reason: Filter is not an object (line 1, column 1)"),
    ] {
        assert_eq!(of(text), why);
    }
    let nested = Pattern::parse_as(r#"{"a": {"b": ["x"]}}"#, Dialect::SnsAttributes).unwrap_err();
    assert_eq!(
        nested.aws(),
        "Invalid parameter: FilterPolicy: Filter policy scope MessageAttributes does not support nested filter policy"
    );
    assert!(
        Pattern::parse_as(r#"{"a": [{"prefix": {"equals-ignore-case": "x"}}]}"#, Dialect::SnsBody).is_err()
    );
    let six = r#"{"a":["x"],"b":["x"],"c":["x"],"d":["x"],"e":["x"],"f":["x"]}"#;
    assert_eq!(
        Pattern::parse_as(six, Dialect::SnsBody).unwrap_err().reason(),
        "Filter policy can not have more than 5 keys"
    );
}

#[test]
fn the_clause_that_decides_is_named() {
    let pattern = Pattern::parse(r#"{"a": {"b": ["1"], "c": ["2"]}, "d": [{"exists": true}]}"#).unwrap();
    let explained = |event: &str| {
        let explanation = pattern.explain(event.as_bytes()).unwrap();
        explanation.ways[0].iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        explained(r#"{"a": {"b": "1", "c": "2"}, "d": 0}"#),
        [
            r#"a.b ["1"] (line 1, column 13): holds"#,
            r#"a.c ["2"] (line 1, column 25): holds"#,
            r#"d [{"exists": true}] (line 1, column 38): holds"#
        ]
    );
    assert_eq!(
        explained(r#"{"a": {"b": "1"}, "d": 0}"#),
        [r#"a.c ["2"] (line 1, column 25): the event has no value there"#]
    );
    assert_eq!(
        explained(r#"{"a": {"b": "9", "c": 2}}"#),
        [r#"a.b ["1"] (line 1, column 13): no value there is one of these"#]
    );
    assert_eq!(
        explained(r#"{"a": [{"b": "1"}, {"c": "2"}], "d": 0}"#),
        [
            r#"a.c ["2"] (line 1, column 25): holds by itself, but not in the array element where the clauses before it do"#
        ]
    );
    let twice = Pattern::parse(r#"{"a": ["x"], "a": ["y"]}"#).unwrap();
    assert_eq!(twice.warnings(), ["a is there twice; only the list at line 1, column 19 counts"]);
}
