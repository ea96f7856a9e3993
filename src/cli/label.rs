//! The text that a PNG carries: everything needed to make the picture again.
//!
//! Once in our own keys, and once as `parameters` in the form that AUTOMATIC1111's web UI introduced and most programs for
//! generated pictures read (`modules/processing.py`, `create_infotext`).

use clap::ValueEnum;

use super::open::{ModelId, Word};
use crate::config::{SampleConfig, SamplerKind};

/// What made a picture.
pub(super) struct Label<'a> {
    pub prompt: &'a str,
    pub config: &'a SampleConfig,
    /// The seed of this picture; none if its noise came from a file.
    pub seed: Option<u64>,
    /// Width and height.
    pub size: (u32, u32),
    pub model: &'a ModelId,
    /// The learned words that the prompt can use.
    pub words: &'a [Word],
}

impl Label<'_> {
    /// Keys and values for [`crate::image::encode_png`].
    pub fn text(&self) -> Vec<(String, String)> {
        let config = self.config;
        let words: Vec<String> = self.words.iter().map(|word| format!("{} {}", word.token, word.hash)).collect();
        let mut text = vec![("parameters", self.parameters()), ("prompt", self.prompt.to_owned())];
        if !config.negative_prompt.is_empty() {
            text.push(("negative prompt", config.negative_prompt.clone()));
        }
        text.extend([
            ("seed", self.seed.map_or("noise from a file".to_owned(), |seed| seed.to_string())),
            ("steps", config.steps.to_string()),
            ("guidance", config.guidance.to_string()),
            ("sampler", sampler(config)),
            ("size", self.size()),
            ("model", self.model.name.clone()),
        ]);
        text.extend(self.model.hash.clone().map(|hash| ("model hash", hash)));
        if !words.is_empty() {
            text.push(("embeddings", words.join("\n")));
        }
        text.push(("Software", version()));
        text.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn size(&self) -> String {
        format!("{}x{}", self.size.0, self.size.1)
    }

    fn parameters(&self) -> String {
        let config = self.config;
        let mut lines = vec![self.prompt.to_owned()];
        if !config.negative_prompt.is_empty() {
            lines.push(format!("Negative prompt: {}", config.negative_prompt));
        }
        let mut settings =
            vec![format!("Steps: {}", config.steps), format!("Sampler: {}", upstream_name(config.sampler))];
        settings.extend(config.karras.then(|| "Schedule type: Karras".to_owned()));
        settings.push(format!("CFG scale: {}", config.guidance));
        settings.extend(self.seed.map(|seed| format!("Seed: {seed}")));
        settings.push(format!("Size: {}", self.size()));
        // Ten digits of the model's hash and twelve of an embedding's, as upstream has them.
        settings.extend(self.model.hash.as_ref().map(|hash| format!("Model hash: {}", &hash[..10])));
        settings.push(format!("Model: {}", self.model.name));
        let words: Vec<String> =
            self.words.iter().map(|word| format!("{}: {}", word.token, &word.hash[..12])).collect();
        if !words.is_empty() {
            settings.push(format!("TI hashes: {:?}", words.join(", ")));
        }
        settings.push(format!("Version: {}", version()));
        lines.push(settings.join(", "));
        lines.join("\n")
    }
}

/// What wrote the file.
pub(super) fn version() -> String {
    concat!("pseudoword ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// A sampler as it is typed, with its spacing.
pub(super) fn sampler(config: &SampleConfig) -> String {
    let name = option_name(&config.sampler);
    if config.karras { format!("{name} karras") } else { name }
}

/// The name under which a value is given on the command line.
pub(super) fn option_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What AUTOMATIC1111 calls a sampler (`modules/sd_samplers_kdiffusion.py`, `sd_samplers_timesteps.py`).
fn upstream_name(sampler: SamplerKind) -> &'static str {
    match sampler {
        SamplerKind::Ddim => "DDIM",
        SamplerKind::Pndm => "PLMS",
        SamplerKind::Euler => "Euler",
        SamplerKind::EulerAncestral => "Euler a",
        SamplerKind::Dpmpp2m => "DPM++ 2M",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_have_the_form_that_other_programs_read() {
        let config = SampleConfig { negative_prompt: "blur".to_owned(), karras: true, ..SampleConfig::default() };
        let config = SampleConfig { sampler: SamplerKind::Dpmpp2m, ..config };
        let model = ModelId { name: "mini".to_owned(), hash: Some("ab".repeat(32)) };
        let words = [Word { token: "<peach>".to_owned(), init: None, hash: "cd".repeat(32), model_hash: None }];
        let (prompt, size) = ("a <peach>", (64, 96));
        let label = Label { prompt, config: &config, seed: Some(7), size, model: &model, words: &words };
        let text = label.text();
        let expected = "a <peach>\nNegative prompt: blur\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, \
                        Seed: 7, Size: 64x96, Model hash: ababababab, Model: mini, TI hashes: \"<peach>: cdcdcdcdcdcd\", \
                        Version: pseudoword 0.1.0";
        assert_eq!(text[0], ("parameters".to_owned(), expected.to_owned()));
        let get = |key: &str| text.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        assert_eq!(get("sampler"), Some("dpmpp2m karras"));
        assert_eq!(get("embeddings"), Some(format!("<peach> {}", "cd".repeat(32)).as_str()));
    }
}
