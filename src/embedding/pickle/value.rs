//! What a pickle describes: plain values, in an arena.

use super::super::dtype::DType;
use super::super::limits;
use super::super::refusal::Refusal;
use super::global::Global;

/// A value; small, and copied freely. Containers are in the [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A string, as its place in the pickle.
    Text(&'a str),
    /// A name of the table.
    Global(Global),
    /// Something in the arena.
    Node(Id),
}

/// A place in an [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(u32);

/// Something that takes room.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// A tuple.
    Tuple(Vec<Value<'a>>),
    /// A list.
    List(Vec<Value<'a>>),
    /// A dict of any kind: its entries in order, keys perhaps repeated.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A storage that the file holds elsewhere.
    Storage(Storage<'a>),
    /// A tensor: a window into a storage.
    Tensor(Box<Tensor<'a>>),
    /// A module or parameter, with its state once BUILD has given it.
    Object(Global, Option<Value<'a>>),
    /// Something that no embedding's vectors depend on: an empty set, bytes.
    Opaque,
}

/// A storage, as a persistent id names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage<'a> {
    /// The type of its numbers.
    pub dtype: DType,
    /// Its name: decimal digits.
    pub key: &'a str,
    /// How many numbers it holds.
    pub numel: u64,
    /// Whether it is named as in legacy streams, whose names have a place for a view.
    pub legacy: bool,
    /// Where in the storage of that key the view begins, and how many numbers it has.
    pub view: Option<(u64, u64)>,
}

/// A tensor: offset and strides count numbers, not bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor<'a> {
    /// Where its numbers are.
    pub storage: Storage<'a>,
    /// The type of its numbers.
    pub dtype: DType,
    /// The first number.
    pub offset: u64,
    /// Shape.
    pub shape: Vec<u64>,
    /// Numbers from one index to the next, for each dimension.
    pub stride: Vec<u64>,
}

#[derive(Debug)]
struct Slot<'a> {
    node: Node<'a>,
    /// How deep it nests: 1 for a container of plain values.
    depth: u32,
    /// It is part of another value, and stays as it is.
    frozen: bool,
}

/// All containers of a pickle. Values can only be put into containers that are not yet part of another, so what is
/// described is a tree (with shared branches), never a cycle.
#[derive(Debug, Default)]
pub struct Arena<'a> {
    slots: Vec<Slot<'a>>,
    entries: usize,
}

impl<'a> Arena<'a> {
    /// What is at a place.
    pub fn get(&self, id: Id) -> &Node<'a> {
        match self.slots.get(id.0 as usize) {
            Some(slot) => &slot.node,
            None => &Node::Opaque,
        }
    }

    /// What a value refers to, if it refers to anything.
    pub fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(id) => Some(self.get(id)),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub fn items(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a dict.
    pub fn entries(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.node(value)? {
            Node::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// The tensor that a value is.
    pub fn tensor(&self, value: Value<'a>) -> Option<&Tensor<'a>> {
        match self.node(value)? {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// All storages that are mentioned.
    pub fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.slots.iter().filter_map(|slot| match &slot.node {
            Node::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// Adds a container or tensor.
    pub(super) fn add(&mut self, node: Node<'a>) -> Result<Value<'a>, Refusal> {
        let parts: Vec<Value<'a>> = match &node {
            Node::Tuple(items) | Node::List(items) => items.clone(),
            Node::Dict(entries) => entries.iter().flat_map(|(key, value)| [*key, *value]).collect(),
            Node::Object(_, Some(state)) => vec![*state],
            _ => Vec::new(),
        };
        let depth = self.freeze(&parts)?;
        self.spend(1)?;
        let id = Id(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.slots.push(Slot { node, depth, frozen: false });
        Ok(Value::Node(id))
    }

    /// Puts `parts` into the list, dict or object `target`, by way of `put`, which says whether it could.
    pub(super) fn extend(
        &mut self,
        target: Value<'a>,
        parts: &[Value<'a>],
        put: impl FnOnce(&mut Node<'a>) -> bool,
    ) -> Result<(), Problem> {
        let Value::Node(id) = target else { return Err(Problem::NotAContainer) };
        if parts.contains(&target) {
            return Err(Problem::Cycle);
        }
        let depth = self.freeze(parts).map_err(Problem::Refused)?;
        let slot = self.slots.get_mut(id.0 as usize).ok_or(Problem::NotAContainer)?;
        if slot.frozen {
            return Err(Problem::Cycle);
        }
        slot.depth = slot.depth.max(depth);
        if put(&mut slot.node) { Ok(()) } else { Err(Problem::NotAContainer) }
    }

    /// Marks values as part of another one, which nests as deep as is returned.
    fn freeze(&mut self, parts: &[Value<'a>]) -> Result<u32, Refusal> {
        self.spend(parts.len())?;
        let mut deepest = 0;
        for part in parts {
            if let Value::Node(id) = part
                && let Some(slot) = self.slots.get_mut(id.0 as usize)
            {
                slot.frozen = true;
                deepest = deepest.max(slot.depth);
            }
        }
        if deepest < limits::DEPTH {
            Ok(deepest + 1)
        } else {
            Err(Refusal::too_much("levels of values within values", u64::from(deepest) + 1, u64::from(limits::DEPTH)))
        }
    }

    fn spend(&mut self, entries: usize) -> Result<(), Refusal> {
        self.entries += entries;
        if self.entries <= limits::VALUES {
            Ok(())
        } else {
            Err(Refusal::too_much("values in the pickle", self.entries as u64, limits::VALUES as u64))
        }
    }
}

/// Why something cannot be put into a container.
pub(super) enum Problem {
    /// The target does not take it.
    NotAContainer,
    /// The target is already part of another value, perhaps of this one.
    Cycle,
    /// A bound was passed.
    Refused(Refusal),
}
