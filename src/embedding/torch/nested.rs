//! Tensors inside of dicts inside of the dict that was saved: what scripts make of an embedding that they keep with other
//! things, `{"<cat>": {"embedding": tensor}}`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::layout::{self, Origin};
use super::super::learned::{NamedBy, Note, Reading};
use super::super::limits;
use super::super::pickle::global::Global;
use super::super::pickle::value::{Arena, Node, Tensor, Value};
use super::super::refusal::{Refusal, shown};
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
    /// A name in a text beside it, or beside what it lies in, where the keys below that are those of fields.
    beside: Option<&'a str>,
    tensor: &'s Tensor<'a>,
}

impl<'a> Found<'a, '_> {
    fn last(&self) -> &'a str {
        self.keys.last().copied().unwrap_or_default()
    }

    /// The keys that lead to the dict around it.
    fn around(&self) -> &[&'a str] {
        self.keys.split_last().map_or(&[], |(_, around)| around)
    }

    /// What the embedding is called whose tensor this is, where its own key is the same for all of a program.
    fn named_around(&self) -> Option<&'a str> {
        let around = Some(name(self.around())).filter(|name| !name.is_empty() && !is_field(name));
        self.beside.or(around)
    }
}

/// Where nothing is looked for.
enum Aside<'a> {
    /// In a list or tuple under this key.
    List(&'a str),
    /// Too deep, under this key.
    Deep(&'a str),
    /// Under a key that is not a text.
    Key(String),
}

/// What is in the dicts of a dict.
pub(super) struct Search<'a, 's> {
    /// The tensors.
    pub found: Vec<Found<'a, 's>>,
    /// Where others lie that are not used.
    aside: Vec<Aside<'a>>,
}

impl<'a> Search<'a, '_> {
    /// Notes a place if there are tensors in it.
    fn set_aside(&mut self, arena: &Arena<'a>, value: Value<'a>, place: impl FnOnce() -> Aside<'a>) {
        if self.aside.len() < limits::EMBEDDINGS && holds_a_tensor(arena, value) {
            self.aside.push(place());
        }
    }

    /// Why there is nothing, if there are tensors somewhere else.
    pub fn reason(&self) -> Option<String> {
        let why = match self.aside.first()? {
            Aside::List(key) => format!("its tensors lie in a list, under {}", shown(key)),
            Aside::Deep(key) => format!("its tensors lie more than {DEEPEST} dicts deep, under {}", shown(key)),
            Aside::Key(key) => format!("its tensors stand under {key}, which is not a text"),
        };
        Some(format!("{why}: save a dict of the embeddings' names and tensors"))
    }

    fn notes(&self) -> Vec<Note> {
        let note = |aside: &Aside<'a>| match aside {
            Aside::List(key) | Aside::Deep(key) => Note::Ignored((*key).to_owned()),
            Aside::Key(key) => Note::NotText(key.clone()),
        };
        Note::few(self.aside.iter().map(note).collect())
    }
}

/// A key that is not a text, as Python would write it.
fn written<'a>(arena: &Arena<'a>, key: Value<'a>) -> Option<String> {
    Some(match key {
        Value::Text(_) => return None,
        Value::None => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Global(_) => "a class".to_owned(),
        Value::Node(_) if arena.items(key).is_some() => "a tuple".to_owned(),
        Value::Node(_) => "bytes".to_owned(),
    })
}

/// Notes on the tensors that stand in a dict under keys that are not text.
pub(super) fn not_text<'a>(arena: &Arena<'a>, entries: &[(Value<'a>, Value<'a>)]) -> Vec<Note> {
    let other = entries.iter().filter_map(|(key, value)| Some((written(arena, *key)?, *value)));
    // As many as are looked at: what they hold may be shared.
    let other = other.filter(|(_, value)| matches!(value, Value::Node(_))).take(limits::EMBEDDINGS);
    let other = other.filter(|(_, value)| holds_a_tensor(arena, *value));
    Note::few(other.map(|(key, _)| Note::NotText(key)).collect())
}

/// Whether there is a tensor in a value, as far as it is looked at.
fn holds_a_tensor<'a>(arena: &Arena<'a>, value: Value<'a>) -> bool {
    let mut open = vec![value];
    for _ in 0..MOST {
        let Some(value) = open.pop() else { return false };
        if arena.tensor(value).is_some() {
            return true;
        }
        let room = MOST.saturating_sub(open.len());
        let node = |value: &Value<'a>| matches!(value, Value::Node(_));
        if let Some(items) = arena.items(value) {
            open.extend(items.iter().copied().filter(node).take(room));
        } else if let Some(inside) = entries(arena, value) {
            open.extend(inside.iter().map(|(_, value)| *value).filter(node).take(room));
        }
    }
    false
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
    if is_nameless(key) { named() } else { None }
}

/// The tensors in the dicts of a dict; none if there are more than embeddings have.
pub(super) fn find<'s, 'a>(arena: &'s Arena<'a>, saved: Value<'a>) -> Result<Option<Search<'a, 's>>, Refusal> {
    let (mut search, mut looked_at) = (Search { found: Vec::new(), aside: Vec::new() }, 0);
    let mut open: Vec<(Vec<&'a str>, Option<&'a str>, Value<'a>)> = vec![(Vec::new(), None, saved)];
    while let Some((keys, beside, value)) = open.pop() {
        looked_at += 1;
        if looked_at > MOST || search.found.len() > limits::EMBEDDINGS {
            return Ok(None);
        }
        let last = keys.last().copied().unwrap_or_default();
        if let Some(tensor) = arena.tensor(value) {
            search.found.push(Found { keys, beside, tensor });
        } else if arena.items(value).is_some() {
            search.set_aside(arena, value, || Aside::List(last));
        } else if let Some(inside) = entries(arena, value) {
            if keys.len() >= DEEPEST {
                search.set_aside(arena, value, || Aside::Deep(last));
                continue;
            }
            if inside.len() > MOST {
                return Ok(None);
            }
            for (key, value) in inside {
                if let Some(key) = written(arena, *key) {
                    search.set_aside(arena, *value, || Aside::Key(key));
                }
            }
            let inside = texts(&unique(inside)?);
            open.extend(inside.iter().rev().map(|(key, value)| {
                let beside = name_beside(key, &inside).or(beside.filter(|_| is_nameless(key)));
                ([keys.as_slice(), &[*key]].concat(), beside, *value)
            }));
        }
    }
    Ok(Some(search))
}

/// The embeddings that they are.
pub(super) fn words(search: &Search<'_, '_>, storages: &dyn Storages, origin: &Origin<'_>) -> Result<Reading, Refusal> {
    let groups = groups(&search.found);
    if groups.len() > 1 {
        let numbers =
            |found: &Found<'_, '_>| found.tensor.shape.iter().fold(1_u64, |all, size| all.saturating_mul(*size));
        let numbers = search.found.iter().map(numbers).fold(0, u64::saturating_add);
        if numbers > limits::NUMBERS {
            return Err(Refusal::too_much("numbers in all embeddings of the file", numbers, limits::NUMBERS));
        }
    }
    let (mut words, mut taken) = (Vec::new(), BTreeSet::new());
    for group in &groups {
        for word in of_group(group, storages, origin)?.embeddings() {
            let mut word = word.clone();
            if !taken.insert(word.token.clone())
                && let [first, ..] = group.as_slice()
            {
                (word.token, word.named_by) = (Some(first.keys.join(".")), NamedBy::Key);
            }
            words.push(word);
        }
    }
    let notes = search.notes();
    words.iter_mut().for_each(|word| word.notes.extend_from_slice(&notes));
    Ok(Reading::from_all(words))
}

/// Tensors that are read together. Keys that are the same for all embeddings of a program are of one embedding in each
/// dict.
fn groups<'f, 'a, 's>(found: &'f [Found<'a, 's>]) -> Vec<Vec<&'f Found<'a, 's>>> {
    let programs = found.iter().filter(|found| layout::is_key_of_a_program(found.last()));
    if programs.map(Found::around).collect::<BTreeSet<_>>().len() < 2 {
        return vec![found.iter().collect()];
    }
    let mut groups: BTreeMap<&[&str], Vec<&Found<'a, 's>>> = BTreeMap::new();
    for found in found {
        groups.entry(found.around()).or_default().push(found);
    }
    groups.into_values().collect()
}

fn of_group(found: &[&Found<'_, '_>], storages: &dyn Storages, origin: &Origin<'_>) -> Result<Reading, Refusal> {
    let names = names(found);
    let tensors = Saved {
        named: found.iter().zip(&names).map(|(found, name)| named(name.clone(), found.tensor)).collect(),
        tensors: found.iter().map(|found| found.tensor).collect(),
        storages,
    };
    // What is around keys that are the same for all embeddings of a program is the embedding's name.
    let program = found.iter().find(|found| layout::is_key_of_a_program(found.last()));
    let origin = origin.called(program.and_then(|found| found.named_around()));
    let mut reading = layout::words(&tensors, &origin)?;
    for word in reading.embeddings_mut() {
        let mine = |(_, name): &(&&Found<'_, '_>, &Cow<'_, str>)| word.token.as_deref() == Some(name.as_ref());
        let place = found.iter().zip(&names).find(mine).map(|(found, _)| found).or(found.first());
        if let Some(found) = place.filter(|found| found.keys.len() > 1) {
            word.notes.push(Note::Nested(found.keys.iter().map(|key| (*key).to_owned()).collect()));
        }
    }
    Ok(reading)
}

/// A name for each tensor, no two the same.
fn names<'a>(all: &[&Found<'a, '_>]) -> Vec<Cow<'a, str>> {
    let mut taken = BTreeSet::new();
    // A text beside several tensors names none of them.
    let of_one = |name: &&str| all.iter().filter(|found| found.beside == Some(*name)).count() == 1;
    let name = |found: &&Found<'a, '_>| {
        let beside = found.beside.filter(|_| !layout::is_key_of_a_program(found.last())).filter(of_one);
        match beside.unwrap_or_else(|| name(&found.keys)) {
            name if taken.insert(name) => Cow::Borrowed(name),
            _ => Cow::Owned(found.keys.join(".")),
        }
    };
    all.iter().map(name).collect()
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

/// Whether a key is no name of an embedding, so that a text beside it may be.
fn is_nameless(key: &str) -> bool {
    is_field(key) || layout::is_key_of_a_program(key)
}

fn is_field(key: &str) -> bool {
    FIELDS.contains(&key.to_lowercase().as_str())
}
