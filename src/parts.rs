//! The parts of a Stable Diffusion model: what they are called, and in which files of a diffusers folder they are.
//!
//! Everything that opens, lists, downloads or describes a model asks here, so a new part is one more variant and one more
//! entry in each of these tables; which parts a model has is its [`Architecture`].

mod weight_sets;

use serde::{Deserialize, Serialize};

pub use weight_sets::{WeightSet, WeightSets};

/// A part of a Stable Diffusion model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The noise schedule.
    Scheduler,
    /// The CLIP tokenizer.
    Tokenizer,
    /// The second text encoder's tokenizer.
    #[serde(rename = "tokenizer-2")]
    Tokenizer2,
    /// The CLIP text encoder.
    TextEncoder,
    /// The second text encoder.
    #[serde(rename = "text-encoder-2")]
    TextEncoder2,
    /// The U-Net.
    Unet,
    /// The autoencoder.
    Vae,
}

/// Which parts a model is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Stable Diffusion 1.x and 2.x: one text encoder.
    Sd,
    /// SDXL and what was made of it: two text encoders, whose hidden states stand side by side.
    Sdxl,
}

impl Architecture {
    /// That of a folder, by the files that are there.
    pub fn of(is_there: impl Fn(&str) -> bool) -> Self {
        if is_there(Part::TextEncoder2.config()) { Architecture::Sdxl } else { Architecture::Sd }
    }

    /// All parts of such a model.
    pub fn parts(self) -> &'static [Part] {
        match self {
            Architecture::Sd => &[Part::Scheduler, Part::Tokenizer, Part::TextEncoder, Part::Unet, Part::Vae],
            Architecture::Sdxl => &Part::ALL,
        }
    }

    /// The parts that have weights, in the order in which they are loaded.
    pub fn with_weights(self) -> impl Iterator<Item = Part> {
        self.parts().iter().copied().filter(|part| part.stem().is_some())
    }

    /// The text encoders, each with its tokenizer.
    pub fn text_encoders(self) -> &'static [(Part, Part)] {
        const BOTH: [(Part, Part); 2] = [(Part::TextEncoder, Part::Tokenizer), (Part::TextEncoder2, Part::Tokenizer2)];
        match self {
            Architecture::Sd => &BOTH[..1],
            Architecture::Sdxl => &BOTH,
        }
    }
}

/// The precision of a file's weights, according to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// `*.safetensors`: as the model was trained.
    #[default]
    Full,
    /// `*.fp16.safetensors`: half the download, and nearly the same pictures.
    Half,
}

impl Precision {
    /// Both, the one that is preferred on a disk first.
    pub const ALL: [Precision; 2] = [Precision::Full, Precision::Half];

    /// The one that is second choice where this one is the first.
    pub fn other(self) -> Self {
        match self {
            Precision::Full => Precision::Half,
            Precision::Half => Precision::Full,
        }
    }

    /// What a file's name has before its ending.
    pub fn suffix(self) -> &'static str {
        match self {
            Precision::Full => "",
            Precision::Half => ".fp16",
        }
    }

    /// What the name of a file with weights says.
    pub fn of(path: &str) -> Self {
        let half = Precision::Half.suffix();
        let name = path.rsplit('/').next().unwrap_or(path);
        let says_half = name.contains(&format!("{half}.")) || name.contains(&format!("{half}-"));
        if says_half { Precision::Half } else { Precision::Full }
    }
}

/// The paths at which the weights of a part can be, in one precision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightPaths {
    /// The weights in one file.
    pub whole: String,
    /// The index of several files; diffusers has had both spellings.
    pub indices: [String; 2],
    /// What the paths of several files begin with, before `00001-of-00002.safetensors`.
    pub shard: String,
}

/// A file with weights that is not here yet, as far as its name and its length tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLength {
    /// What it is a part of.
    pub part: Part,
    /// Its length.
    pub bytes: u64,
    /// What its name says; a file that says nothing may be in half precision all the same.
    pub precision: Precision,
}

impl Part {
    /// All parts that a model can have.
    pub const ALL: [Part; 7] = [
        Part::Scheduler,
        Part::Tokenizer,
        Part::Tokenizer2,
        Part::TextEncoder,
        Part::TextEncoder2,
        Part::Unet,
        Part::Vae,
    ];
    /// The file that says which classes a diffusers folder is made of; it need not be there.
    pub const MODEL_INDEX: &str = "model_index.json";

    /// What people call it.
    pub fn label(self) -> &'static str {
        match self {
            Part::Scheduler => "noise schedule",
            Part::Tokenizer => "tokenizer",
            Part::Tokenizer2 => "second tokenizer",
            Part::TextEncoder => "text encoder",
            Part::TextEncoder2 => "second text encoder",
            Part::Unet => "U-Net",
            Part::Vae => "autoencoder",
        }
    }

    /// Its folder, which is also its name for programs.
    pub fn folder(self) -> &'static str {
        match self {
            Part::Scheduler => "scheduler",
            Part::Tokenizer => "tokenizer",
            Part::Tokenizer2 => "tokenizer_2",
            Part::TextEncoder => "text_encoder",
            Part::TextEncoder2 => "text_encoder_2",
            Part::Unet => "unet",
            Part::Vae => "vae",
        }
    }

    /// The part that a file belongs to, by the folder that it is in.
    pub fn of(path: &str) -> Option<Self> {
        let folder = path.rsplit('/').nth(1)?;
        Part::ALL.into_iter().find(|part| part.folder() == folder)
    }

    /// The file that says how it is made.
    pub fn config(self) -> &'static str {
        self.needed()[0][0]
    }

    /// The small files without which it cannot be used: all of one of these sets, of which the first that is there
    /// counts.
    pub fn needed(self) -> &'static [&'static [&'static str]] {
        match self {
            Part::Scheduler => &[&["scheduler/scheduler_config.json"]],
            Part::Tokenizer => &[&["tokenizer/tokenizer.json"], &["tokenizer/vocab.json", "tokenizer/merges.txt"]],
            Part::Tokenizer2 => {
                &[&["tokenizer_2/tokenizer.json"], &["tokenizer_2/vocab.json", "tokenizer_2/merges.txt"]]
            }
            Part::TextEncoder => &[&["text_encoder/config.json"]],
            Part::TextEncoder2 => &[&["text_encoder_2/config.json"]],
            Part::Unet => &[&["unet/config.json"]],
            Part::Vae => &[&["vae/config.json"]],
        }
    }

    /// The first set of its small files that are all there; none if none is.
    pub fn found(self, is_there: impl Fn(&str) -> bool) -> Option<&'static [&'static str]> {
        self.needed().iter().copied().find(|set| set.iter().all(|path| is_there(path)))
    }

    /// The small files without which it cannot be used, as a message lists them.
    pub fn expected(self) -> String {
        self.needed().iter().map(|set| set.join(" and ")).collect::<Vec<_>>().join(", or ")
    }

    /// The small files that are read where they exist.
    pub fn useful(self) -> &'static [&'static str] {
        match self {
            Part::Tokenizer => {
                &["tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json", "tokenizer/added_tokens.json"]
            }
            Part::Tokenizer2 => &[
                "tokenizer_2/special_tokens_map.json",
                "tokenizer_2/tokenizer_config.json",
                "tokenizer_2/added_tokens.json",
            ],
            Part::Scheduler | Part::TextEncoder | Part::TextEncoder2 | Part::Unet | Part::Vae => &[],
        }
    }

    /// All small files that it may have.
    pub fn small(self) -> impl Iterator<Item = &'static str> {
        self.needed().iter().copied().flatten().chain(self.useful()).copied()
    }

    /// What diffusers and transformers call its weights; none if it has no weights.
    fn stem(self) -> Option<&'static str> {
        match self {
            Part::Scheduler | Part::Tokenizer | Part::Tokenizer2 => None,
            Part::TextEncoder | Part::TextEncoder2 => Some("model"),
            Part::Unet | Part::Vae => Some("diffusion_pytorch_model"),
        }
    }

    /// Where its weights can be; none if it has no weights.
    pub fn weights(self, precision: Precision) -> Option<WeightPaths> {
        let (folder, stem, suffix) = (self.folder(), self.stem()?, precision.suffix());
        Some(WeightPaths {
            whole: format!("{folder}/{stem}{suffix}.safetensors"),
            indices: [
                format!("{folder}/{stem}.safetensors.index{suffix}.json"),
                format!("{folder}/{stem}{suffix}.safetensors.index.json"),
            ],
            shard: format!("{folder}/{stem}{suffix}-"),
        })
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_in_the_folder_of_its_part() {
        for part in Part::ALL {
            let weights = Precision::ALL.into_iter().filter_map(|precision| part.weights(precision));
            let weights = weights.flat_map(|paths| [&[paths.whole, paths.shard][..], &paths.indices].concat());
            let small = part.small().map(str::to_owned);
            for path in small.chain(weights) {
                assert_eq!(Part::of(&path), Some(part), "{path}");
            }
        }
        assert_eq!((Part::of("README.md"), Part::of("safety_checker/config.json")), (None, None));
    }

    #[test]
    fn an_architecture_is_told_by_its_files() {
        for architecture in [Architecture::Sd, Architecture::Sdxl] {
            let files: Vec<&str> = architecture.parts().iter().map(|part| part.config()).collect();
            assert_eq!(Architecture::of(|path| files.contains(&path)), architecture);
            assert!(architecture.text_encoders().iter().all(|(encoder, tokenizer)| {
                architecture.with_weights().any(|part| part == *encoder) && architecture.parts().contains(tokenizer)
            }));
        }
    }

    #[test]
    fn a_name_says_its_precision() {
        for precision in Precision::ALL {
            let paths = Part::Unet.weights(precision).unwrap();
            assert_eq!(Precision::of(&paths.whole), precision);
            assert_eq!(Precision::of(&format!("{}00001-of-00002.safetensors", paths.shard)), precision);
        }
    }

    #[cfg(feature = "native")]
    #[test]
    fn the_model_in_the_program_is_complete() {
        let mini = crate::mini::source();
        let length = |path: &str| pollster::block_on(crate::source::Source::length(&mini, path)).unwrap();
        for &part in Architecture::Sd.parts() {
            assert!(part.found(|path| length(path).is_some()).is_some(), "{part}");
        }
    }
}
