//! Protocol Buffers.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, FileDescriptor, MessageDescriptor, SerializeOptions};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::avro::varint;
use super::schema::{Text, Unreadable};

/// The name of the file itself; what it imports has the names of the registry's references.
const FILE: &str = "registered.proto";

/// A file of messages.
pub(crate) struct Schema(FileDescriptor);

impl Schema {
    pub(super) fn parse(text: &Text) -> Result<Self, Unreadable> {
        let wrong = |why: protox::Error| Unreadable::new(format!("the .proto file cannot be used: {why}"));
        let mut files: BTreeMap<_, _> = text.references.iter().cloned().collect();
        files.insert(FILE.to_owned(), text.schema.clone());
        let mut resolver = ChainFileResolver::new();
        resolver.add(Files(files));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file(FILE).map_err(wrong)?;
        let file = compiler.descriptor_pool().get_file_by_name(FILE);
        file.map(Self).ok_or_else(|| Unreadable::new("the .proto file is empty"))
    }

    /// Protobuf's JSON mapping: names in camel case, 64-bit numbers as text, nothing for what has its default.
    pub(super) fn json(&self, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (descriptor, bytes) = self.message(bytes)?;
        // (prost stops at a depth of 100.)
        let message = DynamicMessage::decode(descriptor, bytes)
            .map_err(|_| Unreadable::new("the bytes are not of the message its header names"))?;
        let mut out = Vec::with_capacity(bytes.len() * 2);
        let mut serializer = serde_json::Serializer::new(&mut out);
        message
            .serialize_with_options(&mut serializer, &SerializeOptions::new())
            .map_err(|_| Unreadable::new("Protobuf's JSON mapping has nothing for it"))?;
        Ok(out)
    }

    /// Which message it is: a list of indexes, outermost first; an empty list stands for the first of the file.
    fn message<'a>(&self, mut bytes: &'a [u8]) -> Result<(MessageDescriptor, &'a [u8]), Unreadable> {
        let mut next = || {
            let number = varint(&mut bytes)?;
            usize::try_from(number).map_err(|_| Unreadable::new("a message index is negative"))
        };
        let depth = next()?;
        let first = if depth == 0 { 0 } else { next()? };
        let mut found = self.0.messages().nth(first);
        for _ in 1..depth {
            let index = next()?;
            // A map's entries are messages that nobody wrote, and that are not counted.
            let parent = found.ok_or_else(|| Unreadable::new("there is no message of that index"))?;
            found = parent.child_messages().filter(|child| !child.is_map_entry()).nth(index);
        }
        found.map(|found| (found, bytes)).ok_or_else(|| Unreadable::new("there is no message of that index"))
    }
}

/// Files that the registry has.
struct Files(BTreeMap<String, String>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(source) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}
