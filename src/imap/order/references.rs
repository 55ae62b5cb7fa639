//! THREAD=REFERENCES (RFC 5256 3): messages are linked by what they refer to, then threads of one
//! subject are joined.
//!
//! Steps 1 to 6 of the text. Nodes are numbers; links are kept as parents only until the tree is
//! final, so a link that would close a circle is found by walking up. What messages refer to and is
//! not there takes a node as well, up to a bound; references beyond it are passed over.

use std::collections::{HashMap, hash_map};

use super::{forest::Forest, subject::BaseSubject};

/// Messages being linked, to be added in mailbox order.
#[derive(Debug, Default)]
pub struct References {
    nodes: Vec<Node>,
    by_id: HashMap<Box<[u8]>, usize>,
    added: usize,
    /// Of ids and subjects.
    text_bytes: usize,
}

/// What THREAD needs of a message.
#[derive(Clone, Debug)]
pub struct Linked<'a> {
    /// What the answer calls it.
    pub number: u32,
    /// Its normalized message id, if it has one.
    pub id: Option<&'a [u8]>,
    /// The normalized ids it refers to, the last is its parent's.
    pub references: &'a [Vec<u8>],
    /// Its base subject, the text in the form in which texts are compared.
    pub subject: BaseSubject,
    /// Its sent date (RFC 5256 2.2).
    pub sent: i64,
}

#[derive(Debug, Default)]
struct Node {
    parent: Option<usize>,
    /// It was the parent of another; without that it cannot be above anything.
    had_children: bool,
    message: Option<Box<Message>>,
}

#[derive(Debug)]
struct Message {
    number: u32,
    subject: BaseSubject,
    sent: i64,
    /// How many were added before.
    place: usize,
}

impl References {
    /// Step 1 for one message.
    pub fn add(&mut self, linked: Linked<'_>) {
        let mut above = None;
        for id in linked.references {
            let Some(node) = self.node_of(id) else {
                continue;
            };
            // Step 1.A: an existing link stays.
            if let Some(above) = above
                && self.parent(node).is_none()
                && !self.is_above(node, above)
            {
                self.set_parent(node, Some(above));
            }
            above = Some(node);
        }
        let node = self.node_for(linked.id);
        self.text_bytes += linked.subject.text.len();
        // Step 1.B: the message's own last reference counts, not what others say of it.
        self.set_parent(node, None);
        if let Some(above) = above
            && !self.is_above(node, above)
        {
            self.set_parent(node, Some(above));
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.message = Some(Box::new(Message {
                number: linked.number,
                subject: linked.subject,
                sent: linked.sent,
                place: self.added,
            }));
        }
        self.added += 1;
    }

    /// Bytes of memory that are taken.
    pub fn bytes(&self) -> usize {
        let messages = self.added * size_of::<Message>();
        let nodes = self.nodes.len() * size_of::<Node>();
        let ids = self.by_id.len() * size_of::<(Box<[u8]>, usize)>();
        messages + nodes + ids + self.text_bytes
    }

    /// The node of what is referred to; `None` when there are too many.
    fn node_of(&mut self, id: &[u8]) -> Option<usize> {
        if let Some(node) = self.by_id.get(id) {
            return Some(*node);
        }
        if self.nodes.len() >= NODES_MAX {
            return None;
        }
        self.text_bytes += id.len();
        self.by_id.insert(id.into(), self.nodes.len());
        Some(self.new_node())
    }

    /// The node of a message: that of its id, unless an earlier message has the same.
    fn node_for(&mut self, id: Option<&[u8]>) -> usize {
        let next = self.nodes.len();
        if let Some(id) = id {
            match self.by_id.entry(id.into()) {
                hash_map::Entry::Occupied(there) => {
                    let is_free = |node: &Node| node.message.is_none();
                    if self.nodes.get(*there.get()).is_some_and(is_free) {
                        return *there.get();
                    }
                }
                hash_map::Entry::Vacant(free) => {
                    self.text_bytes += id.len();
                    free.insert(next);
                }
            }
        }
        self.new_node()
    }

    fn new_node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    fn parent(&self, node: usize) -> Option<usize> {
        self.nodes.get(node)?.parent
    }

    fn set_parent(&mut self, node: usize, parent: Option<usize>) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.parent = parent;
        }
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
            parent.had_children = true;
        }
    }

    /// Whether `node` is `other` or above it.
    fn is_above(&self, node: usize, other: usize) -> bool {
        if !self.nodes.get(node).is_some_and(|node| node.had_children) {
            return node == other;
        }
        let mut here = Some(other);
        while let Some(at) = here {
            if at == node {
                return true;
            }
            here = self.parent(at);
        }
        false
    }

    /// Steps 2 to 6.
    pub fn threads(self) -> Forest {
        let mut tree = Tree::of(self.nodes);
        tree.prune();
        tree.sort_roots();
        tree.join_subjects();
        tree.sort();
        tree.into_forest()
    }
}

/// The threads while they are put in order.
struct Tree {
    messages: Vec<Option<Box<Message>>>,
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl Tree {
    /// Step 2.
    fn of(nodes: Vec<Node>) -> Self {
        let mut children = vec![Vec::new(); nodes.len()];
        let mut roots = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            match node.parent.and_then(|parent| children.get_mut(parent)) {
                Some(siblings) => siblings.push(at),
                None => roots.push(at),
            }
        }
        let messages = nodes.into_iter().map(|node| node.message);
        Self {
            messages: messages.collect(),
            children,
            roots,
        }
    }

    /// Step 3: places without a message go, and what was below them moves up; below the root only
    /// when it is one.
    fn prune(&mut self) {
        for node in self.bottom_up() {
            let below = self.take_children(node);
            let mut kept = Vec::with_capacity(below.len());
            for child in below {
                match self.is_dummy(child) {
                    true => kept.append(&mut self.take_children(child)),
                    false => kept.push(child),
                }
            }
            self.put_children(node, kept);
        }
        let roots = std::mem::take(&mut self.roots);
        for root in roots {
            match (self.is_dummy(root), self.children_of(root)) {
                (true, []) => {}
                (true, [only]) => self.roots.push(*only),
                _ => self.roots.push(root),
            }
        }
    }

    /// Step 4.
    fn sort_roots(&mut self) {
        let roots = std::mem::take(&mut self.roots);
        for root in &roots {
            if self.is_dummy(*root) {
                self.sort_children(*root);
            }
        }
        self.roots = roots;
        self.sort_roots_only();
    }

    fn sort_roots_only(&mut self) {
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_key(|root| self.key(*root));
        self.roots = roots;
    }

    /// Step 5.
    fn join_subjects(&mut self) {
        let mut table: HashMap<String, usize> = HashMap::new();
        for root in &self.roots {
            let Some(subject) = self.thread_subject(*root) else {
                continue;
            };
            match table.get(subject).copied() {
                None => drop(table.insert(subject.to_owned(), *root)),
                // Step 5.B.iv
                Some(there) if !self.is_dummy(there) => {
                    let better = self.is_reply(there) && !self.is_reply(*root);
                    if self.is_dummy(*root) || better {
                        table.insert(subject.to_owned(), *root);
                    }
                }
                Some(_) => {}
            }
        }
        // Step 5.C
        let roots = std::mem::take(&mut self.roots);
        let mut joined = vec![false; self.messages.len()];
        let mut made = Vec::new();
        for root in roots.iter().copied() {
            let Some(subject) = self.thread_subject(root).map(str::to_owned) else {
                continue;
            };
            let Some(there) = table.get(&subject).copied().filter(|there| *there != root) else {
                continue;
            };
            if let Some(dummy) = self.join(root, there, &mut joined) {
                made.push(dummy);
                joined.push(false);
                table.insert(subject, dummy);
            }
        }
        self.roots = roots.into_iter().chain(made).collect();
        self.roots.retain(|root| joined.get(*root) == Some(&false));
    }

    /// Joins a thread with the one that its subject's table names; gives the dummy that takes both,
    /// where one had to be made.
    fn join(&mut self, thread: usize, there: usize, joined: &mut [bool]) -> Option<usize> {
        let mut mark = |node: usize| {
            if let Some(joined) = joined.get_mut(node) {
                *joined = true;
            }
        };
        mark(thread);
        match (self.is_dummy(there), self.is_dummy(thread)) {
            (true, true) => {
                let below = self.take_children(thread);
                self.add_children(there, below);
                None
            }
            (true, false) => {
                self.add_children(there, vec![thread]);
                None
            }
            _ if self.is_reply(thread) && !self.is_reply(there) => {
                self.add_children(there, vec![thread]);
                None
            }
            _ => {
                mark(there);
                self.messages.push(None);
                self.children.push(vec![there, thread]);
                Some(self.messages.len() - 1)
            }
        }
    }

    /// Step 6.
    fn sort(&mut self) {
        for node in self.bottom_up() {
            self.sort_children(node);
        }
        self.sort_roots_only();
    }

    fn sort_children(&mut self, node: usize) {
        let mut children = self.take_children(node);
        children.sort_by_key(|child| self.key(*child));
        self.put_children(node, children);
    }

    /// What siblings are sorted by: sent date, then place in the mailbox; of a dummy its first
    /// child's.
    fn key(&self, node: usize) -> Option<(i64, usize)> {
        let message = self.message(node)?;
        Some((message.sent, message.place))
    }

    /// The message of a node, or of its first child.
    fn message(&self, node: usize) -> Option<&Message> {
        let own = |node: usize| self.messages.get(node)?.as_deref();
        own(node).or_else(|| own(*self.children_of(node).first()?))
    }

    /// Step 5.B.i; none when it is empty.
    fn thread_subject(&self, node: usize) -> Option<&str> {
        let subject = self.message(node)?.subject.text.as_str();
        (!subject.is_empty()).then_some(subject)
    }

    fn is_dummy(&self, node: usize) -> bool {
        self.messages.get(node).is_none_or(Option::is_none)
    }

    fn is_reply(&self, node: usize) -> bool {
        let own = self.messages.get(node).and_then(Option::as_deref);
        own.is_some_and(|message| message.subject.is_reply)
    }

    fn children_of(&self, node: usize) -> &[usize] {
        self.children.get(node).map_or(&[], Vec::as_slice)
    }

    fn take_children(&mut self, node: usize) -> Vec<usize> {
        self.children
            .get_mut(node)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn put_children(&mut self, node: usize, children: Vec<usize>) {
        if let Some(there) = self.children.get_mut(node) {
            *there = children;
        }
    }

    fn add_children(&mut self, node: usize, more: Vec<usize>) {
        if let Some(there) = self.children.get_mut(node) {
            there.extend(more);
        }
    }

    /// Every node, children before their parents.
    fn bottom_up(&self) -> Vec<usize> {
        let mut order = self.roots.clone();
        let mut at = 0;
        while let Some(node) = order.get(at).copied() {
            order.extend(self.children_of(node));
            at += 1;
        }
        order.reverse();
        order
    }

    fn into_forest(self) -> Forest {
        let number = |message: Option<Box<Message>>| message.map(|message| message.number);
        Forest {
            messages: self.messages.into_iter().map(number).collect(),
            children: self.children,
            roots: self.roots,
        }
    }
}

/// LIM-25: messages and what they refer to; later references to what is not known by then are
/// passed over.
const NODES_MAX: usize = 500_000;

#[cfg(test)]
mod tests;
