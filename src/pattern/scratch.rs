//! What is found out about one event, in memory that the next one uses again.

use super::arrays::Search;
use super::paths::NodeId;

/// Room to match in. Kept from one event to the next, it is allocated once.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) found: Found,
    pub(super) search: Search,
    /// Alternatives that may hold, and rules that matched.
    pub(super) ways: Vec<u32>,
    pub(super) matched: Vec<u32>,
    /// A string's text without its escapes; a record's data.
    pub(super) text: Vec<u8>,
    pub(super) data: Vec<u8>,
}

/// An element of an array, and what it lies in. The first is the event itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    pub parent: u32,
    pub array: u32,
    /// Elements inside this one follow it, up to here.
    pub end: u32,
}

/// An array of the event that a field is looked for in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Array {
    /// Its place in the tree of paths.
    pub node: NodeId,
    /// Its elements, and what is inside them.
    pub first: u32,
    pub end: u32,
}

/// What the walk over an event found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By condition: whether any value answers it.
    pub hit: Vec<bool>,
    /// The same with the element it was in: (condition, element).
    pub hits: Vec<(u32, u32)>,
    /// By leaf: whether there is any value.
    pub present: Vec<bool>,
    /// The same with the element, where it matters: (leaf, element).
    pub seen: Vec<(u32, u32)>,
    pub elements: Vec<Element>,
    pub arrays: Vec<Array>,
    pub class: Class,
}

/// What a record carries as its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Class {
    /// Nothing, or bytes that are no text.
    #[default]
    Other,
    /// An object or an array.
    Json,
    /// Any other text.
    Plain,
}

impl Scratch {
    pub(super) fn clear(&mut self, conditions: usize, leaves: usize) {
        let found = &mut self.found;
        found.hit.clear();
        found.hit.resize(conditions, false);
        found.present.clear();
        found.present.resize(leaves, false);
        found.hits.clear();
        found.seen.clear();
        found.arrays.clear();
        found.elements.clear();
        found.elements.push(Element { parent: 0, array: u32::MAX, end: 0 });
        found.class = Class::default();
        self.matched.clear();
    }

    /// Notes that a value in `element` answers a condition; answers whether it is the first.
    pub(super) fn hit(&mut self, condition: u32, element: u32) -> bool {
        let first = !std::mem::replace(&mut self.found.hit[condition as usize], true);
        // The same element again says nothing new: an array of scalars is in one.
        if first || self.found.hits.last() != Some(&(condition, element)) {
            self.found.hits.push((condition, element));
        }
        first
    }
}
