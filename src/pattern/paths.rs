//! The fields that patterns ask for, as a tree of their steps: what an event is walked along.

/// A place in the tree.
pub(super) type NodeId = u32;

/// The top of an event.
pub(super) const ROOT: NodeId = 0;

/// How a string at a place is more than a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// Text, perhaps JSON.
    Text,
    /// The same in base64.
    Base64,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    /// Sorted by name.
    children: Vec<(Box<[u8]>, NodeId)>,
    /// What is asked of values here.
    pub leaf: Option<u32>,
    pub carried: Option<Carried>,
    /// Everything at or below this place: `self..end` in the tree's order.
    pub end: NodeId,
}

/// Paths of fields. Nodes are numbered so that what lies below one follows it.
#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
}

impl Paths {
    /// Of these paths, which are sorted and each once. Leaves are numbered in their order.
    pub fn of<'p>(paths: impl Iterator<Item = &'p str>) -> Self {
        let mut tree = Self { nodes: vec![Node::default()] };
        for (leaf, path) in paths.enumerate() {
            let mut at = ROOT;
            for step in path.split('.') {
                at = tree.child(at, step.as_bytes()).unwrap_or_else(|| tree.add(at, step.as_bytes()));
            }
            tree.nodes[at as usize].leaf = Some(leaf as u32);
        }
        tree.number();
        tree
    }

    fn add(&mut self, parent: NodeId, step: &[u8]) -> NodeId {
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node::default());
        let children = &mut self.nodes[parent as usize].children;
        let place = children.partition_point(|(name, _)| **name < *step);
        children.insert(place, (step.into(), id));
        id
    }

    /// Renumbers depth first.
    fn number(&mut self) {
        let mut old = std::mem::take(&mut self.nodes);
        let mut open = vec![(ROOT, None::<(usize, usize)>)];
        while let Some((id, parent)) = open.pop() {
            let new = self.nodes.len();
            let node = std::mem::take(&mut old[id as usize]);
            if let Some((parent, child)) = parent {
                self.nodes[parent].children[child].1 = new as NodeId;
            }
            open.extend(
                node.children.iter().enumerate().rev().map(|(child, (_, id))| (*id, Some((new, child)))),
            );
            self.nodes.push(node);
        }
        for id in (0..self.nodes.len()).rev() {
            let last = self.nodes[id].children.last().map(|(_, child)| *child);
            let end = last.map_or(id as NodeId + 1, |child| self.nodes[child as usize].end);
            self.nodes[id].end = end;
        }
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// Every leaf with its place.
    pub fn leaves(&self) -> impl Iterator<Item = (u32, NodeId)> {
        self.nodes.iter().zip(0..).filter_map(|(node, id)| Some((node.leaf?, id)))
    }

    pub fn carry(&mut self, path: &[&str], carried: Carried) {
        let found = path.iter().try_fold(ROOT, |at, step| self.child(at, step.as_bytes()));
        if let Some(id) = found {
            self.nodes[id as usize].carried = Some(carried);
        }
    }

    /// One step down.
    #[inline]
    pub fn child(&self, at: NodeId, step: &[u8]) -> Option<NodeId> {
        let children = &self.nodes[at as usize].children;
        if children.len() <= 8 {
            return children.iter().find(|(name, _)| **name == *step).map(|(_, id)| *id);
        }
        let found = children.binary_search_by(|(name, _)| (**name).cmp(step)).ok()?;
        Some(children[found].1)
    }

    /// Down by a member's name, which may be several steps joined by dots.
    #[inline]
    pub fn down(&self, at: NodeId, name: &[u8]) -> Option<NodeId> {
        match memchr::memchr(b'.', name) {
            None => self.child(at, name),
            Some(_) => name.split(|byte| *byte == b'.').try_fold(at, |at, step| self.child(at, step)),
        }
    }
}
