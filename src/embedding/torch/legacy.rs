//! The stream that torch wrote before 1.6: five pickles back to back, then the storages (`_legacy_load`).
//!
//! The pickles: the magic number, the protocol version 1001, facts about the machine, the object, the sorted keys of
//! the storages. Then for each key a little-endian `i64`, how many numbers there are, and the numbers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::cursor::{le64, span};
use super::super::limits;
use super::super::pickle::value::{Storage, Value};
use super::super::pickle::{Unpickled, unpickle};
use super::super::refusal::{Refusal, counted, shown};
use super::{LEGACY, Storages};

/// The version of the protocol, the only one there was.
const PROTOCOL: i64 = 1001;

/// A whole stream.
pub(super) struct LegacyStream<'a> {
    object: Unpickled<'a>,
    storages: BTreeMap<&'a str, &'a [u8]>,
}

impl<'a> LegacyStream<'a> {
    /// Reads the pickles and finds the storages.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let bad = |reason: &str| Refusal::damaged("the torch stream", reason);
        let mut at = LEGACY.len();
        let mut next = |place: &str| -> Result<Unpickled<'a>, Refusal> {
            let rest = bytes.get(at..).unwrap_or_default();
            // A pickle is followed by more, so it may not be given more than a pickle may have.
            let most = rest.len().min(usize::try_from(limits::PICKLE).unwrap_or(usize::MAX));
            let unpickled = unpickle(rest.get(..most).unwrap_or_default(), place)?;
            at += unpickled.end;
            Ok(unpickled)
        };
        let protocol = next("2 of the stream (its version)")?;
        if protocol.root != Value::Int(PROTOCOL) {
            return Err(bad("its version is not 1001"));
        }
        let machine = next("3 of the stream (its machine)")?;
        let facts = machine.arena.entries(machine.root).ok_or_else(|| bad("its third pickle is not a dict"))?;
        if facts.contains(&(Value::Text("little_endian"), Value::Bool(false))) {
            return Err(Refusal::unsupported("the torch stream", "it comes from a big-endian machine; save it again"));
        }
        let object = next("4 of the stream (its object)")?;
        let keys = next("5 of the stream (its storages)")?;
        let keys: Option<Vec<&str>> = keys.arena.items(keys.root).and_then(|keys| {
            let text = |key: &Value<'a>| if let Value::Text(text) = *key { Some(text) } else { None };
            keys.iter().map(text).collect()
        });
        let keys = keys.ok_or_else(|| bad("its fifth pickle is not the list of its storages"))?;

        let declared = declared(&object)?;
        let mut storages = BTreeMap::new();
        let mut at = at as u64;
        for key in keys {
            let storage =
                declared.get(key).ok_or_else(|| bad(&format!("the storage {} belongs to no tensor", shown(key))))?;
            let count = le64(bytes, usize::try_from(at).unwrap_or(usize::MAX))
                .ok_or_else(|| Refusal::cut(format!("the storage {} is missing", shown(key))))?;
            if count != storage.numel {
                let reason = format!("the storage {} has {count} numbers, not {}", shown(key), storage.numel);
                return Err(bad(&reason));
            }
            let length = count.checked_mul(storage.dtype.size() as u64).ok_or_else(|| bad("a size overflows"))?;
            let data = span(bytes, at + 8, length)
                .ok_or_else(|| Refusal::cut(format!("the storage {} is incomplete", shown(key))))?;
            if storages.insert(storage.key, data).is_some() {
                return Err(Refusal::ambiguous(
                    "the torch stream",
                    format!("the storage {} appears twice", shown(key)),
                ));
            }
            at += 8 + length;
        }
        if let Some(key) = declared.keys().find(|key| !storages.contains_key(*key)) {
            return Err(bad(&format!("the storage {} is not in its list", shown(key))));
        }
        if at != bytes.len() as u64 {
            let left = (bytes.len() as u64).saturating_sub(at);
            return Err(Refusal::ambiguous("the torch stream", format!("{} follow its end", counted(left, "byte"))));
        }
        Ok(Self { object, storages })
    }

    /// What was saved.
    pub fn object(&self) -> &Unpickled<'a> {
        &self.object
    }
}

/// The storages that the object needs, by key: each declared one way only, views inside of it.
fn declared<'a>(object: &Unpickled<'a>) -> Result<BTreeMap<&'a str, Storage<'a>>, Refusal> {
    let mut declared: BTreeMap<&str, Storage<'a>> = BTreeMap::new();
    for storage in object.arena.storages() {
        if !storage.legacy {
            return Err(Refusal::damaged("the torch stream", "it names a storage as zip files do"));
        }
        let first = *declared.entry(storage.key).or_insert(*storage);
        if (first.numel, first.dtype) != (storage.numel, storage.dtype) {
            let reason = format!("it is {} {} and {} {}", first.numel, first.dtype, storage.numel, storage.dtype);
            return Err(Refusal::ambiguous(format!("the storage {}", shown(storage.key)), reason));
        }
        let inside = |(offset, size): (u64, u64)| offset.checked_add(size).is_some_and(|end| end <= storage.numel);
        if !storage.view.is_none_or(inside) {
            let reason = "a view of it reaches beyond its end";
            return Err(Refusal::damaged(format!("the storage {}", shown(storage.key)), reason));
        }
    }
    Ok(declared)
}

impl Storages for LegacyStream<'_> {
    fn bytes(&self, storage: &Storage<'_>) -> Result<Cow<'_, [u8]>, Refusal> {
        let missing = || Refusal::damaged(format!("the storage {}", shown(storage.key)), "it is not there");
        let all = self.storages.get(storage.key).copied().ok_or_else(missing)?;
        let Some((offset, count)) = storage.view else { return Ok(Cow::Borrowed(all)) };
        let size = storage.dtype.size() as u64;
        let window = offset.checked_mul(size).zip(count.checked_mul(size));
        let window = window.and_then(|(at, length)| span(all, at, length)).ok_or_else(missing)?;
        Ok(Cow::Borrowed(window))
    }

    fn big_endian(&self) -> bool {
        false
    }
}
