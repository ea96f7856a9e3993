//! Tensors inside of dicts inside of the dict that was saved: what scripts make of an embedding that they keep with other
//! things, `{"<cat>": {"embedding": tensor}}`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::layout::{self, Origin};
use super::super::learned::{Note, Reading};
use super::super::limits;
use super::super::pickle::global::Global;
use super::super::pickle::value::{Arena, Node, Tensor, Value};
use super::super::refusal::Refusal;
use super::Storages;
use super::state::{Saved, named, texts, unique};

/// How deep dicts are searched. What lies deeper is not an embedding that somebody meant to pass on.
const DEEPEST: usize = 6;
/// Most entries that are looked at: dicts may share branches, and those would be looked at again and again.
const MOST: usize = 4096;

/// Names that a script gives to what holds vectors, and not to an embedding.
const FIELDS: &[&str] = &[
    "*",
    "data",
    "emb",
    "embedding",
    "embedding_weight",
    "embeddings",
    "learned_embeds",
    "model",
    "param",
    "params",
    "state_dict",
    "tensor",
    "token",
    "tokens",
    "value",
    "values",
    "vec",
    "vector",
    "vectors",
    "weight",
    "weights",
];

/// A tensor, and the keys that lead to it.
pub(super) struct Found<'a, 's> {
    keys: Vec<&'a str>,
    tensor: &'s Tensor<'a>,
}

/// The entries of a dict, also of one that is a module.
pub(super) fn entries<'s, 'a>(arena: &'s Arena<'a>, value: Value<'a>) -> Option<&'s [(Value<'a>, Value<'a>)]> {
    match arena.node(value)? {
        Node::Dict(entries) => Some(entries),
        Node::Object(Global::ParameterDict, Some(state)) => {
            let parameters = |(key, _): &&(Value<'a>, Value<'a>)| matches!(key, Value::Text("_parameters"));
            let (_, parameters) = arena.entries(*state)?.iter().find(parameters)?;
            arena.entries(*parameters)
        }
        _ => None,
    }
}

/// Whether a value holds others: what stands so beside an embedding may be worth something, and is not used.
pub(super) fn is_container<'a>(arena: &Arena<'a>, value: Value<'a>) -> bool {
    match arena.node(value) {
        Some(Node::List(items) | Node::Tuple(items)) => !items.is_empty(),
        _ => entries(arena, value).is_some_and(|entries| !entries.is_empty()),
    }
}

/// A name in the text beside a tensor whose key is that of a field: `{"token": "<cat>", "embedding": tensor}`.
pub(super) fn name_beside<'a>(key: &str, fields: &BTreeMap<&'a str, Value<'a>>) -> Option<&'a str> {
    let text = |name: &&str| match fields.get(*name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(*text),
        _ => None,
    };
    let named = || ["placeholder_token", "token", "name", "trigger"].iter().find_map(text);
    if is_field(key) { named() } else { None }
}

/// The tensors in the dicts of a dict; none if there are more than embeddings have.
pub(super) fn find<'s, 'a>(
    arena: &'s Arena<'a>,
    fields: &BTreeMap<&'a str, Value<'a>>,
) -> Result<Option<Vec<Found<'a, 's>>>, Refusal> {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut open: Vec<(Vec<&'a str>, Value<'a>)> =
        fields.iter().rev().map(|(key, value)| (vec![*key], *value)).collect();
    while let Some((keys, value)) = open.pop() {
        looked_at += 1;
        if looked_at > MOST || found.len() > limits::EMBEDDINGS {
            return Ok(None);
        }
        if let Some(tensor) = arena.tensor(value) {
            found.push(Found { keys, tensor });
        } else if keys.len() < DEEPEST
            && let Some(inside) = entries(arena, value)
        {
            if inside.len() > MOST {
                return Ok(None);
            }
            let inside = texts(&unique(inside)?);
            open.extend(inside.iter().rev().map(|(key, value)| ([keys.as_slice(), &[*key]].concat(), *value)));
        }
    }
    Ok(Some(found))
}

/// The embeddings that they are.
pub(super) fn words<'a>(
    found: &[Found<'a, '_>],
    storages: &dyn Storages,
    origin: &Origin<'_>,
) -> Result<Reading, Refusal> {
    let names = names(found);
    let tensors = Saved {
        named: found.iter().zip(&names).map(|(found, name)| named(name.clone(), found.tensor)).collect(),
        tensors: found.iter().map(|found| found.tensor).collect(),
        storages,
    };
    // What is around keys that are the same for all embeddings of a program is the embedding's name.
    let around = found.first().and_then(|found| found.keys.first()).filter(|key| !is_field(key));
    let origin = Origin {
        container: origin.container,
        stem: origin.stem,
        metadata: origin.metadata.clone(),
        token: around
            .filter(|around| found.iter().all(|found| found.keys.first() == Some(*around)))
            .map(|key| (*key).to_owned()),
    };
    let mut reading = layout::words(&tensors, &origin)?;
    for word in reading.embeddings_mut() {
        let mine = |(_, name): &(&Found<'_, '_>, &Cow<'_, str>)| word.token.as_deref() == Some(name.as_ref());
        let place = found.iter().zip(&names).find(mine).map(|(found, _)| found).or(found.first());
        if let Some(found) = place.filter(|found| found.keys.len() > 1) {
            word.notes.push(Note::Nested(found.keys.iter().map(|key| (*key).to_owned()).collect()));
        }
    }
    Ok(reading)
}

/// A name for each tensor, no two the same.
fn names<'a>(found: &[Found<'a, '_>]) -> Vec<Cow<'a, str>> {
    let mut taken = BTreeSet::new();
    let name = |found: &Found<'a, '_>| match name(&found.keys) {
        name if taken.insert(name) => Cow::Borrowed(name),
        _ => Cow::Owned(found.keys.join(".")),
    };
    found.iter().map(name).collect()
}

/// What a tensor is called among the keys that lead to it: the innermost that is not the name of a field. What begins as
/// placeholder tokens do comes before that, and a key that all embeddings of a program have before all.
fn name<'a>(keys: &[&'a str]) -> &'a str {
    let last = keys.last().copied().unwrap_or_default();
    if layout::is_key_of_a_program(last) {
        return last;
    }
    let bracket = keys.iter().find(|key| key.starts_with('<'));
    bracket.or_else(|| keys.iter().rev().find(|key| !is_field(key))).copied().unwrap_or(last)
}

fn is_field(key: &str) -> bool {
    FIELDS.contains(&key.to_lowercase().as_str())
}
