//! `generate --like PICTURE`: the settings that a picture says it was made with, under those that were typed.

use super::args::GenerateArgs;
use super::embeddings::read::EmbeddingArgument;
use super::load::ModelId;
use super::output::Output;
use crate::Result;
use crate::base::files;
use crate::config::SampleConfig;
use crate::event::{Event, WarningCode};
use crate::model::ModelConfig;
use crate::sample::{LikeNote, PictureSettings, is_taken_up, says_unknown};
use crate::setting::Setting;

/// A picture that others are to be made like.
pub(super) struct Like {
    path: String,
    said: PictureSettings,
    /// What was typed.
    typed: Vec<Setting>,
}

impl Like {
    /// Reads the picture that was given, if one was, and puts what it says in the place of what was not typed.
    ///
    /// # Errors
    /// Those of reading a file, and of [`PictureSettings::read`].
    pub fn taken_up_into(args: &mut GenerateArgs, out: &mut Output) -> Result<Option<Self>> {
        let Some(path) = &args.like else { return Ok(None) };
        let bytes = files::read(path)?;
        let path = path.display().to_string();
        let said = PictureSettings::read(&bytes, &path)?;
        let is_typed = |setting: Setting| args.typed.contains(&setting);
        let names = |name: &&String| Setting::of(name).is_some_and(is_typed);
        let mut given: Vec<String> = said.settings.keys().filter(names).cloned().collect();
        let mut settings = said.settings.clone();
        settings.retain(|name, _| Setting::of(name).is_some_and(|setting| is_taken_up(setting, &is_typed)));
        args.config = said.applied_to(&args.config, &is_typed);
        let prompt = args.prompts.is_empty().then(|| said.prompt.clone());
        if prompt.is_none() {
            given.insert(0, "prompt".to_owned());
        }
        args.prompts.extend(prompt.clone());
        out.event(&Event::TakenUp { path: path.clone(), prompt, settings, given })?;
        let like = Self { path, said, typed: args.typed.clone() };
        let replaced = |note: &&LikeNote| match note {
            LikeNote::Sampler { .. } => is_typed(Setting::Sampler),
            LikeNote::GivenNoise => args.latents.is_some() || is_typed(Setting::Seed),
            _ => false,
        };
        like.said.notes.iter().filter(|note| !replaced(note)).try_for_each(|note| out.event(&like.warning(note)))?;
        Ok(Some(like))
    }

    /// The settings with what a model can have in the place of what it cannot and the picture says, and what to say of that.
    pub fn fitted(&self, config: &SampleConfig, model: &ModelConfig) -> (SampleConfig, Vec<Event>) {
        let (config, notes) = self.said.fitted(config, model, &|setting| self.typed.contains(&setting));
        (config, notes.iter().map(|note| self.warning(note)).collect())
    }

    /// What to say about the embeddings that are at hand, and about which of `said` that is enough: what is missing is said once.
    pub fn about_embeddings(&self, at_hand: &[EmbeddingArgument], said: &mut Vec<Event>) -> Vec<Event> {
        let named = |given: &EmbeddingArgument| (given.embedding.token.clone(), given.hash.clone());
        let notes = self.said.about_embeddings(&at_hand.iter().map(named).collect::<Vec<_>>());
        for note in &notes {
            if let LikeNote::NoEmbedding { token, .. } | LikeNote::RenamedEmbedding { token, .. } = note {
                said.retain(|event| !says_unknown(event, token));
            }
        }
        notes.iter().map(|note| self.warning(note)).collect()
    }

    /// What to say about the model.
    pub fn about_model(&self, model: &ModelId) -> Option<Event> {
        self.said.about_model(&model.name, model.hash.as_deref()).map(|note| self.warning(&note))
    }

    fn warning(&self, note: &LikeNote) -> Event {
        Event::warning(WarningCode::NotTakenUp, format!("{}: {note}", self.path))
    }
}
