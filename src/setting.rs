//! What a user can set, by name, and how sentences name it.
//!
//! The engine does not know what a setting is called where it is set: on the command line it is `--batch-size`, on the
//! page it is "Batch size". So its sentences name settings by their keys between backticks (with an invisible mark after the
//! first, since a path may have backticks too), which [`Setting`] prints and a reader of the library understands as they
//! are; a front end puts its own words for them where its output leaves, with [`worded`] or [`Error::worded`](crate::Error::worded). That keeps errors and events plain strings and
//! plain data.

use std::fmt;

/// How a front end calls a setting; none if it cannot be set there.
pub type Wording<'a> = &'a dyn Fn(Setting) -> Option<String>;

macro_rules! settings {
    ($($name:ident = $key:literal,)*) => {
        /// A setting that sentences of the engine can name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Setting {
            $(#[doc = concat!("`", $key, "`")] $name,)*
        }

        impl Setting {
            /// Every setting.
            pub const ALL: &[Setting] = &[$(Setting::$name,)*];

            /// Its name in settings files.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Setting::$name => $key,)*
                }
            }
        }
    };
}

settings! {
    // Of learning: crate::config::TrainConfig.
    Token = "token",
    Init = "init",
    Vectors = "vectors",
    Kind = "kind",
    SecondToken = "second-token",
    SecondInit = "second-init",
    SecondVectors = "second-vectors",
    SecondKind = "second-kind",
    Steps = "steps",
    Recipe = "recipe",
    Lr = "lr",
    RelativeLr = "relative-lr",
    LrSchedule = "lr-schedule",
    Warmup = "warmup",
    BatchSize = "batch-size",
    GradientAccumulation = "gradient-accumulation",
    Beta1 = "beta1",
    Beta2 = "beta2",
    Eps = "eps",
    WeightDecay = "weight-decay",
    Kappa = "kappa",
    SnrGamma = "snr-gamma",
    Timesteps = "timesteps",
    TimestepDistribution = "timestep-distribution",
    HoldNorm = "hold-norm",
    ContextWeight = "context-weight",
    Seed = "seed",
    Pooling = "pooling",
    OnDivergence = "on-divergence",
    Checkpointing = "checkpointing",
    Framing = "framing",
    Resolution = "resolution",
    NoFlip = "no-flip",
    CaptionDropout = "caption-dropout",
    Alone = "alone",
    Masks = "masks",
    Backgrounds = "backgrounds",
    Outside = "outside",
    EvalEvery = "eval-every",
    EvalSize = "eval-size",
    EarlyStop = "early-stop",
    EarlyStopWindow = "early-stop-window",
    EarlyStopThreshold = "early-stop-threshold",
    PreviewEvery = "preview-every",
    PreviewSteps = "preview-steps",
    PreviewPrompt = "preview-prompt",
    PromptSyntax = "prompt-syntax",
    SaveEvery = "save-every",
    Quality = "quality",
    Keep = "keep",
    // Of making pictures: crate::config::SampleConfig.
    NegativePrompt = "negative-prompt",
    ClipSkip = "clip-skip",
    EmptyNegative = "empty-negative",
    Guidance = "guidance",
    Sampler = "sampler",
    Karras = "karras",
    Count = "count",
    Width = "width",
    Height = "height",
    // Of both: what is given to work with, and where.
    Device = "device",
    Precision = "precision",
    Model = "model",
    Base = "base",
    PredictionType = "prediction-type",
    Weights = "weights",
    Offline = "offline",
    Embedding = "embedding",
    Replay = "replay",
    Out = "out",
    // Of `doctor`.
    Retune = "retune",
}

impl Setting {
    /// The setting with a key.
    pub fn of(key: &str) -> Option<Setting> {
        Setting::ALL.iter().copied().find(|setting| setting.key() == key)
    }

    /// What people call it where it cannot be set.
    fn plain(self) -> String {
        match self {
            Setting::Lr => "learning rate".to_owned(),
            Setting::LrSchedule => "learning rate schedule".to_owned(),
            Setting::Base => "a base".to_owned(),
            setting => setting.key().replace('-', " "),
        }
    }
}

/// As sentences of the engine name it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{}`", self.key())
    }
}

/// How the name of a setting begins in a sentence: a backtick and an invisible word joiner. The sentence also quotes paths and
/// tokens, where a backtick may stand before anything, but not the two together.
const MARK: &str = "`\u{2060}";

/// The name of a setting in a sentence that is a constant, as [`Setting`] prints it; a key that is not here does not compile.
macro_rules! named {
    (device) => {
        "`\u{2060}device`"
    };
    (embedding) => {
        "`\u{2060}embedding`"
    };
    (model) => {
        "`\u{2060}model`"
    };
}
pub(crate) use named;

/// A sentence of the engine with its settings named as a front end names them. One that cannot be set there keeps its
/// plain name, without the backticks.
pub fn worded(sentence: &str, wording: Wording<'_>) -> String {
    let mut worded = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once(MARK) {
        worded.push_str(before);
        let named = after.split_once('`').and_then(|(key, after)| Some((Setting::of(key)?, after)));
        if let Some((setting, after)) = named {
            worded.push_str(&wording(setting).unwrap_or_else(|| setting.plain()));
            rest = after;
        } else {
            worded.push_str(MARK);
            rest = after;
        }
    }
    worded + rest
}

/// Something that can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// A smaller value than now.
    Smaller(Setting),
    /// This value.
    Set(Setting, &'static str),
    /// What no setting can do.
    CloseOtherPrograms,
}

impl Advice {
    /// What it is that would have to be set.
    pub fn setting(self) -> Option<Setting> {
        match self {
            Advice::Smaller(setting) | Advice::Set(setting, _) => Some(setting),
            Advice::CloseOtherPrograms => None,
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Advice::Smaller(setting) => write!(f, "a smaller {setting}"),
            Advice::Set(setting, value) => write!(f, "{setting} {value}"),
            Advice::CloseOtherPrograms => f.write_str("closing other programs"),
        }
    }
}

/// Advice as the end of a sentence; with a wording, only what can be followed there.
pub fn advised(advice: &[Advice], wording: Option<Wording<'_>>) -> String {
    let can = |advice: &&Advice| match (advice.setting(), wording) {
        (Some(setting), Some(wording)) => wording(setting).is_some(),
        _ => true,
    };
    let advice: Vec<String> = advice.iter().filter(can).map(ToString::to_string).collect();
    let advice = format!("try {}", advice.join(", or "));
    match wording {
        Some(wording) => worded(&advice, wording),
        None => advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    use crate::config::{SampleConfig, TrainConfig};

    fn page(setting: Setting) -> Option<String> {
        (setting == Setting::BatchSize).then(|| "\u{201c}Batch size\u{201d}".to_owned())
    }

    #[test]
    fn every_field_of_the_configurations_is_a_setting() {
        for config in [serde_json::to_value(TrainConfig::default()), serde_json::to_value(SampleConfig::default())] {
            for key in config.unwrap().as_object().unwrap().keys() {
                assert!(Setting::of(key).is_some(), "{key}");
            }
        }
    }

    /// The Rust files below a folder.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Whether a line of code has an option of the command line in it: `--` and a letter.
    fn has_option(line: &str) -> bool {
        let code = !line.trim_start().starts_with("//");
        code && line.match_indices("--").any(|(at, _)| line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase()))
    }

    #[test]
    fn the_engine_names_no_option_of_the_command_line() {
        assert!(has_option("\"give --batch-size 1\"") && !has_option("// --batch-size") && !has_option("\"a -- b\""));
        // This file, which has the wordings of tests; and a name that is in the states of runs.
        let excepted = |path: &Path, line: &str| path.ends_with("setting.rs") || line.contains("const REPLAY: &str");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&source, &mut files);
        files.retain(|path| !path.starts_with(source.join("cli")));
        assert!(files.len() > 100, "{}", files.len());
        for path in files {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                assert!(!has_option(line) || excepted(&path, line), "{}: {line}", path.display());
            }
        }
        for page in
            [include_str!("../index.html"), include_str!("../www/text/en.js"), include_str!("../www/text/de.js")]
        {
            assert!(!page.lines().any(has_option));
        }
    }

    /// Whether a line of code has the key of a setting in plain backticks, which no front end would word.
    fn has_plain_key(line: &str) -> bool {
        let code = !line.trim_start().starts_with("//");
        code && line.split('`').skip(1).step_by(2).any(|quoted| Setting::of(quoted).is_some())
    }

    #[test]
    fn the_engine_names_settings_by_their_marked_names_only() {
        assert!(has_plain_key("\"with `base`\"") && !has_plain_key("// `base`") && !has_plain_key("\"no `latents`\""));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&source, &mut files);
        files.retain(|path| !path.ends_with("setting.rs"));
        assert!(files.len() > 100, "{}", files.len());
        for path in files {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                assert!(!has_plain_key(line), "{}: {line}", path.display());
            }
        }
    }

    /// The page words sentences by its labels: two for one setting must be the same.
    #[test]
    fn what_the_page_labels_is_a_setting_with_one_label() {
        let page = include_str!("../index.html");
        for texts in [include_str!("../www/text/en.js"), include_str!("../www/text/de.js")] {
            let mut labels = std::collections::BTreeMap::new();
            for part in page.split("data-setting=\"").skip(1) {
                let (key, rest) = part.split_once('"').unwrap();
                // `data-t="learn.steps"`: in the object of the room, the text of that name.
                let (room, name) = rest.split('"').nth(1).unwrap().split_once('.').unwrap();
                let room = texts.split_once(&format!("\n  {room}: {{")).unwrap().1;
                let label = room.split_once(&format!("\n    {name}: \"")).unwrap().1.split('"').next().unwrap();
                assert!(Setting::of(key).is_some() && !label.is_empty(), "{key}: {label:?}");
                assert_eq!(*labels.entry(key).or_insert(label), label, "{key}");
            }
            assert!(labels.len() > 10, "{labels:?}");
        }
    }

    /// The engine's defaults are the page's: it asks for them.
    #[test]
    fn the_page_has_no_defaults_of_its_own() {
        let page = include_str!("../index.html");
        let inputs: Vec<&str> = page.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
        let numbers = inputs.iter().filter(|input| input.contains("type=\"number\""));
        assert!(numbers.clone().count() > 8 && numbers.clone().all(|input| !input.contains("value=")), "{inputs:?}");
        // How a model is fetched is not a setting of the program, nor how many pictures are made at once.
        let checked = inputs.iter().filter(|input| input.ends_with(" checked"));
        let own = |input: &&&str| input.contains("id=\"half\"") || input.contains("name=\"count\" value=\"1\"");
        assert_eq!(checked.clone().count(), 2, "{inputs:?}");
        assert!(checked.clone().all(|input| own(&input)), "{inputs:?}");
    }

    #[test]
    fn a_front_end_names_settings_in_its_own_words_and_nothing_else() {
        let sentence = format!("{} 0: see `parameters`, {}", Setting::BatchSize, Setting::LrSchedule);
        assert_eq!(sentence, "`\u{2060}batch-size` 0: see `parameters`, `\u{2060}lr-schedule`");
        assert_eq!(worded(&sentence, &page), "\u{201c}Batch size\u{201d} 0: see `parameters`, learning rate schedule");
        let flags = |setting: Setting| Some(format!("--{}", setting.key()));
        assert_eq!(worded(&format!("one ` and {}", Setting::Lr), &flags), "one ` and --lr");
    }

    #[test]
    fn what_a_user_wrote_is_never_taken_for_the_name_of_a_setting() {
        let flags = |setting: Setting| Some(format!("--{}", setting.key()));
        for quoted in ["`model`.pt", "`lr`", "r-`steps`/state", "`", "``out`"] {
            let sentence = format!("{quoted}: give another {}, not {quoted}", Setting::Out);
            assert_eq!(worded(&sentence, &flags), format!("{quoted}: give another --out, not {quoted}"));
        }
    }

    #[test]
    fn constants_name_settings_as_they_name_themselves() {
        let constants = [named!(device), named!(embedding), named!(model)];
        assert_eq!(
            constants.map(str::to_owned),
            [Setting::Device, Setting::Embedding, Setting::Model].map(|s| s.to_string())
        );
    }

    #[test]
    fn advice_that_cannot_be_followed_is_not_given() {
        let advice = [Advice::Smaller(Setting::BatchSize), Advice::Set(Setting::Checkpointing, "on")];
        assert_eq!(advised(&advice, None), "try a smaller `\u{2060}batch-size`, or `\u{2060}checkpointing` on");
        assert_eq!(advised(&advice, Some(&page)), "try a smaller \u{201c}Batch size\u{201d}");
    }
}
