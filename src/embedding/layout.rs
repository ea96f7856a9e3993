//! Which embeddings a set of named tensors is: the one place that knows the keys of every program.
//!
//! The rules are the union of what all loaders do, in this order: SDXL's pair `clip_l` and `clip_g`; `emb_params`
//! (kohya) and `emp_params` (OneTrainer); layouts that are recognised and refused; otherwise one embedding for each
//! tensor, whose key is the token. (A1111's records are in `a1111`.)

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::dtype::DType;
use super::learned::{Container, Encoder, FileEmbedding, Format, NamedBy, Note, Reading, Vectors};
use super::limits;
use super::recognise::Mistaken;
use super::refusal::{Refusal, shown};

/// A tensor whose values are not read yet.
#[derive(Debug, Clone)]
pub(super) struct Named<'a> {
    /// Its key in the file.
    pub key: Cow<'a, str>,
    /// Its shape.
    pub shape: Vec<u64>,
    /// The type of its numbers, or what the file calls a type that is not known here.
    pub dtype: Result<DType, String>,
}

/// Tensors of a file.
pub(super) trait Tensors {
    /// Keys, shapes and types.
    fn named(&self) -> &[Named<'_>];

    /// The values of one of them, which has been found small enough.
    fn values(&self, index: usize) -> Result<Vec<f32>, Refusal>;
}

/// Where tensors come from.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    /// The kind of file.
    pub container: Container,
    /// The file's name without folder and extension; may be empty.
    pub stem: &'a str,
    /// What else the file says about its embeddings.
    pub metadata: BTreeMap<String, String>,
    /// The embedding's name by the file's metadata.
    pub token: Option<String>,
}

impl Origin<'_> {
    /// The embedding's name where nothing in the file says it.
    pub fn by_file_name(&self) -> (Option<String>, NamedBy) {
        match self.stem {
            "" => (None, NamedBy::Nobody),
            stem => (Some(stem.to_owned()), NamedBy::FileName),
        }
    }

    /// The embedding's name where its key is the same for all embeddings of a program.
    fn by_metadata(&self) -> (Option<String>, NamedBy) {
        match &self.token {
            Some(token) => (Some(token.clone()), NamedBy::Field),
            None => self.by_file_name(),
        }
    }

    fn word(
        &self,
        name: (Option<String>, NamedBy),
        encoders: Vec<Vectors>,
        format: Format,
        notes: Vec<Note>,
    ) -> FileEmbedding {
        let (token, named_by) = name;
        let (container, metadata) = (self.container, self.metadata.clone());
        FileEmbedding { token, named_by, encoders, format, container, metadata, notes }
    }
}

impl Reading {
    /// One embedding or several; there is at least one.
    pub(super) fn from_all(mut words: Vec<FileEmbedding>) -> Self {
        match words.pop() {
            Some(last) if words.is_empty() => Reading::One(last),
            Some(last) => {
                words.push(last);
                Reading::Several(words)
            }
            None => Reading::Several(words),
        }
    }
}

/// A tensor that was saved on its own.
pub(super) fn raw(tensors: &dyn Tensors, origin: &Origin<'_>) -> Result<Reading, Refusal> {
    let (part, notes) = part(tensors, 0, Encoder::Unnamed, &mut limits::NUMBERS.clone())?;
    Ok(Reading::One(origin.word((None, NamedBy::Nobody), vec![part], Format::Raw, notes)))
}

/// The embeddings that tensors with keys are.
pub(super) fn words(tensors: &dyn Tensors, origin: &Origin<'_>) -> Result<Reading, Refusal> {
    let named = tensors.named();
    let find = |key: &str| named.iter().position(|tensor| tensor.key == key);
    let mut budget = limits::NUMBERS;
    if named.is_empty() {
        return Err(Refusal::unsupported("the file", "it holds no tensors, so it is not an embedding"));
    }
    let known = |key: &str| {
        matches!(
            key,
            "clip_l" | "clip_g" | "clip_l_out" | "clip_g_out" | "emb_params" | "emp_params" | "emp_params_out"
        )
    };
    if let (Some(l), Some(g)) = (find("clip_l"), find("clip_g")) {
        let notes = ignored(named, |key| matches!(key, "clip_l" | "clip_g"), known)?;
        return pair(tensors, [l, g], origin, notes);
    }
    let only = [
        ("emb_params", Format::Kohya),
        ("emp_params", Format::OneTrainer),
        ("clip_l", Format::Sdxl),
        ("clip_g", Format::Sdxl),
    ];
    for (key, format) in only {
        let Some(index) = find(key) else { continue };
        let mut notes = ignored(named, |other| other == key, known)?;
        let encoder = match key {
            "clip_l" => Encoder::ClipL,
            "clip_g" => Encoder::ClipG,
            _ => Encoder::Unnamed,
        };
        let (part, more) = part(tensors, index, encoder, &mut budget)?;
        notes.extend(more);
        return Ok(Reading::One(origin.word(origin.by_metadata(), vec![part], format, notes)));
    }
    if let Some(mistaken) = Mistaken::by_keys(named.iter().map(|tensor| tensor.key.as_ref())) {
        return Err(Refusal::Mistaken(mistaken));
    }
    several(tensors, origin, &mut budget)
}

/// One embedding for each tensor, by its key: one, as diffusers writes them, or a collection.
fn several(tensors: &dyn Tensors, origin: &Origin<'_>, budget: &mut u64) -> Result<Reading, Refusal> {
    let named = tensors.named();
    if named.len() > limits::EMBEDDINGS {
        return Err(Refusal::Mistaken(Mistaken::Weights { tensors: named.len(), first: first(named) }));
    }
    let mut words = Vec::new();
    for (index, tensor) in named.iter().enumerate() {
        let found = part(tensors, index, Encoder::Unnamed, budget);
        // With several tensors, one of which cannot be an embedding, this is something else.
        let (part, notes) = match found {
            Err(Refusal::Shape { .. } | Refusal::Type { .. } | Refusal::TooMuch { .. }) if named.len() > 1 => {
                return Err(Refusal::Mistaken(Mistaken::Weights { tensors: named.len(), first: first(named) }));
            }
            found => found?,
        };
        let name = (Some(tensor.key.clone().into_owned()), NamedBy::Key);
        words.push(origin.word(name, vec![part], Format::Diffusers, notes));
    }
    Ok(Reading::from_all(words))
}

/// The first keys, to give an idea of what the file is.
fn first(named: &[Named<'_>]) -> String {
    named.iter().take(3).map(|tensor| shown(&tensor.key)).collect::<Vec<_>>().join(", ")
}

/// SDXL: one embedding, with as many vectors for each of the two text encoders.
fn pair(
    tensors: &dyn Tensors,
    [l, g]: [usize; 2],
    origin: &Origin<'_>,
    mut notes: Vec<Note>,
) -> Result<Reading, Refusal> {
    let mut budget = limits::NUMBERS;
    let (l, more) = part(tensors, l, Encoder::ClipL, &mut budget)?;
    notes.extend(more);
    let (g, more) = part(tensors, g, Encoder::ClipG, &mut budget)?;
    notes.extend(more);
    if l.count() != g.count() {
        let reason = format!("{} vectors for clip_l, {} for clip_g", l.count(), g.count());
        return Err(Refusal::damaged("the SDXL pair", reason));
    }
    Ok(Reading::One(origin.word(origin.by_metadata(), vec![l, g], Format::Sdxl, notes)))
}

/// Notes on the tensors beside those that are `used`; only `known` ones may be left out.
fn ignored(
    named: &[Named<'_>],
    used: impl Fn(&str) -> bool,
    known: impl Fn(&str) -> bool,
) -> Result<Vec<Note>, Refusal> {
    let mut notes = Vec::new();
    for tensor in named.iter().filter(|tensor| !used(&tensor.key)) {
        if !known(&tensor.key) {
            return Err(Refusal::Mistaken(Mistaken::Weights { tensors: named.len(), first: first(named) }));
        }
        notes.push(Note::Ignored(tensor.key.clone().into_owned()));
    }
    Ok(notes)
}

/// Reads a tensor as vectors: shape and type are checked before anything is read, `budget` counts numbers down.
pub(super) fn part(
    tensors: &dyn Tensors,
    index: usize,
    encoder: Encoder,
    budget: &mut u64,
) -> Result<(Vectors, Vec<Note>), Refusal> {
    let Some(tensor) = tensors.named().get(index) else {
        return Err(Refusal::unsupported("the file", "a tensor is missing"));
    };
    let name = || shown(&tensor.key);
    match &tensor.dtype {
        Ok(dtype) if dtype.is_float() => {}
        Ok(dtype) => return Err(Refusal::Type { name: name(), found: dtype.to_string() }),
        Err(other) => return Err(Refusal::Type { name: name(), found: other.clone() }),
    }
    let shape = |hint: &str| Refusal::Shape { name: name(), shape: tensor.shape.clone(), hint: hint.to_owned() };
    let (vectors, width) = match *tensor.shape.as_slice() {
        [width] => (1, width),
        [vectors, width] => (vectors, width),
        _ => return Err(shape("")),
    };
    if vectors == 0 || width == 0 {
        return Err(shape(", with at least one vector"));
    }
    if vectors > limits::VECTORS as u64 {
        return Err(shape(match vectors {
            40_000.. => "; this is the token table of a whole model",
            _ => ", and a prompt has room for 75 vectors (77 positions)",
        }));
    }
    if width > limits::WIDTH as u64 {
        return Err(shape(", wider than any text encoder"));
    }
    let size = vectors * width;
    *budget = budget.checked_sub(size).ok_or_else(|| {
        Refusal::too_much("numbers in all embeddings of the file", limits::NUMBERS + 1, limits::NUMBERS)
    })?;
    let rows = tensors.values(index)?;
    if rows.len() as u64 != size {
        return Err(shape(", but some of its values are missing"));
    }
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    let notes = check(&tensor.key, &rows)?;
    Ok((Vectors { encoder, width, rows }, notes))
}

/// Refuses NaN and infinite values, and notes values so large that no training makes them.
fn check(key: &str, rows: &[f32]) -> Result<Vec<Note>, Refusal> {
    const HUGE: f32 = 100.0;
    let mut bad = rows.iter().enumerate().filter(|(_, value)| !value.is_finite()).map(|(index, _)| index);
    if let Some(first) = bad.next() {
        return Err(Refusal::NotFinite { name: shown(key), count: bad.count() + 1, of: rows.len(), first });
    }
    let largest = rows.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    Ok(if largest > HUGE { vec![Note::Huge { name: key.to_owned(), largest }] } else { Vec::new() })
}
