//! What the names of the table mean when they are "called": tensors, storages, dicts. Every number is checked here.

use super::super::dtype::DType;
use super::super::refusal::{Refusal, shown};
use super::global::Global;
use super::machine::Machine;
use super::value::{Node, Storage, Tensor, Value};

/// What REDUCE makes of a name and its arguments.
pub(super) fn call<'a>(
    machine: &mut Machine<'a, '_>,
    function: Global,
    arguments: &[Value<'a>],
) -> Result<Value<'a>, Refusal> {
    match (function, arguments) {
        (Global::OrderedDict, []) => machine.arena.add(Node::Dict(Vec::new())),
        (Global::OrderedDict, [pairs]) => {
            let entries = entries(machine, *pairs).ok_or_else(|| machine.bad("an OrderedDict of something else"))?;
            machine.arena.add(Node::Dict(entries))
        }
        (Global::Tensor1, [storage, offset, size, stride])
        | (Global::Tensor2, [storage, offset, size, stride, _, _] | [storage, offset, size, stride, _, _, _]) => {
            tensor(machine, *storage, [*offset, *size, *stride], None)
        }
        (Global::Tensor3, [storage, offset, size, stride, _, _, dtype, rest @ ..]) if rest.len() < 2 => {
            let Value::Global(Global::Dtype(dtype)) = *dtype else {
                return Err(machine.bad("a tensor whose dtype is not one of torch's"));
            };
            tensor(machine, *storage, [*offset, *size, *stride], Some(dtype))
        }
        (Global::RebuildParameter, [tensor, ..]) if machine.arena.tensor(*tensor).is_some() => Ok(*tensor),
        (Global::Size, [sizes]) if machine.arena.items(*sizes).is_some() => Ok(*sizes),
        (Global::Set, []) | (Global::Encode, [Value::Text(_), Value::Text(_)]) => machine.arena.add(Node::Opaque),
        (Global::Set, [items]) if machine.arena.items(*items).is_some_and(<[_]>::is_empty) => {
            machine.arena.add(Node::Opaque)
        }
        (function, arguments) => {
            Err(machine.bad(format!("{function:?} with {} arguments that it does not take", arguments.len())))
        }
    }
}

/// A list of pairs.
fn entries<'a>(machine: &Machine<'a, '_>, pairs: Value<'a>) -> Option<Vec<(Value<'a>, Value<'a>)>> {
    let pair = |value: &Value<'a>| match machine.arena.items(*value)? {
        [key, value] => Some((*key, *value)),
        _ => None,
    };
    machine.arena.items(pairs)?.iter().map(pair).collect()
}

/// What a persistent id stands for.
pub(super) enum Persistent<'a> {
    /// A storage.
    Storage(Storage<'a>),
    /// A class, which legacy streams save with its source text.
    Class(Global),
}

/// What a persistent id means: `('storage', class, key, location, numel)`, in legacy streams with a view after it, or
/// there `('module', class, file, source)`. The location, the device that the tensor was on, does not matter here.
pub(super) fn persistent<'a>(machine: &Machine<'a, '_>, id: Value<'a>) -> Result<Persistent<'a>, Refusal> {
    let (class, key, numel, view, legacy) = match machine.arena.items(id) {
        Some(&[Value::Text("storage"), Value::Global(class), key, Value::Text(_), numel]) => {
            (class, key, numel, Value::None, false)
        }
        Some(&[Value::Text("storage"), Value::Global(class), key, Value::Text(_), numel, view]) => {
            (class, key, numel, view, true)
        }
        Some(
            &[Value::Text("module"), Value::Global(class @ Global::ParameterDict), Value::Text(_), Value::Text(_)],
        ) => {
            return Ok(Persistent::Class(class));
        }
        _ => return Err(machine.bad("a persistent id that does not name a storage")),
    };
    let dtype = match class {
        Global::Storage(dtype) => dtype,
        Global::UntypedStorage => DType::Whole(1),
        _ => return Err(machine.bad("a storage whose class is not one of torch's")),
    };
    let Value::Text(key) = key else { return Err(machine.bad("a storage whose key is not text")) };
    if key.is_empty() || key.len() > 20 || !key.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(machine.bad(format!("a storage with the key {}, which is not a number", shown(key))));
    }
    let numel = count(machine, numel, "the length of a storage")?;
    let view = match (view, machine.arena.items(view)) {
        (Value::None, _) => None,
        (_, Some(&[Value::Text(_), offset, size])) => {
            Some((count(machine, offset, "the offset of a view")?, count(machine, size, "the length of a view")?))
        }
        _ => return Err(machine.bad("a view of a storage that is not one")),
    };
    Ok(Persistent::Storage(Storage { dtype, key, numel, legacy, view }))
}

/// A tensor whose every number is inside its storage.
fn tensor<'a>(
    machine: &mut Machine<'a, '_>,
    storage: Value<'a>,
    [offset, size, stride]: [Value<'a>; 3],
    dtype: Option<DType>,
) -> Result<Value<'a>, Refusal> {
    let Some(Node::Storage(storage)) = machine.arena.node(storage) else {
        return Err(machine.bad("a tensor without a storage"));
    };
    let storage = *storage;
    let dtype = dtype.unwrap_or(storage.dtype);
    let offset = count(machine, offset, "the offset of a tensor")?;
    let shape = counts(machine, size, "the shape of a tensor")?;
    let stride = counts(machine, stride, "the stride of a tensor")?;
    let held = storage.view.map_or(storage.numel, |(_, size)| size);
    // Numbers of the tensor's type, where the storage may be declared in bytes.
    let held = u128::from(held) * storage.dtype.size() as u128 / dtype.size().max(1) as u128;
    let outside = |why: &str| {
        machine
            .bad(format!("a tensor of shape {shape:?}, stride {stride:?} and offset {offset} {why} ({held} numbers)"))
    };
    if shape.len() != stride.len() || shape.len() > 8 {
        return Err(outside("does not fit together or its storage"));
    }
    let steps =
        shape.iter().zip(&stride).map(|(&size, &stride)| u128::from(size.saturating_sub(1)) * u128::from(stride));
    let last = steps.fold(u128::from(offset), u128::saturating_add);
    let empty = shape.contains(&0);
    if !empty && last >= held {
        return Err(outside("reaches beyond its storage"));
    }
    machine.arena.add(Node::Tensor(Box::new(Tensor { storage, dtype, offset, shape, stride })))
}

/// A number that counts something.
fn count<'a>(machine: &Machine<'a, '_>, value: Value<'a>, what: &str) -> Result<u64, Refusal> {
    match value {
        Value::Int(value) => u64::try_from(value).map_err(|_| machine.bad(format!("{what} is negative: {value}"))),
        _ => Err(machine.bad(format!("{what} is not a whole number"))),
    }
}

fn counts<'a>(machine: &Machine<'a, '_>, value: Value<'a>, what: &str) -> Result<Vec<u64>, Refusal> {
    let items = machine.arena.items(value).ok_or_else(|| machine.bad(format!("{what} is not a tuple")))?;
    if items.len() > 8 {
        return Err(machine.bad(format!("{what} has {} dimensions", items.len())));
    }
    items.iter().map(|item| count(machine, *item, what)).collect()
}
