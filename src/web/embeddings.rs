//! The embeddings that prompts on the page can use, and prompts while they are typed.

use js_sys::Reflect;
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::engine::Engine;
use super::tools::Tools;
use super::{plain, to_js};
use crate::base::bytes::sha256;
use crate::base::text::{beginning, quoted};
use crate::config::PromptSyntax;
use crate::embedding::{self, Refusal};
use crate::event::Event;
use crate::text::{check_token, without_model};
use crate::train::file_can_hold;
use crate::warning::WarningCode;
use crate::weights::samples;
use crate::{Error, Result};

/// Of what does not fit into a prompt so many characters are shown: it may be a pasted book.
const SHOWN: usize = 80;

#[wasm_bindgen]
impl Engine {
    /// Checks that an embedding to be learned can be called `token`; throws the reason if it cannot.
    #[wasm_bindgen(js_name = checkToken)]
    pub fn check_token(&self, token: &str) -> Result<(), JsValue> {
        check_token(token).and_then(|()| file_can_hold(token)).map_err(to_js)?;
        self.session.tokenizer().check_word(token).map_err(to_js)
    }

    /// How many tokens a phrase is in this model's vocabulary: an embedding that starts from it needs as many vectors.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(&self, phrase: &str) -> usize {
        self.session.tokenizer().encode(phrase).len()
    }

    /// What a text is as a prompt in a language by its name ([`choices`](super::choices)), or in the usual one: `{tokens, room, stretches,
    /// words: [{token, vectors}], unknown: [{text, suggestion?}], lost?, notes: [{quoted, means, code}]}`
    /// ([`PromptInfo`](crate::text::PromptInfo)); of what is lost the beginning.
    #[wasm_bindgen(js_name = promptInfo)]
    pub fn prompt_info(&self, text: &str, syntax: Option<String>) -> Result<JsValue, JsValue> {
        let mut info = self.session.tokenizer().info(text, named(syntax)?, &[]);
        info.lost = info.lost.map(|lost| beginning(&lost, SHOWN));
        plain(&info)
    }

    /// Makes the embedding of a file usable in prompts, no matter which program wrote it. `name` is the file's name;
    /// `token` renames the embedding. Gives `{token, vectors, width, family, norm, typical, notes}`: its mean length and the
    /// median of the model's own words (see [`AboutEmbedding`](crate::session::AboutEmbedding)), and as `{code, text}` what is worth
    /// telling about the file.
    #[wasm_bindgen(js_name = addEmbedding)]
    pub fn add_embedding(&mut self, bytes: &[u8], name: &str, token: Option<String>) -> Result<JsValue, JsValue> {
        let bad = |refusal: Refusal| to_js(Error::BadFile { file: name.to_owned(), reason: refusal.to_string() });
        let found = embedding::read(bytes, name).and_then(|reading| reading.choose(token.as_deref())).map_err(bad)?;
        let mut notes = super::tools::notes_of(&found);
        let embedding = found.into_embedding(token.as_deref()).map_err(bad)?;
        let samples = embedding.metadata.get("unet-samples").zip(self.session.model().unet_samples.as_ref());
        if samples.is_some_and(|(theirs, ours)| samples::same(theirs, ours) == Some(false)) {
            let text = "it was learned on a different model and may mean something else here";
            notes.push(Event::warning(WarningCode::OtherModel, text));
        }
        let token = embedding.token.clone();
        self.session.add_embedding(embedding, name).map_err(to_js)?;
        self.files.push((token.clone(), sha256(bytes)));
        let about = plain(&self.session.about(&token).map_err(to_js)?)?;
        Reflect::set(&about, &"notes".into(), &plain(&notes)?)?;
        Ok(about)
    }

    /// The same of an embedding that was added, without notes, and `nearest: [{word, similarity}]`: the model's own words near it.
    pub fn about(&self, token: &str) -> Result<JsValue, JsValue> {
        let about = plain(&self.session.about(token).map_err(to_js)?)?;
        Reflect::set(&about, &"nearest".into(), &plain(&self.session.nearest(token).map_err(to_js)?)?)?;
        Ok(about)
    }

    /// Calls an embedding otherwise from now on; gives what [`about`](Self::about) gives. Throws if it cannot be called so; then
    /// it keeps its name.
    #[wasm_bindgen(js_name = renameEmbedding)]
    pub fn rename_embedding(&mut self, token: &str, other: &str) -> Result<JsValue, JsValue> {
        self.session.rename_embedding(token, other).map_err(to_js)?;
        self.files.retain(|(of, _)| of != token);
        let renamed = self.session.embedding(other).map_err(to_js)?;
        // Its file is another from now on.
        self.files.push((other.to_owned(), renamed.hash()));
        self.about(other)
    }

    /// Removes an embedding; gives whether there was one.
    #[wasm_bindgen(js_name = removeEmbedding)]
    pub fn remove_embedding(&mut self, token: &str) -> bool {
        let Some(removed) = self.session.remove_embedding(token) else { return false };
        self.files.retain(|(token, _)| *token != removed.token);
        true
    }

    /// A prompt in a language, as for [`prompt_info`](Self::prompt_info), without the embeddings in it, to compare with: the phrase that
    /// each started from in its place, or nothing; `undefined` if none is in it.
    pub fn without(&self, prompt: &str, syntax: Option<String>) -> Result<Option<String>, JsValue> {
        Ok(self.session.without(prompt, named(syntax)?))
    }
}

#[wasm_bindgen]
impl Tools {
    /// What can be told of a prompt without a model, `{unknown, notes}` as [`Engine::prompt_info`] has them; `words` are the learned words
    /// that are known.
    #[wasm_bindgen(js_name = promptInfo)]
    pub fn prompt_info(&self, text: &str, syntax: Option<String>, words: Vec<String>) -> Result<JsValue, JsValue> {
        let (unknown, notes) = without_model(text, named(syntax)?, &words);
        plain(&json!({"unknown": unknown, "notes": notes}))
    }
}

/// The language of prompts of a name, or the usual one.
fn named(syntax: Option<String>) -> Result<PromptSyntax, JsValue> {
    let Some(name) = syntax else { return Ok(PromptSyntax::default()) };
    let unknown = || to_js(Error::Usage(format!("there is no language of prompts {}", quoted(&name))));
    PromptSyntax::of(&name).ok_or_else(unknown)
}
