//! Patterns made ready: what is asked of which field, each question once however many patterns ask it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::dialect::Source;
use super::leaf::Leaf;
use super::parse::{Alternative, Field};
use super::paths::{Carried, NodeId, Paths};
use super::scratch::{Class, Found, Scratch};
use super::value::{Test, Value};

/// Up to here alternatives are asked one after the other; of more, only those that a hit leads to.
const FEW: usize = 8;

/// Some patterns, over one layout of events.
#[derive(Debug)]
pub(super) struct Rules {
    pub paths: Paths,
    pub leaves: Vec<Leaf>,
    pub conditions: Vec<Condition>,
    /// In the order of their rules.
    pub alternatives: Vec<Way>,
    pub source: Option<Source>,
    /// What comes later in an event can undo a match: some field must be absent, some part is about a record's data.
    pub undoable: bool,
    /// Alternatives that hold only where a condition was hit, by that condition; and those that may hold without.
    leads: Vec<Vec<u32>>,
    always: Vec<u32>,
}

/// One question: whether a field has a value that some test takes.
#[derive(Debug)]
pub(super) struct Condition {
    pub leaf: u32,
    /// Its place in the tree.
    pub node: NodeId,
    pub field: Arc<Field>,
    pub numeric: bool,
    /// Also answered by there being no value.
    pub absent: bool,
    /// It is about a record's data: as JSON, or as plain text.
    pub data: Option<Class>,
}

/// One way to match a rule: all of these hold.
#[derive(Debug)]
pub(super) struct Way {
    pub rule: u32,
    /// In the order of their paths: whether a field is absent is asked of the array elements chosen before it.
    pub conditions: Box<[u32]>,
}

impl Rules {
    pub fn of<'a>(rules: impl Iterator<Item = &'a [Alternative]> + Clone, source: Option<Source>) -> Self {
        let fields = || rules.clone().flatten().flatten();
        let mut leaves: BTreeMap<&Arc<str>, u32> = fields().map(|(path, _)| (path, 0)).collect();
        leaves.values_mut().zip(0..).for_each(|(leaf, number)| *leaf = number);
        let mut made = Self {
            paths: Paths::of(leaves.keys().map(|path| &***path)),
            leaves: leaves.keys().map(|path| Leaf::new(path)).collect(),
            conditions: Vec::new(),
            alternatives: Vec::new(),
            source,
            undoable: false,
            leads: Vec::new(),
            always: Vec::new(),
        };
        let nodes: HashMap<u32, NodeId> = made.paths.leaves().collect();
        // The same list at the same path is asked once. By its text: equal texts are equal lists.
        let mut known: HashMap<(u32, &str), u32> = HashMap::new();
        for (rule, alternatives) in (0..).zip(rules.clone()) {
            for fields in alternatives {
                let number = |(path, field): (&Arc<str>, &'a Arc<Field>)| {
                    let leaf = leaves[path];
                    *known.entry((leaf, &field.text)).or_insert_with(|| {
                        made.conditions.push(Condition::new(leaf, nodes[&leaf], path, field, source));
                        made.conditions.len() as u32 - 1
                    })
                };
                let conditions = fields.iter().map(number).collect();
                made.alternatives.push(Way { rule, conditions });
            }
        }
        made.ask();
        made.carry();
        made.lead();
        made
    }

    /// Tells each leaf what is asked of it.
    fn ask(&mut self) {
        for (number, condition) in (0..).zip(&self.conditions) {
            self.leaves[condition.leaf as usize].ask(number, condition);
            self.undoable |= condition.absent || condition.data.is_some();
        }
        self.leaves.iter_mut().for_each(Leaf::settle);
    }

    fn carry(&mut self) {
        match self.source {
            Some(Source::Sqs) => self.paths.carry(&["body"], Carried::Text),
            Some(Source::Kafka) => self.paths.carry(&["value"], Carried::Base64),
            Some(Source::Mq) => self.paths.carry(&["data"], Carried::Base64),
            // Both spellings: the page's examples have no `kinesis` around it, the record has.
            Some(Source::Kinesis) => {
                self.paths.carry(&["data"], Carried::Base64);
                self.paths.carry(&["kinesis", "data"], Carried::Base64);
            }
            Some(Source::DynamoDb) | None => {}
        }
    }

    /// Puts each alternative under the condition of it that the fewest others share.
    fn lead(&mut self) {
        let mut shared = vec![0_u32; self.conditions.len()];
        self.alternatives
            .iter()
            .flat_map(|way| &way.conditions)
            .for_each(|number| shared[*number as usize] += 1);
        self.leads = vec![Vec::new(); self.conditions.len()];
        for (number, way) in (0..).zip(&self.alternatives) {
            let leads = |condition: &&u32| {
                let condition = &self.conditions[**condition as usize];
                !condition.absent && condition.data.is_none()
            };
            match way.conditions.iter().filter(leads).min_by_key(|condition| shared[**condition as usize]) {
                Some(condition) => self.leads[*condition as usize].push(number),
                None => self.always.push(number),
            }
        }
    }

    /// The alternatives that may hold, into `ways`, in their order.
    pub fn candidates(&self, found: &Found, ways: &mut Vec<u32>) {
        ways.clear();
        if self.alternatives.len() <= FEW {
            return ways.extend(0..self.alternatives.len() as u32);
        }
        ways.extend(&self.always);
        for (condition, _) in &found.hits {
            ways.extend(&self.leads[*condition as usize]);
        }
        ways.sort_unstable();
        ways.dedup();
    }

    /// A value came. Answers whether it is the first to answer some condition.
    #[inline]
    pub fn test(&self, leaf: u32, value: &Value<'_>, element: u32, scratch: &mut Scratch) -> bool {
        let asked = &self.leaves[leaf as usize];
        scratch.found.present[leaf as usize] = true;
        if asked.watched {
            scratch.found.seen.push((leaf, element));
        }
        let mut news = false;
        asked.of(value, |number| {
            let Condition { field, numeric, .. } = &self.conditions[number as usize];
            if value.passes(&field.tests, *numeric) {
                news |= scratch.hit(number, element);
            }
        });
        news
    }

    /// Whether something matches for certain, whatever follows.
    pub fn sure(&self, found: &Found) -> bool {
        // In arrays it takes the search at the end to know.
        !self.undoable
            && found.elements.len() == 1
            && self.alternatives.len() <= FEW
            && self
                .alternatives
                .iter()
                .any(|way| way.conditions.iter().all(|number| found.hit[*number as usize]))
    }

    /// What is said of a condition without looking at its field: its pattern and the record's data are of two kinds.
    pub fn mismatch(&self, condition: &Condition, class: Class) -> Option<bool> {
        let wanted = condition.data?;
        (wanted != class).then(|| self.source.is_some_and(Source::passes_mismatches))
    }
}

impl Condition {
    fn new(leaf: u32, node: NodeId, path: &str, field: &Arc<Field>, source: Option<Source>) -> Self {
        let about = |key: &str| match path.strip_prefix(key) {
            Some("") => Some(Class::Plain),
            Some(rest) if rest.starts_with('.') => Some(Class::Json),
            _ => None,
        };
        let data = match source {
            None | Some(Source::DynamoDb) => None,
            Some(Source::Kinesis) => about("data").or_else(|| about("kinesis.data")),
            Some(source) => about(source.data()),
        };
        Self {
            leaf,
            node,
            field: Arc::clone(field),
            numeric: field.tests.iter().any(Test::is_numeric),
            absent: field.tests.iter().any(|test| matches!(test, Test::Absent)),
            data,
        }
    }
}
