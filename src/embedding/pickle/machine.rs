//! The stack machine.

use super::super::limits;
use super::super::refusal::{Refusal, shown};
use super::global::{self, Global};
use super::input::Input;
use super::opcode::{self, Op};
use super::reduce::{self, Persistent};
use super::value::{Arena, Node, Problem, Value};

/// A pickle, read to its STOP.
#[derive(Debug)]
pub struct Unpickled<'a> {
    /// All that it holds.
    pub arena: Arena<'a>,
    /// What it is.
    pub root: Value<'a>,
    /// How many bytes it took.
    pub end: usize,
}

/// Reads the pickle at the beginning of `bytes`; `place` is the record's name, for messages.
///
/// # Errors
/// [`Refusal::Global`] for a name outside the table, [`Refusal::TooMuch`], or [`Refusal::Damaged`] with the offset.
pub fn unpickle<'a>(bytes: &'a [u8], place: &str) -> Result<Unpickled<'a>, Refusal> {
    let mut machine = Machine {
        input: Input::new(bytes, place),
        began: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        memoized: 0,
        arena: Arena::default(),
    };
    for _ in 0..limits::OPCODES {
        if let Some(root) = machine.step()? {
            return Ok(Unpickled { arena: machine.arena, root, end: machine.input.at() });
        }
    }
    Err(Refusal::too_much(format!("opcodes in {place}"), limits::OPCODES as u64 + 1, limits::OPCODES as u64))
}

pub(super) struct Machine<'a, 'p> {
    input: Input<'a, 'p>,
    /// The opcode at work.
    began: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at each MARK.
    marks: Vec<usize>,
    memo: Vec<Option<Value<'a>>>,
    memoized: usize,
    pub(super) arena: Arena<'a>,
}

impl<'a> Machine<'a, '_> {
    /// Does one opcode; at STOP the result.
    fn step(&mut self) -> Result<Option<Value<'a>>, Refusal> {
        self.began = self.input.at();
        let [byte] = self.input.number()?;
        let Some(op) = opcode::lookup(byte) else {
            let name = opcode::name(byte);
            return Err(self.bad(format!("opcode {byte:02x} ({name}), which no torch file needs")));
        };
        match op {
            Op::Proto => self.input.skip(1)?,
            Op::Frame => self.input.skip(8)?,
            Op::Stop => return self.pop().map(Some),
            Op::Global => self.global()?,
            Op::StackGlobal => self.stack_global()?,
            Op::Reduce => self.reduce()?,
            Op::NewObj => self.new_object()?,
            Op::Build => self.build()?,
            Op::PersistentId => {
                let id = self.pop()?;
                match reduce::persistent(self, id)? {
                    Persistent::Storage(storage) => self.add(Node::Storage(storage))?,
                    Persistent::Class(class) => self.push(Value::Global(class))?,
                }
            }
            Op::Mark => {
                self.room()?;
                self.marks.push(self.stack.len());
            }
            Op::EmptyDict => self.add(Node::Dict(Vec::new()))?,
            Op::EmptyList => self.add(Node::List(Vec::new()))?,
            Op::EmptySet => self.add(Node::Opaque)?,
            Op::SetItem => {
                let entries = self.take(2)?;
                self.set_items(&entries)?;
            }
            Op::SetItems => {
                let entries = self.since_mark()?;
                self.set_items(&entries)?;
            }
            Op::Append => {
                let items = self.take(1)?;
                self.append(&items)?;
            }
            Op::Appends => {
                let items = self.since_mark()?;
                self.append(&items)?;
            }
            Op::Tuple => {
                let items = self.since_mark()?;
                self.add(Node::Tuple(items))?;
            }
            Op::TupleOf(count) => {
                let items = self.take(count)?;
                self.add(Node::Tuple(items))?;
            }
            Op::None => self.push(Value::None)?,
            Op::Bool(value) => self.push(Value::Bool(value))?,
            Op::Small(size) => {
                let value = self.input.unsigned(size)?;
                self.push(Value::Int(i64::from(value)))?;
            }
            Op::Int => {
                let value = i32::from_le_bytes(self.input.number()?);
                self.push(Value::Int(i64::from(value)))?;
            }
            Op::Long1 => self.long()?,
            Op::Float => {
                let value = f64::from_be_bytes(self.input.number()?);
                self.push(Value::Float(value))?;
            }
            Op::Text(size) => self.text(size)?,
            Op::Put(size) => {
                let slot = self.input.unsigned(size)?;
                self.put(slot as usize)?;
            }
            Op::Memoize => self.put(self.memoized)?,
            Op::Get(size) => {
                let slot = self.input.unsigned(size)?;
                let value = self.memo.get(slot as usize).copied().flatten();
                let value = value.ok_or_else(|| self.bad(format!("memo slot {slot} was never set")))?;
                self.push(value)?;
            }
        }
        Ok(None)
    }

    /// A refusal with the place of the opcode at work.
    pub(super) fn bad(&self, reason: impl std::fmt::Display) -> Refusal {
        Refusal::damaged(format!("the pickle {}", self.input.place()), format!("at byte {}: {reason}", self.began))
    }

    /// Refuses to let the stack grow further than it may.
    fn room(&self) -> Result<(), Refusal> {
        let height = self.stack.len() + self.marks.len() + 1;
        if height <= limits::STACK {
            Ok(())
        } else {
            Err(Refusal::too_much(
                format!("values on the stack of {}", self.input.place()),
                height as u64,
                limits::STACK as u64,
            ))
        }
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Refusal> {
        self.room()?;
        self.stack.push(value);
        Ok(())
    }

    fn add(&mut self, node: Node<'a>) -> Result<(), Refusal> {
        let value = self.arena.add(node)?;
        self.push(value)
    }

    /// The lowest height that values may be taken down to: what is below the last MARK is not to be touched.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>, Refusal> {
        if self.stack.len() > self.floor() {
            self.stack.pop().ok_or_else(|| self.bad("the stack is empty"))
        } else {
            Err(self.bad("there is nothing on the stack"))
        }
    }

    fn top(&self) -> Result<Value<'a>, Refusal> {
        match self.stack.get(self.floor()..).and_then(|above| above.last()) {
            Some(value) => Ok(*value),
            None => Err(self.bad("there is nothing on the stack")),
        }
    }

    /// The topmost `count` values, lowest first.
    fn take(&mut self, count: usize) -> Result<Vec<Value<'a>>, Refusal> {
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= self.floor() => Ok(self.stack.split_off(height)),
            _ => Err(self.bad("there are too few values on the stack")),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>, Refusal> {
        let mark = self.marks.pop().ok_or_else(|| self.bad("there is no MARK"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn put(&mut self, slot: usize) -> Result<(), Refusal> {
        let value = self.top()?;
        if slot >= limits::MEMO {
            return Err(Refusal::too_much(
                format!("memo slots in {}", self.input.place()),
                slot as u64,
                limits::MEMO as u64,
            ));
        }
        if self.memo.len() <= slot {
            self.memo.resize(slot + 1, None);
        }
        if let Some(place) = self.memo.get_mut(slot) {
            self.memoized += usize::from(place.is_none());
            *place = Some(value);
        }
        Ok(())
    }

    fn text(&mut self, size: usize) -> Result<(), Refusal> {
        let length = self.input.unsigned(size)? as usize;
        let left = self.input.left();
        if length > left {
            return Err(self.bad(format!("a text of {length} bytes where {left} are left")));
        }
        if length > limits::TEXT {
            return Err(Refusal::too_much(
                format!("bytes of a text in {}", self.input.place()),
                length as u64,
                limits::TEXT as u64,
            ));
        }
        let bytes = self.input.span(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.bad("a text that is not UTF-8"))?;
        self.push(Value::Text(text))
    }

    /// A whole number of up to 8 bytes, little-endian, two's complement.
    fn long(&mut self) -> Result<(), Refusal> {
        let length = self.input.unsigned(1)? as usize;
        let bytes = self.input.span(length)?;
        if length > 8 {
            return Err(self.bad(format!("a whole number of {length} bytes")));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn global(&mut self) -> Result<(), Refusal> {
        let (module, name) = (self.input.line()?, self.input.line()?);
        self.named(&String::from_utf8_lossy(module), &String::from_utf8_lossy(name))
    }

    fn stack_global(&mut self) -> Result<(), Refusal> {
        let names = self.take(2)?;
        let [Value::Text(module), Value::Text(name)] = names.as_slice() else {
            return Err(self.bad("a global whose name is not text"));
        };
        self.named(module, name)
    }

    fn named(&mut self, module: &str, name: &str) -> Result<(), Refusal> {
        if let Some(global) = global::lookup(module, name) {
            return self.push(Value::Global(global));
        }
        let quoted = shown(&format!("{module}.{name}"));
        let quoted = quoted.trim_matches('"');
        if let Some(kind) = global::other_tensor(module, name) {
            return Err(Refusal::unsupported(
                format!("the pickle {}", self.input.place()),
                format!("at byte {} it holds {kind} ({quoted}); save it as a plain dense tensor", self.began),
            ));
        }
        Err(Refusal::Global {
            place: format!("the pickle {}", self.input.place()),
            name: quoted.to_owned(),
            offset: self.began,
            hostile: global::is_hostile(module, name),
        })
    }

    fn reduce(&mut self) -> Result<(), Refusal> {
        let [function, arguments] = self.pair()?;
        let Value::Global(function) = function else { return Err(self.bad("a call of something that is not a name")) };
        let arguments = self.arguments(arguments)?;
        let value = reduce::call(self, function, &arguments)?;
        self.push(value)
    }

    /// NEWOBJ: parameters and modules start without a state, which BUILD gives them.
    fn new_object(&mut self) -> Result<(), Refusal> {
        let [class, arguments] = self.pair()?;
        let arguments = self.arguments(arguments)?;
        match (class, arguments.as_slice()) {
            (Value::Global(class @ (Global::Parameter | Global::ParameterDict)), []) => {
                self.add(Node::Object(class, None))
            }
            (Value::Global(Global::Parameter), [tensor, ..]) if self.arena.tensor(*tensor).is_some() => {
                self.push(*tensor)
            }
            (Value::Global(Global::OrderedDict), []) => self.add(Node::Dict(Vec::new())),
            _ => Err(self.bad("an object of a class that is not made this way")),
        }
    }

    fn build(&mut self) -> Result<(), Refusal> {
        let state = self.pop()?;
        let object = self.top()?;
        if let Some(Node::Object(Global::Parameter, None)) = self.arena.node(object) {
            let arguments = self.arguments(state)?;
            let tensor = reduce::call(self, Global::Tensor1, arguments.get(..4).unwrap_or_default())?;
            self.pop()?;
            return self.push(tensor);
        }
        // The attributes of an OrderedDict (`_metadata` of a state dict) say nothing about vectors.
        let is_dict = self.arena.entries(object).is_some();
        let changed = self.arena.extend(object, &[state], |node| match node {
            Node::Object(Global::ParameterDict, slot @ None) => {
                *slot = Some(state);
                true
            }
            _ => is_dict,
        });
        changed.map_err(|problem| self.problem(problem, "a state for something that has none"))
    }

    fn pair(&mut self) -> Result<[Value<'a>; 2], Refusal> {
        let second = self.pop()?;
        Ok([self.pop()?, second])
    }

    fn arguments(&self, value: Value<'a>) -> Result<Vec<Value<'a>>, Refusal> {
        match self.arena.node(value) {
            Some(Node::Tuple(items)) => Ok(items.clone()),
            _ => Err(self.bad("arguments that are not a tuple")),
        }
    }

    fn set_items(&mut self, parts: &[Value<'a>]) -> Result<(), Refusal> {
        let dict = self.top()?;
        let (pairs, []) = parts.as_chunks::<2>() else { return Err(self.bad("a key without a value")) };
        // What Python takes for a key, whether or not anything here is found by it.
        let is_key = |key: &Value<'a>| matches!(self.arena.node(*key), None | Some(Node::Tuple(_) | Node::Opaque));
        if pairs.iter().any(|[key, _]| !is_key(key)) {
            return Err(self.bad("a list, a dict or a tensor for a key"));
        }
        let changed = self.arena.extend(dict, parts, |node| match node {
            Node::Dict(entries) => {
                entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                true
            }
            _ => false,
        });
        changed.map_err(|problem| self.problem(problem, "entries for something that is not a dict"))
    }

    fn append(&mut self, items: &[Value<'a>]) -> Result<(), Refusal> {
        let list = self.top()?;
        let changed = self.arena.extend(list, items, |node| match node {
            Node::List(list) => {
                list.extend_from_slice(items);
                true
            }
            _ => false,
        });
        changed.map_err(|problem| self.problem(problem, "elements for something that is not a list"))
    }

    fn problem(&self, problem: Problem, wrong: &str) -> Refusal {
        match problem {
            Problem::NotAContainer => self.bad(wrong),
            Problem::Cycle => self.bad("a value is put into something that is already part of another: a cycle"),
            Problem::Refused(refusal) => refusal,
        }
    }
}
