//! One pass over an event's bytes: down where a pattern looks, past everything else.

use super::address::Hex;
use super::dialect::Source;
use super::error::Malformed;
use super::json::{Cursor, DEEPEST, Fault, Kind, Scalar, Text};
use super::number::comparable;
use super::paths::{Carried, NodeId, ROOT};
use super::rules::Rules;
use super::scratch::{Array, Class, Element, Scratch};
use super::text::mask;
use super::value::Value;

/// How far an event is walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// To its end: all of it is checked to be JSON.
    End,
    /// Until nothing that follows can undo a match, what nobody looks at being hopped over unchecked.
    Sure,
}

/// Walks over `event` and notes what it finds.
pub(super) fn walk(
    rules: &Rules,
    event: &[u8],
    until: Until,
    scratch: &mut Scratch,
) -> Result<(), Malformed> {
    scratch.clear(rules.conditions.len(), rules.leaves.len());
    // A match is sure only of what was looked at: the rest is hopped over.
    let cursor = if until == Until::Sure { Cursor::trusting(event) } else { Cursor::new(event)? };
    let mut walk = Walk { cursor, rules, scratch, depth: 0, until, sure: false };
    match walk.whole() {
        Err(Fault) if !walk.sure => Err(walk.cursor.malformed()),
        _ => Ok(()),
    }
}

struct Walk<'e, 'r> {
    cursor: Cursor<'e>,
    rules: &'r Rules,
    scratch: &'r mut Scratch,
    depth: usize,
    until: Until,
    /// The rest does not matter: a [`Fault`] is none.
    sure: bool,
}

impl<'e> Walk<'e, '_> {
    fn whole(&mut self) -> Result<(), Fault> {
        if self.cursor.peek() != Some(b'{') {
            return self.cursor.expected("an object");
        }
        self.value(ROOT, 0)?;
        self.cursor.end()
    }

    /// The value at a place somebody looks at, inside `element`.
    fn value(&mut self, node: NodeId, element: u32) -> Result<(), Fault> {
        match self.cursor.peek() {
            Some(b'{') => self.nested(|walk| walk.object(node, element)),
            Some(b'[') => self.nested(|walk| walk.array(node, element)),
            _ => {
                let scalar = self.cursor.scalar()?;
                match (self.rules.paths.node(node).carried, scalar.kind) {
                    (Some(carried), Kind::String) => {
                        self.carried(node, carried, scalar.text);
                        Ok(())
                    }
                    _ => self.leaf(node, element, &scalar),
                }
            }
        }
    }

    /// Arrays at one place can be nested without end: the stack must not.
    fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.depth == DEEPEST {
            return self.cursor.expected("less nesting");
        }
        self.depth += 1;
        inside(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, node: NodeId, element: u32) -> Result<(), Fault> {
        self.cursor.take(b'{');
        if self.rules.paths.node(node).carried.is_some() {
            self.scratch.found.class = Class::Json;
        }
        if self.cursor.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.cursor.key()?;
            let down = self.down(node, key);
            if node == ROOT && self.rules.source == Some(Source::Kinesis) && key.raw == b"kinesis" {
                let start = self.cursor.clone();
                self.value(ROOT, element)?;
                if let Some(child) = down {
                    self.cursor = start;
                    self.value(child, element)?;
                }
            } else {
                match down {
                    Some(child) => self.value(child, element)?,
                    None => self.pass_over()?,
                }
            }
            if !self.cursor.more(b'}')? {
                return Ok(());
            }
        }
    }

    #[inline]
    fn pass_over(&mut self) -> Result<(), Fault> {
        match self.until {
            Until::End => self.cursor.skip(),
            Until::Sure => self.cursor.hop(),
        }
    }

    #[inline]
    fn down(&mut self, node: NodeId, key: Text<'_>) -> Option<NodeId> {
        self.rules.paths.down(node, key.decode(&mut self.scratch.text))
    }

    /// Objects and arrays in an array are elements of it: fields found in two of them are not found together. Scalars
    /// belong to what the array belongs to.
    fn array(&mut self, node: NodeId, element: u32) -> Result<(), Fault> {
        self.cursor.take(b'[');
        if self.rules.paths.node(node).carried.is_some() {
            self.scratch.found.class = Class::Json;
        }
        if self.cursor.take(b']') {
            return Ok(());
        }
        let array = self.scratch.found.arrays.len() as u32;
        let first = self.scratch.found.elements.len() as u32;
        self.scratch.found.arrays.push(Array { node, first, end: first });
        loop {
            match self.cursor.peek() {
                Some(b'{' | b'[') => {
                    let elements = &mut self.scratch.found.elements;
                    let inner = elements.len() as u32;
                    elements.push(Element { parent: element, array, end: inner + 1 });
                    self.value(node, inner)?;
                    let elements = &mut self.scratch.found.elements;
                    elements[inner as usize].end = elements.len() as u32;
                }
                _ => {
                    let scalar = self.cursor.scalar()?;
                    self.leaf(node, element, &scalar)?;
                }
            }
            if !self.cursor.more(b']')? {
                self.scratch.found.arrays[array as usize].end = self.scratch.found.elements.len() as u32;
                return Ok(());
            }
        }
    }

    #[inline]
    fn leaf(&mut self, node: NodeId, element: u32, scalar: &Scalar<'_>) -> Result<(), Fault> {
        let Some(leaf) = self.rules.paths.node(node).leaf else { return Ok(()) };
        let mut buffer = std::mem::take(&mut self.scratch.text);
        let text = scalar.text.decode(&mut buffer);
        let asked = &self.rules.leaves[leaf as usize];
        let number = (asked.numeric && scalar.kind == Kind::Number).then(|| comparable(text)).flatten();
        let address = (asked.address && scalar.kind == Kind::String).then(|| Hex::of(text)).flatten();
        let bytes = if asked.wildcards { bytes_of(text) } else { u128::MAX };
        let value = Value { kind: scalar.kind, text, number, address, bytes };
        let news = self.rules.test(leaf, &value, element, self.scratch);
        self.scratch.text = buffer;
        self.sure = news && self.until == Until::Sure && self.rules.sure(&self.scratch.found);
        if self.sure { Err(Fault) } else { Ok(()) }
    }

    /// A record's data: an object or array is walked into, other text is a string.
    fn carried(&mut self, node: NodeId, carried: Carried, text: Text<'_>) {
        let mut data = std::mem::take(&mut self.scratch.data);
        data.clear();
        let decoded = match carried {
            Carried::Text => {
                text.append_to(&mut data);
                true
            }
            Carried::Base64 => base64_simd::STANDARD.decode_append(text.raw, &mut data).is_ok(),
        };
        if decoded {
            self.scratch.found.class = self.data(node, &data);
        }
        self.scratch.data = data;
    }

    fn data(&mut self, node: NodeId, data: &[u8]) -> Class {
        let Ok(cursor) = Cursor::new(data) else { return Class::Other };
        // To the end: what is no JSON after all is text.
        let mut inner = Walk {
            cursor,
            rules: self.rules,
            scratch: self.scratch,
            depth: 0,
            until: Until::End,
            sure: false,
        };
        let json = matches!(inner.cursor.peek(), Some(b'{' | b'['))
            && inner.value(node, 0).and_then(|()| inner.cursor.end()).is_ok();
        if json {
            return Class::Json;
        }
        let text = Text { raw: data, escaped: false };
        let _ = self.leaf(node, 0, &Scalar { kind: Kind::String, text });
        Class::Plain
    }
}

/// Which ASCII characters a text has: a wildcard that needs others need not look.
fn bytes_of(text: &[u8]) -> u128 {
    text.iter().fold(0, |bytes, byte| bytes | mask(*byte))
}
