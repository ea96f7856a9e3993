//! What the files of a tokenizer say, as `CLIPTokenizer.from_pretrained` of transformers 5 takes them.
//!
//! Programs have written them in many ways: the vocabulary in `tokenizer.json`, which counts where it exists, or in
//! `vocab.json` and `merges.txt`; what begins, ends and pads a prompt in `tokenizer_config.json` or, for older
//! programs, in `special_tokens_map.json`, which then counts; and tokens that were added to the vocabulary, learned words
//! for example, in `tokenizer_config.json` (where this has `added_tokens_decoder`, nothing else counts), in
//! `added_tokens.json` or in `tokenizer.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::parts::Part;
use crate::source::{Source, read_text};
use crate::{Error, Result};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// What has a role where no file says otherwise.
const USUAL: [(&str, &str); 4] = [("bos_token", START), ("eos_token", END), ("unk_token", END), ("pad_token", END)];

/// The roles that a token can have, in the order in which those that are not in the vocabulary are added to it.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A token beside the vocabulary, or one of it that is found before all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub content: String,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
    /// Whether it is looked for in normalised text.
    pub normalized: bool,
    /// Whether it has a role of its own and is not a word.
    pub special: bool,
}

/// A tokenizer's files, put together.
pub(super) struct Pretrained {
    /// Ids of tokens.
    pub vocabulary: Map<String, Value>,
    /// Strings or pairs.
    pub merges: Value,
    /// In the order in which those that the vocabulary lacks get the ids behind it.
    pub added: Vec<AddedToken>,
    /// What begins a prompt.
    pub start: String,
    /// What ends it.
    pub end: String,
    /// What follows the end.
    pub pad: String,
    /// What stands for characters that the vocabulary lacks.
    pub unknown: String,
    /// Tokens in a prompt.
    pub length: Option<f64>,
    /// Whether padding stands before the prompt.
    pub pads_left: bool,
    /// The file with the vocabulary, for messages.
    pub file: String,
}

impl Pretrained {
    /// Reads the files of a part.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] without a vocabulary, [`Error::BadFile`] for files that cannot be understood.
    pub async fn read(source: &dyn Source, part: Part) -> Result<Self> {
        let folder = part.folder();
        let config = object(source, &format!("{folder}/tokenizer_config.json")).await?.unwrap_or_default();
        let special = object(source, &format!("{folder}/special_tokens_map.json")).await?.unwrap_or_default();
        let added = object(source, &format!("{folder}/added_tokens.json")).await?.unwrap_or_default();
        let whole = object(source, &format!("{folder}/tokenizer.json")).await?;
        let (vocabulary, merges, path) = match &whole {
            Some((whole, path)) => {
                let model = whole.get("model").and_then(Value::as_object);
                let of = |key: &str| model.and_then(|model| model.get(key)).cloned();
                let (Some(Value::Object(vocabulary)), Some(merges)) = (of("vocab"), of("merges")) else {
                    let reason = "it has no vocabulary with ids, or no list of merges: this is not CLIP's tokenizer";
                    return Err(Error::BadFile { file: path.clone(), reason: reason.to_owned() });
                };
                (vocabulary, merges, path.clone())
            }
            None => pair(source, part).await?,
        };
        let whole = whole.unwrap_or_default();
        let (tokens, path_of_config) = (Tokens::gather(&config, &special, &added, &whole)?, config.1);
        let config = config.0;
        let [start, end, unknown, pad] = USUAL.map(|(role, usual)| match tokens.roles.get(role) {
            Some(Some(token)) => token.content.clone(),
            _ => usual.to_owned(),
        });
        if config.get("truncation_side").and_then(Value::as_str) == Some("left") {
            let reason = "truncation_side is \"left\", which is not supported".to_owned();
            return Err(Error::BadConfig { file: path_of_config, reason });
        }
        Ok(Self {
            vocabulary,
            merges,
            start,
            end,
            pad,
            unknown,
            length: ["model_max_length", "max_len"].iter().find_map(|key| config.get(*key)?.as_f64()),
            pads_left: config.get("padding_side").and_then(Value::as_str) == Some("left"),
            added: tokens.in_order(),
            file: path,
        })
    }
}

/// An object in a file, with the file's name for messages; none if there is no such file.
async fn object(source: &dyn Source, path: &str) -> Result<Option<(Map<String, Value>, String)>> {
    let Some(text) = read_text(source, path).await? else { return Ok(None) };
    let file = source.origin(path, "").0;
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(object) => Ok(Some((object, file))),
        Err(error) => Err(Error::BadFile { file, reason: error.to_string() }),
    }
}

/// `vocab.json` and `merges.txt`.
async fn pair(source: &dyn Source, part: Part) -> Result<(Map<String, Value>, Value, String)> {
    let folder = part.folder();
    let vocabulary = object(source, &format!("{folder}/vocab.json")).await?;
    let merges = read_text(source, &format!("{folder}/merges.txt")).await?;
    let (Some((vocabulary, file)), Some(merges)) = (vocabulary, merges) else {
        return Err(Error::ModelPartMissing {
            model: source.name(),
            part: part.to_string(),
            expected: part.expected(),
        });
    };
    let lines = merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty());
    Ok((vocabulary, lines.collect(), file))
}

/// The tokens that the files name beside the vocabulary.
struct Tokens {
    /// By the ids that they had when they were saved, of which only the order counts.
    numbered: BTreeMap<u64, AddedToken>,
    /// By their roles: the common ones, then others; none where a role is said to have no token.
    roles: BTreeMap<String, Option<AddedToken>>,
    /// Of no particular role.
    more: Vec<AddedToken>,
}

/// A file's content and its name.
type File = (Map<String, Value>, String);

impl Tokens {
    fn gather(config: &File, special: &File, added: &File, whole: &File) -> Result<Self> {
        let mut tokens = Self { numbered: BTreeMap::new(), roles: BTreeMap::new(), more: Vec::new() };
        tokens.take_special(&config.0, false, &config.1)?;
        if let Some(decoder) = config.0.get("added_tokens_decoder") {
            let decoder = decoder.as_object().ok_or_else(|| bad(&config.1, "added_tokens_decoder is not an object"))?;
            for (id, token) in decoder {
                let id =
                    id.parse().map_err(|_| bad(&config.1, &format!("added_tokens_decoder has {id:?} for an id")))?;
                tokens.numbered.insert(id, token_of(token, false, &config.1)?);
            }
            return Ok(tokens);
        }
        tokens.take_special(&special.0, true, &special.1)?;
        for (content, id) in &added.0 {
            let id = id.as_u64().ok_or_else(|| bad(&added.1, &format!("the id of {content:?} is not a number")))?;
            let special = tokens.specials().any(|token| token.content == *content);
            tokens.numbered.insert(id, AddedToken::new(content, special));
        }
        for token in whole.0.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
            let id = token.get("id").and_then(Value::as_u64);
            let id = id.ok_or_else(|| bad(&whole.1, "a token of added_tokens has no id"))?;
            tokens.numbered.insert(id, token_of(token, false, &whole.1)?);
        }
        Ok(tokens)
    }

    fn specials(&self) -> impl Iterator<Item = &AddedToken> {
        self.roles.values().flatten().chain(&self.more)
    }

    /// Tokens by their roles, and a list of more; `special` is whether objects describe special tokens.
    fn take_special(&mut self, map: &Map<String, Value>, special: bool, file: &str) -> Result<()> {
        for (key, value) in map {
            if value.is_null() && ROLES.contains(&key.as_str()) {
                self.roles.insert(key.clone(), None);
            } else if key.ends_with("_token") && (value.is_string() || value.is_object()) {
                self.roles.insert(key.clone(), Some(token_of(value, special, file)?));
            }
        }
        let listed = ["extra_special_tokens", "additional_special_tokens"].iter().find_map(|key| map.get(*key));
        match listed {
            Some(Value::Array(listed)) => {
                self.more = listed.iter().map(|token| token_of(token, true, file)).collect::<Result<_>>()?;
            }
            Some(Value::Object(named)) => {
                for (name, token) in named {
                    self.roles.insert(name.clone(), Some(token_of(token, true, file)?));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All of them once, in the order in which they are added to the vocabulary.
    fn in_order(self) -> Vec<AddedToken> {
        let mut ordered: Vec<AddedToken> = Vec::new();
        let Self { numbered, mut roles, more } = self;
        for (role, usual) in USUAL {
            roles.entry(role.to_owned()).or_insert(None).get_or_insert_with(|| AddedToken::new(usual, true));
        }
        let common: Vec<AddedToken> = ROLES.iter().filter_map(|role| roles.remove(*role)?).collect();
        let named: Vec<AddedToken> = common.into_iter().chain(roles.into_values().flatten()).collect();
        for mut token in numbered.into_values() {
            token.special |= named.iter().any(|named| named.content == token.content);
            // The same again, described otherwise: the last counts.
            match ordered.iter_mut().find(|other| other.content == token.content) {
                Some(other) => *other = token,
                None => ordered.push(token),
            }
        }
        let numbered = ordered.len();
        for mut token in named.into_iter().chain(more) {
            token.special = true;
            match ordered.iter().position(|other| other.content == token.content) {
                Some(at) if at < numbered => {}
                Some(at) => ordered[at] = token,
                None => ordered.push(token),
            }
        }
        ordered.retain(|token| !token.content.is_empty());
        ordered
    }
}

impl AddedToken {
    /// As transformers makes one of a string.
    fn new(content: &str, special: bool) -> Self {
        let content = content.to_owned();
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: !special, special }
    }
}

fn bad(file: &str, reason: &str) -> Error {
    Error::BadFile { file: file.to_owned(), reason: reason.to_owned() }
}

/// A token as files describe one: a string, which is special, or an object.
fn token_of(value: &Value, special: bool, file: &str) -> Result<AddedToken> {
    #[derive(Deserialize)]
    struct Described {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        special: Option<bool>,
    }
    if let Some(content) = value.as_str() {
        return Ok(AddedToken::new(content, true));
    }
    let described: Described =
        serde_json::from_value(value.clone()).map_err(|error| bad(file, &format!("a token is not one: {error}")))?;
    let special = special || described.special.unwrap_or(false);
    let Described { content, single_word, lstrip, rstrip, normalized, .. } = described;
    Ok(AddedToken { content, single_word, lstrip, rstrip, normalized: normalized.unwrap_or(!special), special })
}
