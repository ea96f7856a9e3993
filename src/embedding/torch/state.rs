//! What was saved, recognised by its keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::a1111::{self, Facts};
use super::super::layout::{self, Named, Origin, Tensors};
use super::super::learned::{Container, Format, NamedBy, Note, Reading};
use super::super::pickle::Unpickled;
use super::super::pickle::global::Global;
use super::super::pickle::value::{Arena, Node, Tensor, Value};
use super::super::recognise::Mistaken;
use super::super::refusal::{Refusal, shown};
use super::{Storages, gather, nested};

/// The embeddings in a saved object.
pub(super) fn words<'a>(
    unpickled: &Unpickled<'a>,
    storages: &dyn Storages,
    container: Container,
    stem: &str,
) -> Result<Reading, Refusal> {
    let arena = &unpickled.arena;
    let origin = Origin { container, stem, metadata: BTreeMap::new(), token: None };
    match arena.node(unpickled.root) {
        Some(Node::Tensor(tensor)) => {
            let tensors = Saved { named: vec![named(Cow::Borrowed(""), tensor)], tensors: vec![tensor], storages };
            layout::raw(&tensors, &origin)
        }
        Some(Node::Dict(_) | Node::Object(Global::ParameterDict, Some(_))) => {
            by_keys(arena, unpickled.root, storages, &origin)
        }
        Some(Node::List(items) | Node::Tuple(items)) => match items.as_slice() {
            // Somebody saved `[embedding]`.
            [only] if arena.node(*only).is_some_and(|node| matches!(node, Node::Dict(_))) => {
                by_keys(arena, *only, storages, &origin)
            }
            _ => Err(Refusal::unsupported(
                "the saved object",
                "it is a list, and embeddings are saved as dicts or tensors",
            )),
        },
        _ => Err(Refusal::unsupported(
            "the saved object",
            "it is neither a dict nor a tensor, so it is not an embedding",
        )),
    }
}

/// A dict of tensors, of facts, or of more dicts.
fn by_keys<'a>(
    arena: &Arena<'a>,
    saved: Value<'a>,
    storages: &dyn Storages,
    origin: &Origin<'_>,
) -> Result<Reading, Refusal> {
    let entries = unique(nested::entries(arena, saved).unwrap_or_default())?;
    let fields = texts(&entries);
    if let Some(param) = fields.get("string_to_param") {
        let beside = nested::not_text(arena, &entries);
        return by_string(arena, *param, (&fields, beside), storages, origin);
    }
    let mistaken = by_fields(&entries, &fields);
    if let Some(mistaken) = mistaken.clone().filter(|mistaken| *mistaken != Mistaken::Checkpoint) {
        return Err(Refusal::Mistaken(mistaken));
    }
    let tensors = Saved::of(arena, &fields, storages);
    if !tensors.named.is_empty() && mistaken.is_none() {
        let program = tensors.named.iter().find(|tensor| layout::is_key_of_a_program(&tensor.key));
        let called = program.and_then(|tensor| nested::name_beside(&tensor.key, &fields));
        let mut reading = layout::words(&tensors, &origin.called(called))?;
        // Single facts (steps, a name) need no note.
        let left_out = fields.iter().filter(|(_, value)| nested::is_container(arena, **value));
        let mut notes = Note::ignored(left_out.map(|(key, _)| *key));
        notes.extend(nested::not_text(arena, &entries));
        reading.embeddings_mut().iter_mut().for_each(|word| word.notes.extend_from_slice(&notes));
        if let Reading::One(word) = &mut reading
            && let Some(name) = word.token.as_deref().and_then(|key| nested::name_beside(key, &fields))
        {
            (word.token, word.named_by) = (Some(name.to_owned()), NamedBy::Field);
        }
        return Ok(reading);
    }
    match (nested::find(arena, saved)?, mistaken) {
        (Some(search), mistaken) if !search.found.is_empty() => {
            match (nested::words(&search, storages, origin), mistaken) {
                // What is inside decides whether it is an embedding or a whole model, which is often saved so.
                (Err(_), Some(mistaken)) => Err(Refusal::Mistaken(mistaken)),
                (reading, _) => reading,
            }
        }
        (_, Some(mistaken)) => Err(Refusal::Mistaken(mistaken)),
        (None, None) => Err(Refusal::unsupported(
            "the saved object",
            "it holds more tensors inside of others than an embedding has",
        )),
        (Some(search), None) => {
            if let Some(reason) = search.reason() {
                return Err(Refusal::unsupported("the saved object", reason));
            }
            let names: Vec<String> = fields.keys().take(8).map(|key| shown(key)).collect();
            let names =
                if names.is_empty() { "without names".to_owned() } else { format!("named {}", names.join(", ")) };
            let count = if entries.len() == 1 { "1 entry".to_owned() } else { format!("{} entries", entries.len()) };
            let reason = format!("it holds no tensors by name, only {count} {names}");
            Err(Refusal::unsupported("the saved object", reason))
        }
    }
}

/// Tensors of a dict.
pub(super) struct Saved<'a, 's> {
    pub named: Vec<Named<'a>>,
    pub tensors: Vec<&'s Tensor<'a>>,
    pub storages: &'s dyn Storages,
}

impl<'a, 's> Saved<'a, 's> {
    fn of(arena: &'s Arena<'a>, fields: &BTreeMap<&'a str, Value<'a>>, storages: &'s dyn Storages) -> Self {
        let found: Vec<(&'a str, &Tensor<'a>)> =
            fields.iter().filter_map(|(key, value)| Some((*key, arena.tensor(*value)?))).collect();
        Saved {
            named: found.iter().map(|(key, tensor)| named(Cow::Borrowed(*key), tensor)).collect(),
            tensors: found.into_iter().map(|(_, tensor)| tensor).collect(),
            storages,
        }
    }
}

impl Tensors for Saved<'_, '_> {
    fn named(&self) -> &[Named<'_>] {
        &self.named
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, Refusal> {
        let missing = || Refusal::unsupported("the saved object", "a tensor is missing");
        let tensor = self.tensors.get(index).ok_or_else(missing)?;
        let name = self.named.get(index).ok_or_else(missing)?;
        let bytes = self.storages.bytes(&tensor.storage)?;
        gather::gather(&name.key, tensor, &bytes, self.storages.big_endian())
    }
}

pub(super) fn named<'a>(key: Cow<'a, str>, tensor: &Tensor<'a>) -> Named<'a> {
    Named { key, shape: tensor.shape.clone(), dtype: Ok(tensor.dtype) }
}

/// Entries of a dict in which no key occurs twice: Python would take the last, a scanner perhaps the first.
pub(super) fn unique<'a>(entries: &[(Value<'a>, Value<'a>)]) -> Result<Vec<(Value<'a>, Value<'a>)>, Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    for (key, _) in entries {
        if let Value::Text(text) = *key
            && !seen.insert(text)
        {
            return Err(Refusal::ambiguous("the saved object", format!("it has two entries {}", shown(text))));
        }
    }
    Ok(entries.to_vec())
}

/// The entries whose keys are text.
pub(super) fn texts<'a>(entries: &[(Value<'a>, Value<'a>)]) -> BTreeMap<&'a str, Value<'a>> {
    let text = |(key, value): &(Value<'a>, Value<'a>)| match *key {
        Value::Text(text) => Some((text, *value)),
        _ => None,
    };
    entries.iter().filter_map(text).collect()
}

/// What a dict is that is not an embedding.
fn by_fields<'a>(entries: &[(Value<'a>, Value<'a>)], fields: &BTreeMap<&'a str, Value<'a>>) -> Option<Mistaken> {
    if fields.contains_key("optimizer_state_dict") {
        return Some(Mistaken::Optimiser);
    }
    if ["state_dict", "pytorch-lightning_version", "optimizer_states", "global_step"]
        .iter()
        .any(|key| fields.contains_key(key))
    {
        return Some(Mistaken::Checkpoint);
    }
    // The layers of a hypernetwork are keyed by their widths.
    if entries.iter().any(|(key, _)| matches!(key, Value::Int(320 | 640 | 768 | 1024 | 1280))) {
        return Some(Mistaken::Hypernetwork);
    }
    None
}

/// A1111's and CompVis' dict: `string_to_param` holds the tensors, the rest facts about them.
fn by_string<'a>(
    arena: &Arena<'a>,
    param: Value<'a>,
    (fields, mut notes): (&BTreeMap<&'a str, Value<'a>>, Vec<Note>),
    storages: &dyn Storages,
    origin: &Origin<'_>,
) -> Result<Reading, Refusal> {
    let format = match arena.node(param) {
        Some(Node::Object(..)) => Format::CompVis,
        _ => Format::A1111,
    };
    let parameters = unique(nested::entries(arena, param).unwrap_or_default())?;
    let entries = texts(&parameters);
    let tensors = Saved::of(arena, &entries, storages);
    if tensors.named.is_empty() {
        if let Some(reason) =
            nested::find(arena, param)?.filter(|found| found.found.is_empty()).and_then(|s| s.reason())
        {
            return Err(Refusal::unsupported("the entry string_to_param", reason));
        }
        return Err(Refusal::damaged("the entry string_to_param", "it is not a dict of tensors"));
    }
    let beside = entries.iter().filter(|(_, value)| arena.tensor(**value).is_none()).map(|(key, _)| *key);
    let tensors_beside = fields.iter().filter(|(key, value)| {
        !matches!(**key, "string_to_param" | "string_to_token") && nested::is_container(arena, **value)
    });
    notes.extend(nested::not_text(arena, &parameters));
    notes.extend(Note::ignored(beside.chain(tensors_beside.map(|(key, _)| *key))));
    let text = |key: &str| match fields.get(key) {
        Some(Value::Text(text)) => Some((*text).to_owned()),
        _ => None,
    };
    let step = match fields.get("step") {
        Some(Value::Int(step)) => Some(*step),
        _ => None,
    };
    let facts = Facts { name: text("name"), step, hash: text("sd_checkpoint"), model: text("sd_checkpoint_name") };
    let mut reading = a1111::words(&tensors, &facts, format, origin)?;
    reading.embeddings_mut().iter_mut().for_each(|word| word.notes.extend_from_slice(&notes));
    Ok(reading)
}
