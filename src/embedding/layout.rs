//! Which embeddings a set of named tensors is: the one place that knows the keys of every program.
//!
//! The rules are the union of what all loaders do, in this order: embeddings for text encoders that no model here has
//! (`elsewhere`) are named and refused; the keys of programs that call all their embeddings the same ([`PAIRS`],
//! [`KEYS`]), whatever stands beside them; what is recognised as something else is refused; otherwise one embedding for
//! each tensor, whose key is the token (`numbered` puts together what diffusers takes apart). A1111's records are in
//! `a1111`.

mod elsewhere;
mod numbered;

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
    /// The same with another name by what the file says.
    pub fn called(&self, token: Option<&str>) -> Self {
        let token = token.map(str::to_owned);
        Self { container: self.container, stem: self.stem, metadata: self.metadata.clone(), token }
    }

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

/// How a program calls the tensor of its embeddings: a key that is the same for all of them.
const KEYS: &[(&str, Format, Encoder)] = &[
    ("emb_params", Format::Kohya, Encoder::Unnamed),
    ("emp_params", Format::OneTrainer, Encoder::Unnamed),
    // A1111's dict, flattened by those who convert it to safetensors.
    ("string_to_param.*", Format::A1111, Encoder::Unnamed),
    ("clip_l", Format::Sdxl, Encoder::ClipL),
    ("clip_g", Format::Sdxl, Encoder::ClipG),
    ("text_encoders_0", Format::Replicate, Encoder::ClipL),
    ("text_encoders_1", Format::Replicate, Encoder::ClipG),
];

/// SDXL's two, as trainers and as Replicate (`.pti`) call them.
const PAIRS: &[([&str; 2], Format)] =
    &[(["clip_l", "clip_g"], Format::Sdxl), (["text_encoders_0", "text_encoders_1"], Format::Replicate)];

/// Whether a key is one of those, and so not an embedding's name.
pub(super) fn is_key_of_a_program(key: &str) -> bool {
    KEYS.iter().any(|(known, ..)| *known == key)
}

/// The embeddings that tensors with keys are.
pub(super) fn words(tensors: &dyn Tensors, origin: &Origin<'_>) -> Result<Reading, Refusal> {
    let named = tensors.named();
    let find = |key: &str| named.iter().position(|tensor| tensor.key == key);
    if named.is_empty() {
        return Err(Refusal::unsupported("the file", "it holds no tensors, so it is not an embedding"));
    }
    if let Some(elsewhere) = elsewhere::recognise(named) {
        return Err(Refusal::Mistaken(elsewhere));
    }
    for (pair, format) in PAIRS {
        if let [Some(l), Some(g)] = pair.map(find) {
            let notes = beside(named, &pair[..])?;
            return two(tensors, [l, g], origin, *format, notes);
        }
    }
    for &(key, format, encoder) in KEYS {
        let Some(index) = find(key) else { continue };
        let mut notes = beside(named, &[key])?;
        let (part, more) = part(tensors, index, encoder, &mut limits::NUMBERS.clone())?;
        notes.extend(more);
        return Ok(Reading::One(origin.word(origin.by_metadata(), vec![part], format, notes)));
    }
    if let Some(mistaken) = Mistaken::by_keys(named.iter().map(|tensor| tensor.key.as_ref())) {
        return Err(Refusal::Mistaken(mistaken));
    }
    several(tensors, origin)
}

/// One embedding for each tensor, by its key: one, as diffusers writes them, or a collection.
fn several(tensors: &dyn Tensors, origin: &Origin<'_>) -> Result<Reading, Refusal> {
    let named = tensors.named();
    let weights = || Refusal::Mistaken(Mistaken::Weights { tensors: named.len(), first: first(named) });
    if named.len() > limits::EMBEDDINGS {
        return Err(weights());
    }
    // A tensor on its own is told what is wrong with it; of several, those that can be vectors count, and a few numbers
    // beside them are passed over. Anything else makes this something else.
    let widest = named.iter().filter(|tensor| is_vectors(tensor)).filter_map(|tensor| tensor.shape.last()).max();
    let beside = |tensor: &Named<'_>| named.len() > 1 && is_beside(tensor, *widest.unwrap_or(&0));
    if named.len() > 1 && !named.iter().all(|tensor| is_vectors(tensor) || beside(tensor))
        || widest.is_none() && named.len() > 1
    {
        return Err(weights());
    }
    let (mut words, mut budget) = (Vec::new(), limits::NUMBERS);
    for (index, tensor) in named.iter().enumerate().filter(|(_, tensor)| !beside(tensor)) {
        let (part, notes) = match part(tensors, index, Encoder::Unnamed, &mut budget) {
            Err(Refusal::TooMuch { .. }) if named.len() > 1 => return Err(weights()),
            found => found?,
        };
        let name = (Some(tensor.key.clone().into_owned()), NamedBy::Key);
        words.push(origin.word(name, vec![part], Format::Diffusers, notes));
    }
    let mut words = numbered::joined(words);
    let notes = ignored(named.iter().filter(|tensor| beside(tensor)));
    words.iter_mut().for_each(|word| word.notes.extend_from_slice(&notes));
    Ok(Reading::from_all(words))
}

/// Whether a tensor can be the vectors of an embedding, by its type and shape.
fn is_vectors(tensor: &Named<'_>) -> bool {
    let (vectors, width) = match *tensor.shape.as_slice() {
        [width] => (1, width),
        [vectors, width] => (vectors, width),
        _ => return false,
    };
    let float = tensor.dtype.as_ref().is_ok_and(|dtype| dtype.is_float());
    float && (1..=limits::VECTORS as u64).contains(&vectors) && (1..=limits::WIDTH as u64).contains(&width)
}

/// Whether a tensor is one of those that stand beside vectors of a width: a scale, a count, the ids of tokens.
fn is_beside(tensor: &Named<'_>, width: u64) -> bool {
    /// Most numbers of a scale and its like.
    const FEW: u64 = 16;
    /// Most whole numbers: ids and masks of a prompt's positions.
    const IDS: u64 = 1024;
    let numbers = tensor.shape.iter().try_fold(1_u64, |all, size| all.checked_mul(*size));
    // Floats of a type that vectors cannot have here (F8_E4M3, ...) may be somebody's vectors all the same.
    let float = match &tensor.dtype {
        Ok(dtype) => dtype.is_float(),
        Err(other) => other.starts_with(['F', 'C']),
    };
    numbers.is_some_and(|numbers| if float { numbers <= FEW && width > FEW } else { numbers <= IDS })
}

/// The first keys, to give an idea of what the file is.
fn first(named: &[Named<'_>]) -> String {
    named.iter().take(3).map(|tensor| shown(&tensor.key)).collect::<Vec<_>>().join(", ")
}

/// SDXL: one embedding, with as many vectors for each of the two text encoders.
fn two(
    tensors: &dyn Tensors,
    [l, g]: [usize; 2],
    origin: &Origin<'_>,
    format: Format,
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
    Ok(Reading::One(origin.word(origin.by_metadata(), vec![l, g], format, notes)))
}

/// Notes on the tensors beside those that are `used`: they may be anything but a model or what changes one.
fn beside(named: &[Named<'_>], used: &[&str]) -> Result<Vec<Note>, Refusal> {
    let rest = || named.iter().filter(|tensor| !used.contains(&tensor.key.as_ref()));
    if let Some(mistaken) = Mistaken::by_keys(rest().map(|tensor| tensor.key.as_ref())) {
        return Err(Refusal::Mistaken(mistaken));
    }
    if named.len() > limits::EMBEDDINGS {
        return Err(Refusal::Mistaken(Mistaken::Weights { tensors: named.len(), first: first(named) }));
    }
    Ok(ignored(rest()))
}

/// Notes on tensors that are not used.
fn ignored<'n>(tensors: impl Iterator<Item = &'n Named<'n>>) -> Vec<Note> {
    Note::ignored(tensors.map(|tensor| tensor.key.as_ref()))
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
    let notes = check(tensor, &rows)?;
    Ok((Vectors { encoder, width, rows }, notes))
}

/// Refuses NaN and infinite values, and notes values so large that no training makes them.
fn check(tensor: &Named<'_>, rows: &[f32]) -> Result<Vec<Note>, Refusal> {
    const HUGE: f32 = 100.0;
    let mut bad = rows.iter().enumerate().filter(|(_, value)| !value.is_finite()).map(|(index, _)| index);
    if let Some(first) = bad.next() {
        let wide = tensor.dtype == Ok(DType::F64);
        return Err(Refusal::NotFinite {
            name: shown(&tensor.key),
            count: bad.count() + 1,
            of: rows.len(),
            first,
            wide,
        });
    }
    let largest = rows.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    Ok(if largest > HUGE { vec![Note::Huge { name: tensor.key.clone().into_owned(), largest }] } else { Vec::new() })
}
