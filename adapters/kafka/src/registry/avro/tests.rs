use apache_avro::types::Value as Avro;
use serde_json::{Value, json};

use super::*;

fn schema(text: &str) -> Result<Schema, Unreadable> {
    Schema::parse(&Text { format: None, schema: text.to_owned(), references: Vec::new() })
}

fn read(text: &str, bytes: &[u8]) -> Result<String, Unreadable> {
    schema(text)?.json(bytes).map(|json| String::from_utf8(json).unwrap())
}

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn word(&mut self) -> String {
        const LETTERS: [char; 6] = ['a', '"', '\\', '\n', 'é', '𝄞'];
        (0..self.roll(5)).map(|_| LETTERS[self.roll(6) as usize]).collect()
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.roll(256) as u8).collect()
    }
}

/// A schema, a value of it as the crate has it, and the JSON it must become. Named types are counted in `names`.
fn any(dice: &mut Dice, depth: usize, names: &mut usize) -> (Value, Avro, Value) {
    let latin = |bytes: &[u8]| Value::from(bytes.iter().map(|b| char::from(*b)).collect::<String>());
    let mut name = || {
        *names += 1;
        format!("N{names}")
    };
    match dice.roll(if depth == 0 { 10 } else { 15 }) {
        0 => (json!("null"), Avro::Null, Value::Null),
        1 => {
            let flag = dice.roll(2) == 0;
            (json!({"type": "boolean"}), Avro::Boolean(flag), json!(flag))
        }
        2 => {
            let number = dice.0 as i32;
            (json!("int"), Avro::Int(number), json!(number))
        }
        3 => {
            let number = dice.0.cast_signed();
            (json!("long"), Avro::Long(number), json!(number))
        }
        4 => {
            let number = dice.roll(1000) as f32 / 8.0;
            (json!("float"), Avro::Float(number), json!(number))
        }
        5 => {
            let number = dice.roll(1 << 40) as f64 / 1024.0;
            (json!("double"), Avro::Double(number), json!(number))
        }
        6 => {
            let count = dice.roll(20);
            let bytes = dice.bytes(count);
            (json!("bytes"), Avro::Bytes(bytes.clone()), latin(&bytes))
        }
        7 => {
            let word = dice.word();
            (json!("string"), Avro::String(word.clone()), json!(word))
        }
        8 => {
            let bytes = dice.bytes(4);
            (
                json!({"type": "fixed", "name": name(), "size": 4}),
                Avro::Fixed(4, bytes.clone()),
                latin(&bytes),
            )
        }
        9 => {
            let picked = dice.roll(3) as u32;
            let symbol = ["A", "B", "C"][picked as usize];
            let schema = json!({"type": "enum", "name": name(), "symbols": ["A", "B", "C"]});
            (schema, Avro::Enum(picked, symbol.to_owned()), json!(symbol))
        }
        10 => {
            let (items, avro, expected) = any(dice, depth - 1, names);
            let count = dice.roll(4) as usize;
            (
                json!({"type": "array", "items": items}),
                Avro::Array(vec![avro; count]),
                vec![expected; count].into(),
            )
        }
        11 => {
            let (values, avro, expected) = any(dice, depth - 1, names);
            let key = dice.word();
            (
                json!({"type": "map", "values": values}),
                Avro::Map([(key.clone(), avro)].into()),
                Value::Object([(key, expected)].into_iter().collect()),
            )
        }
        12 => {
            // A union holds no union; an array of one is something else than any other branch here.
            let (items, avro, expected) = any(dice, depth - 1, names);
            let schema = json!(["null", {"type": "array", "items": items}]);
            (schema, Avro::Union(1, Box::new(Avro::Array(vec![avro]))), json!([expected]))
        }
        _ => {
            let own = name();
            let (mut fields, mut avro, mut expected) = (Vec::new(), Vec::new(), serde_json::Map::new());
            for number in 0..dice.roll(4) {
                let field = format!("f{number}");
                let (schema, value, json) = any(dice, depth - 1, names);
                fields.push(json!({"name": field, "type": schema}));
                avro.push((field.clone(), value));
                expected.insert(field, json);
            }
            let schema = json!({"type": "record", "name": own, "namespace": "com.example", "fields": fields});
            (schema, Avro::Record(avro), Value::Object(expected))
        }
    }
}

/// What the `apache-avro` crate writes, we read; and no byte less is enough for it.
#[test]
fn what_the_crate_writes() {
    for seed in 1..2_000 {
        let (text, avro, expected) = any(&mut Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)), 4, &mut 0);
        let theirs =
            apache_avro::Schema::parse(&text).unwrap_or_else(|why| panic!("seed {seed}: {why}: {text}"));
        let bytes = apache_avro::writer::datum::GenericDatumWriter::builder(&theirs)
            .build()
            .unwrap()
            .write_value_to_vec(avro)
            .unwrap();
        let ours = schema(&text.to_string()).unwrap();
        let json: Value = serde_json::from_slice(&ours.json(&bytes).unwrap()).unwrap();
        assert_eq!(json, expected, "seed {seed}: {text}");
        // Other bytes are an error or other JSON, and nothing worse.
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1 << (seed % 8);
            if let Ok(json) = ours.json(&other) {
                serde_json::from_slice::<Value>(&json).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            }
        }
        if let Some((_, short)) = bytes.split_last() {
            assert!(ours.json(short).is_err(), "seed {seed}: {text}");
        }
    }
}

#[test]
fn names_are_found_where_the_specification_says() {
    let text = r#"{"type":"record","name":"a.b.Outer","fields":[
        {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["X"]}},
        {"name":"same","type":"Kind"},{"name":"full","type":"a.b.Kind"},
        {"name":"inner","type":{"type":"record","name":"Inner","namespace":"c","fields":[
            {"name":"kind","type":"a.b.Kind"},{"name":"next","type":["null","Inner"]}]}},
        {"name":"more","type":"c.Inner"}]}"#;
    let seen = read(text, &[0, 0, 0, 0, 2, 0, 0, 0, 0]).unwrap();
    let expected = r#"{"kind":"X","same":"X","full":"X","inner":{"kind":"X","next":{"kind":"X","next":null}},"more":{"kind":"X","next":null}}"#;
    assert_eq!(seen, expected);
    let missing = schema(r#"{"type":"record","name":"A","fields":[{"name":"x","type":"B"}]}"#).unwrap_err();
    assert_eq!(missing.to_string(), "the Avro schema has no type B");
    for wrong in
        ["", "1", "{}", r#"{"type":"record","name":"A"}"#, r#"{"type":"enum","name":"E","symbols":[1]}"#]
    {
        assert!(schema(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn blocks_may_have_sizes_and_numbers_may_be_none() {
    // A block of two with its size, a block of one without.
    let array = r#"{"type":"array","items":"long"}"#;
    assert_eq!(read(array, &[3, 4, 2, 4, 2, 6, 0]).unwrap(), "[1,2,3]");
    assert_eq!(read(r#""double""#, &f64::NAN.to_le_bytes()).unwrap(), r#""NaN""#);
    assert_eq!(read(r#""float""#, &f32::NEG_INFINITY.to_le_bytes()).unwrap(), r#""-Infinity""#);
    assert_eq!(read(r#"{"type":"int","logicalType":"date"}"#, &[2]).unwrap(), "1");
    assert_eq!(
        read(r#""long""#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).unwrap(),
        i64::MIN.to_string()
    );
}

#[test]
fn hostile_bytes_end_with_an_error() {
    let circle = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}"#;
    assert_eq!(read(circle, &[]).unwrap_err().to_string(), "nested too deep");
    let list = r#"{"type":"record","name":"A","fields":[{"name":"next","type":["null","A"]}]}"#;
    assert_eq!(read(list, &[2; 1_000_000]).unwrap_err().to_string(), "nested too deep");
    // 2^40 nulls take no bytes at all.
    let nulls = r#"{"type":"array","items":"null"}"#;
    let many = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
    assert_eq!(read(nulls, &many).unwrap_err().to_string(), "too large");
    for (schema, bytes) in [
        (r#""string""#, &[0x01][..]),
        (r#""string""#, &[2, 0xff]),
        (r#""bytes""#, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (r#""long""#, &[0xff; 11]),
        (r#""boolean""#, &[2]),
        (r#"["null","long"]"#, &[4]),
        (r#"["null","long"]"#, &[1]),
    ] {
        assert!(read(schema, bytes).is_err(), "{schema} {bytes:?}");
    }
}
