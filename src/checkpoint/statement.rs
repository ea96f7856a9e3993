//! What a single file says about itself: by marks among its weights, in its metadata, and in files beside it.
//!
//! A mark was put there for this very file; metadata is often copied from a model that it was made from; a file beside it may
//! be another version's. So they count in this order, and what disagrees, what is not known here and what cannot be read
//! is reported.

use super::recognise::Family;
use crate::parts::Architecture;
use crate::schedule::PredictionType;
use crate::setting::Setting;
use crate::source::Source;
use crate::weights::Header;

/// What is said, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said<T> {
    /// What.
    pub what: T,
    /// By what, as the beginning of a sentence: `its metadata (modelspec.prediction_type)`.
    pub by: String,
}

/// All that a file says about itself that matters here.
#[derive(Debug, Default)]
pub(super) struct Statements {
    /// What the U-Net predicts, what counts most first.
    pub prediction: Vec<Said<PredictionType>>,
    /// The side in pixels that it was trained on.
    pub side: Option<Said<u64>>,
    /// What says that it was trained to zero terminal SNR.
    pub zero_snr: Option<String>,
    /// What is said and cannot be done, in sentences.
    pub notes: Vec<String>,
}

/// Empty tensors with which trainers mark a model of velocity, and one of zero terminal SNR.
const V_MARK: &str = "v_pred";
const ZERO_SNR_MARK: &str = "ztsnr";

/// Whether a tensor is such a mark.
pub(super) fn is_mark(name: &str) -> bool {
    matches!(name, V_MARK | ZERO_SNR_MARK)
}

impl Statements {
    /// Those of a file and of what lies beside it. What cannot be read there is no error: it is among the notes.
    pub async fn read(file: &dyn Source, path: &str, header: &Header, family: Family) -> Self {
        let mut all = Self::default();
        if header.get(V_MARK).is_some() {
            all.say(PredictionType::VPrediction, format!("a mark among its weights ({V_MARK})"));
        }
        if header.get(ZERO_SNR_MARK).is_some() {
            all.zero_snr = Some(format!("a mark among its weights ({ZERO_SNR_MARK})"));
        }
        all.of_metadata(header, family);
        for path in found_beside(file, path).await {
            match text_of(file, &path).await {
                Ok(Some(text)) => all.of_text(&text, last(&path), family),
                Ok(None) => {}
                Err(why) => {
                    all.notes.push(format!("{} beside it {why}: what it says has no effect", last(&path)));
                }
            }
        }
        for vae in vaes_beside(path) {
            if matches!(file.length(&vae).await, Ok(Some(_))) {
                let vae = last(&vae);
                all.notes.push(format!(
                    "{vae} lies beside it and is not used: the autoencoder is the one inside the model's file"
                ));
            }
        }
        all.note_disagreement();
        all
    }

    /// What a file beside it says.
    fn of_text(&mut self, text: &str, file: &str, family: Family) {
        let by = |key: &str| format!("{file} beside it ({key})");
        for key in ["parameterization", "prediction_type"] {
            if let Some(word) = value(text, key) {
                self.say_word(&word, by(key));
            }
        }
        for key in ["zero_terminal_snr", "rescale_betas_zero_snr", "zsnr", ZERO_SNR_MARK] {
            if value(text, key).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
                self.zero_snr.get_or_insert(by(key));
            }
        }
        self.notes.extend(other_numbers(text, file, family));
    }

    /// What is predicted, in somebody's word for it.
    fn say_word(&mut self, word: &str, by: String) {
        match prediction(word) {
            Some(prediction) => self.say(prediction, by),
            None if matches!(word.trim(), "" | "~" | "null" | "None") => {}
            None => {
                let word = crate::embedding::shown(word);
                self.notes
                    .push(format!("{by} says that it predicts {word}, which is not known here and has no effect"));
            }
        }
    }

    fn say(&mut self, what: PredictionType, by: String) {
        self.prediction.push(Said { what, by });
    }

    /// What the model specification of Stability AI, which kohya's trainers write, has for it.
    fn of_metadata(&mut self, header: &Header, family: Family) {
        let get = |key: &str| header.metadata().get(key).map(String::as_str);
        if let Some(word) = get("modelspec.prediction_type") {
            self.say_word(word, "its metadata (modelspec.prediction_type)".to_owned());
        }
        if get("ss_zero_terminal_snr").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            self.zero_snr.get_or_insert("its metadata (ss_zero_terminal_snr)".to_owned());
        }
        // With a slash it is about a file that changes a model: then it was copied.
        let architecture = get("modelspec.architecture").filter(|name| !name.contains('/'));
        let by = "its metadata (modelspec.architecture)".to_owned();
        match architecture {
            Some("stable-diffusion-v2-768-v") => self.say(PredictionType::VPrediction, by),
            Some("stable-diffusion-v2-512") => self.say(PredictionType::Epsilon, by),
            _ => {}
        }
        let other = match family {
            Family::Sd1 => architecture.filter(|name| !name.starts_with("stable-diffusion-v1")),
            Family::Sd2 => architecture.filter(|name| !name.starts_with("stable-diffusion-v2")),
            Family::Sdxl => architecture.filter(|name| !name.starts_with("stable-diffusion-xl")),
            Family::Other(_) => None,
        };
        if let Some(other) = other {
            let (shown, is) = (crate::embedding::shown(other), family.label());
            self.notes
                .push(format!("its metadata calls it {shown}, but by its weights it is {is}, and is used as such"));
        }
        let side = get("modelspec.resolution").and_then(side);
        self.side = side.map(|what| Said { what, by: "its metadata (modelspec.resolution)".to_owned() });
    }

    /// Reports what counts less and says something else.
    fn note_disagreement(&mut self) {
        let Some(first) = self.prediction.first() else { return };
        let Some(other) = self.prediction.iter().find(|said| said.what != first.what) else { return };
        self.notes.push(format!(
            "{} says that it predicts {}, {} that it predicts {}: the first counts",
            first.by,
            first.what.label(),
            other.by,
            other.what.label()
        ));
    }
}

/// Files beside a model in which programs describe it: those of the original code, and settings.
pub fn beside(path: &str) -> [String; 3] {
    let stem = stem(path);
    ["yaml", "yml", "json"].map(|ending| format!("{stem}.{ending}"))
}

/// Autoencoders that other programs would take instead of the model's own.
fn vaes_beside(path: &str) -> [String; 3] {
    let stem = stem(path);
    ["safetensors", "pt", "ckpt"].map(|ending| format!("{stem}.vae.{ending}"))
}

/// As [`beside`], with their endings in the letters, small or large, that they have.
async fn found_beside(file: &dyn Source, path: &str) -> [String; 3] {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    // Where nothing can be listed, the usual names are asked for.
    let names = file.names(folder).await.unwrap_or_default();
    beside(path).map(|usual| {
        let wanted = last(&usual);
        let same = |name: &&String| stem(name) == stem(wanted) && name.eq_ignore_ascii_case(wanted);
        match names.iter().find(same) {
            Some(name) if !names.iter().any(|name| name == wanted) => {
                if folder.is_empty() {
                    name.clone()
                } else {
                    format!("{folder}/{name}")
                }
            }
            _ => usual,
        }
    })
}

/// The text of a file; none if there is no such file.
///
/// # Errors
/// Why it cannot be read, as the end of a sentence.
async fn text_of(file: &dyn Source, path: &str) -> Result<Option<String>, String> {
    const LONGEST: u64 = 1 << 20;
    let unreadable = |error: crate::Error| format!("cannot be read ({error})");
    let Some(length) = file.length(path).await.map_err(unreadable)? else { return Ok(None) };
    if length > LONGEST {
        return Err("is too long for a description".to_owned());
    }
    let bytes = file.read(path, 0..length).await.map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    Ok(Some(text.trim_start_matches('\u{feff}').to_owned()))
}

fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The sentence about a model that something says was trained to zero terminal SNR, and that predicts noise.
pub(super) fn zero_snr_of_noise(by: &str) -> String {
    format!(
        "{by} says that it was trained to zero terminal SNR, which goes only with a model that predicts the velocity, and it \
         predicts the noise: it is used with the usual noise schedule; if it does predict the velocity, say so with {}",
        Setting::PredictionType
    )
}

fn prediction(word: &str) -> Option<PredictionType> {
    match word.trim().to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "eps" | "epsilon" => Some(PredictionType::Epsilon),
        "v" | "vpred" | "v_pred" | "v_prediction" | "velocity" => Some(PredictionType::VPrediction),
        _ => None,
    }
}

/// `768x768` or `768`; only squares that a model may have been trained on.
fn side(text: &str) -> Option<u64> {
    let (width, height) = text.split_once(['x', ',']).unwrap_or((text, text));
    let side = width.trim().parse::<u64>().ok().filter(|_| width.trim() == height.trim())?;
    (256..=2048).contains(&side).then_some(side).filter(|side| side.is_multiple_of(64))
}

/// Numbers of the original code's files that are not what is usual, which would be another computation.
fn other_numbers(text: &str, file: &str, family: Family) -> Option<String> {
    let scale = if family.architecture() == Architecture::Sdxl { 0.13025 } else { 0.18215 };
    let usual = [("linear_start", 0.00085), ("linear_end", 0.012), ("timesteps", 1000.0), ("scale_factor", scale)];
    let other = |(key, usual): &(&str, f64)| {
        let value = value(text, key)?;
        value.parse::<f64>().is_ok_and(|value| value != *usual).then(|| format!("{key} {value}"))
    };
    let others: Vec<String> = usual.iter().filter_map(other).collect();
    (!others.is_empty()).then(|| format!("{file} beside it has {}, which is not used", others.join(", ")))
}

/// The value of a key in YAML or JSON, wherever in it: enough for files in which each key of interest is there once.
fn value(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split(['{', ',', '}']))
        .find_map(|piece| {
            let (name, value) = piece.split_once(':')?;
            let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
            // In YAML what follows a space and a number sign is a comment.
            let value = value.split(" #").next().unwrap_or_default();
            (bare(name.trim_start_matches([' ', '-'])) == key).then(|| bare(value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_yaml_and_in_json() {
        let yaml = "model:\n  # parameterization: eps\n  params:\n    parameterization: \"v\"   # velocity\n    timesteps: 1000\n";
        let json = r#"{"model": {"params": {"parameterization": "v", "timesteps": 1000}}}"#;
        let flow = "model: {params: {parameterization: v, timesteps: 1000}}";
        for text in [yaml, json, flow] {
            assert_eq!(value(text, "parameterization").as_deref(), Some("v"), "{text}");
            assert_eq!(value(text, "timesteps").as_deref(), Some("1000"), "{text}");
            assert_eq!((value(text, "linear_start"), other_numbers(text, "m.yaml", Family::Sd1)), (None, None));
        }
        let text = "scale_factor: 0.13025\nlinear_end: 0.0120";
        let other = other_numbers(text, "m.yaml", Family::Sd1).expect("another");
        assert_eq!(other_numbers(text, "m.yaml", Family::Sdxl), None);
        assert!(other.contains("scale_factor 0.13025") && !other.contains("linear_end"), "{other}");
    }

    #[test]
    fn words_for_what_is_predicted_are_known_in_any_letters() {
        for word in ["V", "v", "vpred", "V_Pred", "v-prediction", "V prediction", "velocity"] {
            assert_eq!(prediction(word), Some(PredictionType::VPrediction), "{word}");
        }
        assert_eq!(["EPS", "Epsilon"].map(prediction), [Some(PredictionType::Epsilon); 2]);
        assert_eq!(["x0", "sample", "flow", ""].map(prediction), [None; 4]);
    }

    #[test]
    fn sides_are_squares_that_can_be() {
        assert_eq!(["768x768", "512", "512, 512", " 640x640"].map(side), [Some(768), Some(512), Some(512), Some(640)]);
        assert_eq!(["512x768", "700", "64", "a", ""].map(side), [None; 5]);
    }
}
