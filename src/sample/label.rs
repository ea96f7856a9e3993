//! The text that a PNG carries: everything needed to make the picture again.
//!
//! Once in our own keys, and once as `parameters` in the form that AUTOMATIC1111's web UI introduced and most programs
//! for generated pictures read ([`infotext`]). [`PictureSettings`] takes both up again, and what other programs write in that form.

mod field;
mod gather;
mod infotext;
mod like;
mod note;
mod samplers;

use self::field::Field;
use self::infotext::value;
use crate::config::{PromptSyntax, SampleConfig, option_name};

pub use self::like::PictureSettings;
pub use self::like::is_taken_up;
pub use self::note::{LikeNote, NotDone};

/// What wrote a file.
pub const SOFTWARE: &str = concat!("pseudoword ", env!("CARGO_PKG_VERSION"));

/// What made a picture.
pub struct Label<'a> {
    /// The prompt, as it was written.
    pub prompt: &'a str,
    /// How it was made ([`decided`](super::decided)).
    pub config: &'a SampleConfig,
    /// The seed of this picture; none if its noise came from a file.
    pub seed: Option<u64>,
    /// Width and height.
    pub size: (u32, u32),
    /// What the model is called.
    pub model: &'a str,
    /// SHA-256 of the U-Net's weights, if it is known.
    pub model_hash: Option<&'a str>,
    /// The embeddings that were used: their tokens, and the SHA-256 of their files.
    pub embeddings: &'a [(String, String)],
}

/// Those of some embeddings, given as tokens and hashes, whose tokens were used.
pub fn used(tokens: &[&str], embeddings: &[(String, String)]) -> Vec<(String, String)> {
    embeddings.iter().filter(|(token, _)| tokens.contains(&token.as_str())).cloned().collect()
}

impl Label<'_> {
    /// Keys and values for [`crate::image::encode_png`].
    pub fn text(&self) -> Vec<(String, String)> {
        let config = self.config;
        let embeddings: Vec<String> = self.embeddings.iter().map(|(token, hash)| format!("{token} {hash}")).collect();
        let mut text = vec![(field::PARAMETERS, self.parameters()), (field::PROMPT, self.prompt.to_owned())];
        if let Some(negative) = self.negative() {
            text.push((field::NEGATIVE, negative.to_owned()));
        }
        let settings = [
            (Field::Seed, Some(self.seed.map_or(field::GIVEN_NOISE.to_owned(), |seed| seed.to_string()))),
            (Field::Steps, Some(config.steps().to_string())),
            (Field::Guidance, Some(config.guidance().to_string())),
            (Field::Sampler, Some(config.sampler_and_spacing())),
            (Field::Syntax, Some(option_name(&config.prompt_syntax))),
            (Field::Size, Some(self.size())),
            (Field::Model, Some(self.model.to_owned())),
            (Field::ClipSkip, self.clip_skip()),
            (Field::EmptyNegative, self.empty_negative()),
            (Field::Pooling, self.pooling()),
            (Field::ModelHash, self.model_hash.map(str::to_owned)),
            (Field::Embeddings, (!embeddings.is_empty()).then(|| embeddings.join("\n"))),
            (Field::Software, Some(SOFTWARE.to_owned())),
        ];
        text.extend(settings.into_iter().filter_map(|(field, value)| Some((field.keyword(), value?))));
        text.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The negative prompt, if the picture was made with one.
    fn negative(&self) -> Option<&str> {
        let negative = Some(self.config.negative_prompt.as_str());
        negative.filter(|negative| !negative.is_empty() && self.config.is_guided())
    }

    /// What stands for a negative prompt that is empty, in models of which that depends.
    fn empty_negative(&self) -> Option<String> {
        self.config.empty_negative.as_ref().map(option_name)
    }

    /// The language of the prompts, if it is not that in which `parameters` are read.
    fn syntax(&self) -> Option<String> {
        let syntax = self.config.prompt_syntax;
        (syntax != PromptSyntax::A1111).then(|| option_name(&syntax))
    }

    /// The layer that prompts were taken from, if it is not the last.
    fn clip_skip(&self) -> Option<String> {
        (self.config.clip_skip != SampleConfig::default().clip_skip).then(|| self.config.clip_skip.to_string())
    }

    /// Which token stands for the prompt, if it is not its end, as everywhere.
    fn pooling(&self) -> Option<String> {
        (self.config.pooling != SampleConfig::default().pooling).then(|| option_name(&self.config.pooling))
    }

    fn size(&self) -> String {
        format!("{}x{}", self.size.0, self.size.1)
    }

    fn parameters(&self) -> String {
        let config = self.config;
        // Ten digits of the model's hash and twelve of an embedding's, as upstream has them.
        let hashes: Vec<String> =
            self.embeddings.iter().map(|(token, hash)| format!("{token}: {}", &hash[..12])).collect();
        let settings = [
            (Field::Steps, Some(config.steps().to_string())),
            (Field::Sampler, Some(config.sampler().upstream().to_owned())),
            (Field::Spacing, config.karras.then(|| "Karras".to_owned())),
            (Field::Guidance, Some(config.guidance().to_string())),
            (Field::Seed, self.seed.map(|seed| seed.to_string())),
            (Field::Size, Some(self.size())),
            (Field::ModelHash, self.model_hash.map(|hash| hash[..10].to_owned())),
            (Field::Model, Some(value(self.model).into_owned())),
            (Field::Embeddings, (!hashes.is_empty()).then(|| infotext::quoted(&hashes.join(", ")))),
            (Field::ClipSkip, self.clip_skip()),
            (Field::Syntax, self.syntax()),
            (Field::EmptyNegative, self.empty_negative()),
            (Field::Pooling, self.pooling()),
            (Field::Software, Some(SOFTWARE.to_owned())),
        ];
        let settings: Vec<_> = settings.into_iter().filter_map(|(field, value)| Some((field.key(), value?))).collect();
        infotext::write(self.prompt, self.negative(), &settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EmptyNegative, Pooling, SamplerKind};

    #[test]
    fn the_parameters_have_the_form_that_other_programs_read() {
        let config = SampleConfig { negative_prompt: "blur".to_owned(), karras: true, ..SampleConfig::default() };
        let config =
            SampleConfig { sampler: Some(SamplerKind::Dpmpp2m), steps: Some(25), guidance: Some(4.0), ..config };
        let hash = "ab".repeat(32);
        let label = Label {
            prompt: "a <peach>",
            config: &config,
            seed: Some(7),
            size: (64, 96),
            model: "mini",
            model_hash: Some(&hash),
            embeddings: &[("<peach>".to_owned(), "cd".repeat(32))],
        };
        let text = label.text();
        let expected = "a <peach>\nNegative prompt: blur\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, \
                        Seed: 7, Size: 64x96, Model hash: ababababab, Model: mini, TI hashes: \"<peach>: cdcdcdcdcdcd\", \
                        Version: pseudoword 0.1.0";
        assert_eq!(text[0], ("parameters".to_owned(), expected.to_owned()));
        let get = |key: &str| text.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        assert_eq!(get("sampler"), Some("dpmpp2m karras"));
        assert_eq!(get("embeddings"), Some(format!("<peach> {}", "cd".repeat(32)).as_str()));
        // Names as they are, and none that ends the line.
        let names = [("<\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}\u{1f98a}>".to_owned(), "cd".repeat(32))];
        let forged = Label { model: "a\nSteps: 9, Seed: 1", embeddings: &names, ..label };
        let parameters = forged.parameters();
        assert_eq!(parameters.lines().count(), 3, "{parameters}");
        assert!(parameters.contains("Model: \"a\\nSteps: 9, Seed: 1\", TI hashes: \"<\u{928}\u{92e}\u{938}\u{94d}"));
        let label = Label { model: "mini", embeddings: &[], ..forged };
        assert!(get("pooling").is_none() && get("empty negative").is_none());
        let of_two = SampleConfig {
            empty_negative: Some(EmptyNegative::Zeros),
            pooling: Pooling::Diffusers,
            clip_skip: 2,
            prompt_syntax: PromptSyntax::ComfyUi,
            ..SampleConfig::default()
        };
        let text = format!("{:?}", Label { config: &of_two, ..label }.text());
        for part in [
            "Clip skip: 2, Prompt syntax: comfyui, Empty negative: zeros, Pooling: diffusers, ",
            "(\"prompt syntax\", \"comfyui\")",
            "(\"clip skip\", \"2\")",
            "(\"empty negative\", \"zeros\")",
            "(\"pooling\", \"diffusers\")",
        ] {
            assert!(text.contains(part), "{text}");
        }
        // Without guidance the negative prompt has no part in the picture.
        let config = SampleConfig { guidance: Some(1.0), ..config.clone() };
        assert!(!format!("{:?}", Label { config: &config, ..label }.text()).contains("blur"));
    }
}
