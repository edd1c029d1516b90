//! Apache Avro: binary data straight to JSON.
//!
//! Not by the `apache-avro` crate: it builds a tree of each value first, and follows a recursive schema as deep as the
//! bytes say, which on a thread's stack is the end of the process. (Tests compare the two.) Names, namespaces and the binary
//! encoding are the specification's; defaults, aliases and schema resolution are a reader's, and there is no other reader's
//! schema here.

use std::collections::HashMap;

use bytes::BufMut;
use serde_json::{Map, Value};

use super::schema::{Text, Unreadable};

/// How deep values may be nested: as deep as JSON may be for most of its readers.
const DEEPEST: usize = 100;
/// No event is larger than 6 MB.
const LARGEST: usize = 16 << 20;

/// A schema: types refer to each other by their places in the list, since they may do so in circles.
#[derive(Debug)]
pub(crate) struct Schema {
    types: Vec<Type>,
    root: usize,
}

#[derive(Debug)]
enum Type {
    Null,
    Boolean,
    /// `int` is written like `long`.
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<(String, usize)>),
}

impl Schema {
    pub(super) fn parse(text: &Text) -> Result<Self, Unreadable> {
        let mut parser = Parser::default();
        let read = |text: &str| {
            serde_json::from_str(text).map_err(|_| Unreadable::new("the Avro schema is no JSON"))
        };
        for (_, text) in &text.references {
            parser.parse(&read(text)?, "")?;
        }
        let root = parser.parse(&read(&text.schema)?, "")?;
        Ok(Self { types: parser.types, root })
    }

    /// Bytes that follow the value are passed over, as by Avro's own readers.
    pub(super) fn json(&self, mut bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut out = Vec::with_capacity(bytes.len() * 2);
        self.write(self.root, &mut bytes, DEEPEST, &mut out)?;
        Ok(out)
    }

    fn write(&self, of: usize, bytes: &mut &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let depth = depth.checked_sub(1).ok_or_else(|| Unreadable::new("nested too deep"))?;
        match &self.types[of] {
            Type::Null => out.put_slice(b"null"),
            Type::Boolean => out.put_slice(match take(bytes, 1)? {
                [0] => b"false".as_slice(),
                [1] => b"true",
                _ => return Err(Unreadable::new("expected a boolean")),
            }),
            Type::Long => json(&varint(bytes)?, out),
            Type::Float => {
                let number = f32::from_le_bytes(array(bytes)?);
                if number.is_finite() { json(&number, out) } else { odd(number.into(), out) }
            }
            Type::Double => {
                let number = f64::from_le_bytes(array(bytes)?);
                if number.is_finite() { json(&number, out) } else { odd(number, out) }
            }
            Type::Bytes => latin(counted(bytes)?, out),
            Type::Fixed(size) => latin(take(bytes, *size)?, out),
            Type::Text => json(text(bytes)?, out),
            Type::Enum(symbols) => json(pick(symbols, bytes)?, out),
            Type::Union(branches) => self.write(*pick(branches, bytes)?, bytes, depth, out)?,
            Type::Array(items) => {
                out.put_u8(b'[');
                blocks(bytes, out, |bytes, out| self.write(*items, bytes, depth, out))?;
                out.put_u8(b']');
            }
            Type::Map(values) => {
                out.put_u8(b'{');
                blocks(bytes, out, |bytes, out| {
                    json(text(bytes)?, out);
                    out.put_u8(b':');
                    self.write(*values, bytes, depth, out)
                })?;
                out.put_u8(b'}');
            }
            Type::Record(fields) => {
                out.put_u8(b'{');
                for (number, (name, of)) in fields.iter().enumerate() {
                    if number > 0 {
                        out.put_u8(b',');
                    }
                    json(name, out);
                    out.put_u8(b':');
                    self.write(*of, bytes, depth, out)?;
                }
                out.put_u8(b'}');
            }
        }
        Ok(())
    }
}

/// Writes the items of an array or a map: blocks of so many, each perhaps with its size, and an empty one.
fn blocks(
    bytes: &mut &[u8],
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut &[u8], &mut Vec<u8>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut first = true;
    loop {
        let count = varint(bytes)?;
        if count == 0 {
            return Ok(());
        }
        if count < 0 {
            varint(bytes)?;
        }
        for _ in 0..count.unsigned_abs() {
            if !std::mem::take(&mut first) {
                out.put_u8(b',');
            }
            item(bytes, out)?;
            // Nulls take no bytes: a count alone could ask for any number of them.
            if out.len() > LARGEST {
                return Err(Unreadable::new("too large"));
            }
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Unreadable> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or_else(|| Unreadable::new("it ends too early"))?;
    *bytes = rest;
    Ok(taken)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    take(bytes, N).map(|taken| taken.try_into().expect("as many as were asked for"))
}

/// A number in zigzag, seven bits a byte, as Avro writes every whole number.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<i64, Unreadable> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = array(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    Err(Unreadable::new("a number is too long"))
}

fn counted<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Unreadable> {
    let count = usize::try_from(varint(bytes)?).map_err(|_| Unreadable::new("a length is negative"))?;
    take(bytes, count)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, Unreadable> {
    std::str::from_utf8(counted(bytes)?).map_err(|_| Unreadable::new("text is not UTF-8"))
}

/// One of a list, by its number.
fn pick<'t, T>(of: &'t [T], bytes: &mut &[u8]) -> Result<&'t T, Unreadable> {
    let picked = usize::try_from(varint(bytes)?).ok().and_then(|index| of.get(index));
    picked.ok_or_else(|| Unreadable::new("there is no branch or symbol of that number"))
}

fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("text and numbers can be written to memory");
}

/// What JSON has no number for.
fn odd(number: f64, out: &mut Vec<u8>) {
    json(
        if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        },
        out,
    );
}

/// Bytes, each as the code point of that number.
fn latin(bytes: &[u8], out: &mut Vec<u8>) {
    json(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>(), out);
}

#[derive(Default)]
struct Parser {
    types: Vec<Type>,
    /// By full name.
    named: HashMap<String, usize>,
}

impl Parser {
    fn parse(&mut self, schema: &Value, namespace: &str) -> Result<usize, Unreadable> {
        match schema {
            Value::String(name) => self.reference(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.parse(branch, namespace));
                let branches = branches.collect::<Result<_, _>>()?;
                Ok(self.add(Type::Union(branches)))
            }
            Value::Object(schema) => self.object(schema, namespace),
            _ => Err(Unreadable::new("the Avro schema has something else where a type must be")),
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, namespace: &str) -> Result<usize, Unreadable> {
        let kind = match member(schema, "type")? {
            Value::String(kind) => kind.as_str(),
            nested => return self.parse(nested, namespace),
        };
        match kind {
            "record" | "error" => self.record(schema, namespace),
            "enum" => {
                let symbols =
                    list(schema, "symbols")?.iter().map(|symbol| symbol.as_str().map(str::to_owned));
                let symbols = symbols.collect::<Option<_>>();
                let symbols =
                    symbols.ok_or_else(|| Unreadable::new("a symbol of the Avro schema is no text"))?;
                let place = self.add(Type::Enum(symbols));
                self.name(schema, namespace, place).map(|_| place)
            }
            "fixed" => {
                let size = member(schema, "size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| Unreadable::new("a size of the Avro schema is no number"))?;
                let place = self.add(Type::Fixed(size));
                self.name(schema, namespace, place).map(|_| place)
            }
            "array" => {
                let items = self.parse(member(schema, "items")?, namespace)?;
                Ok(self.add(Type::Array(items)))
            }
            "map" => {
                let values = self.parse(member(schema, "values")?, namespace)?;
                Ok(self.add(Type::Map(values)))
            }
            // With a logical type, or without: the bytes are the same.
            name => self.reference(name, namespace),
        }
    }

    fn record(&mut self, schema: &Map<String, Value>, namespace: &str) -> Result<usize, Unreadable> {
        // Its name is known within its own fields.
        let place = self.add(Type::Record(Vec::new()));
        let within = self.name(schema, namespace, place)?;
        let mut fields = Vec::new();
        for field in list(schema, "fields")? {
            let name = field.get("name").and_then(Value::as_str);
            let kind = field.get("type");
            let (Some(name), Some(kind)) = (name, kind) else {
                return Err(Unreadable::new("a field of the Avro schema has no name or no type"));
            };
            fields.push((name.to_owned(), self.parse(kind, &within)?));
        }
        self.types[place] = Type::Record(fields);
        Ok(place)
    }

    /// Enters a type by its full name; answers the namespace that holds within it.
    fn name(
        &mut self,
        schema: &Map<String, Value>,
        namespace: &str,
        place: usize,
    ) -> Result<String, Unreadable> {
        let name = member(schema, "name")?.as_str().ok_or_else(|| Unreadable::new("a name is no text"))?;
        let own = schema.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        // A dot makes it a full name, whatever the namespace says.
        let (namespace, name) = name.rsplit_once('.').unwrap_or((own, name));
        self.named.insert(full(name, namespace), place);
        Ok(namespace.to_owned())
    }

    fn reference(&mut self, name: &str, namespace: &str) -> Result<usize, Unreadable> {
        let primitive = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" | "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::Text,
            _ => {
                let found = self.named.get(&full(name, namespace)).or_else(|| self.named.get(name));
                return found
                    .copied()
                    .ok_or_else(|| Unreadable::new(format!("the Avro schema has no type {name}")));
            }
        };
        Ok(self.add(primitive))
    }

    fn add(&mut self, of: Type) -> usize {
        self.types.push(of);
        self.types.len() - 1
    }
}

fn full(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn member<'s>(schema: &'s Map<String, Value>, name: &str) -> Result<&'s Value, Unreadable> {
    schema.get(name).ok_or_else(|| Unreadable::new(format!("a type of the Avro schema has no {name}")))
}

fn list<'s>(schema: &'s Map<String, Value>, name: &str) -> Result<&'s Vec<Value>, Unreadable> {
    member(schema, name)?
        .as_array()
        .ok_or_else(|| Unreadable::new(format!("{name} of the Avro schema is no list")))
}

#[cfg(test)]
mod tests;
