//! Errors for front ends that have sentences of their own: each situation by a code, with what the sentence is about.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{Error, each};
use crate::base::bytes::size;
use crate::embedding::Embedding;
use crate::setting::{Wording, worded};
use crate::source::Problem;

/// What an error is, for who says it otherwise than [`Error::worded`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which situation it is. Stable, so that it can be relied on.
    pub code: &'static str,
    /// What it is about, by name: plain values, and reasons in English.
    pub parts: BTreeMap<&'static str, String>,
}

fn told<const N: usize>(code: &'static str, parts: [(&'static str, &dyn Display); N]) -> Option<Told> {
    Some(Told { code, parts: parts.into_iter().map(|(name, value)| (name, value.to_string())).collect() })
}

impl Error {
    /// What this is, for a front end with sentences of its own; settings in the parts are named as it names them. None for
    /// what is said in one way only: what has a sentence of its own every time, and what happens on no page.
    pub fn told(&self, wording: Wording<'_>) -> Option<Told> {
        let mut told = self.coded()?;
        for part in told.parts.values_mut() {
            *part = worded(part, wording);
        }
        Some(told)
    }

    fn coded(&self) -> Option<Told> {
        match self {
            Error::OutOfRange { setting, given, rule } => {
                told("out-of-range", [("setting", setting), ("given", given), ("rule", rule)])
            }
            Error::BadPicture { file, reason } => told("bad-picture", [("file", file), ("reason", reason)]),
            Error::TokenTaken { token, suggestion, .. } => {
                told("token-taken", [("token", token), ("suggestion", suggestion)])
            }
            Error::BadToken { token, reason, suggestion, .. } => {
                told("bad-token", [("token", token), ("reason", reason), ("suggestion", suggestion)])
            }
            Error::ModelPartMissing { model, part, .. } => {
                told("model-part-missing", [("model", model), ("part", part)])
            }
            Error::BadConfig { file, .. } => told("bad-config", [("file", file)]),
            Error::BadWeights { file, .. } => told("bad-weights", [("file", file)]),
            Error::WeightsNotFinite { file, .. } => told("weights-not-finite", [("file", file)]),
            Error::BadFile { file, reason } => told("bad-file", [("file", file), ("reason", reason)]),
            Error::Source(problem) => problem.coded(),
            Error::WrongWidth { file, widths, expected } => told(
                "wrong-width",
                [
                    ("file", file),
                    ("family", &Embedding::family(widths)),
                    ("widths", &each(widths)),
                    ("model", &Embedding::family(expected)),
                    ("expected", &each(expected)),
                ],
            ),
            Error::Changed { step, .. } => told("changed", [("step", step)]),
            Error::NotFinite { .. } => told("not-finite", []),
            Error::Numeric { step, .. } => told("numeric", [("step", step)]),
            Error::NoGpu { .. } => told("no-gpu", []),
            Error::Gpu { .. } => told("gpu", []),
            Error::TooLittleMemory { need, .. } => told("too-little-memory", [("need", need)]),
            Error::GpuLost { .. } => told("gpu-lost", []),
            Error::GpuMemory { .. } => told("gpu-memory", []),
            Error::Internal(_) => told("internal", []),
            // The page gives a start as many vectors as it takes.
            Error::Usage(_)
            | Error::BadList { .. }
            | Error::SomeFailed { .. }
            | Error::InitializerTooLong { .. }
            | Error::NoPictures { .. }
            | Error::Read { .. }
            | Error::Write { .. }
            | Error::NotKept { .. }
            | Error::Held { .. }
            | Error::Interrupted { .. } => None,
        }
    }
}

impl Problem {
    fn coded(&self) -> Option<Told> {
        match self {
            Problem::BadAddress { typed, .. } => told("bad-address", [("typed", typed)]),
            Problem::NoSuchFile { typed, .. } => told("no-such-file", [("typed", typed)]),
            Problem::Unreachable { host, .. } => told("unreachable", [("host", host)]),
            Problem::Denied { what, .. } => told("denied", [("what", what)]),
            Problem::NotFound { what, reason } => told("not-found", [("what", what), ("reason", reason)]),
            Problem::Busy { host, .. } => told("busy", [("host", host)]),
            Problem::Cut { .. } => told("cut", []),
            Problem::WrongLength { file, .. } | Problem::WrongHash { file, .. } => {
                told("wrong-bytes", [("file", file)])
            }
            Problem::TooLong { file, limit } => told("too-long", [("file", file), ("limit", &size(*limit))]),
            Problem::NotTheFile { file, .. } => told("not-the-file", [("file", file)]),
            Problem::BadAnswer { .. } => told("bad-answer", []),
            Problem::Unfit { repo, reason } => told("unfit", [("repo", repo), ("reason", reason)]),
            Problem::Storage { reason, full: true } => told("storage-full", [("reason", reason)]),
            Problem::Storage { reason, full: false } => told("storage", [("reason", reason)]),
            Problem::OtherTab { model } => told("other-tab", [("model", model)]),
            Problem::BadSetting { .. }
            | Problem::Offline { .. }
            | Problem::Insecure { .. }
            | Problem::Redirected { .. }
            | Problem::NoSpace { .. }
            | Problem::Read { .. }
            | Problem::Write { .. }
            | Problem::Interrupted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Setting;

    #[test]
    fn an_error_is_told_by_its_code_and_parts_in_a_front_ends_words() {
        let page = |setting: Setting| Some(format!("\u{201c}{}\u{201d}", setting.key().to_uppercase()));
        let refused =
            Error::OutOfRange { setting: Setting::Steps, given: "0".to_owned(), rule: "at least 1".to_owned() };
        let told = refused.told(&page).unwrap();
        assert_eq!((told.code, told.parts["setting"].as_str()), ("out-of-range", "\u{201c}STEPS\u{201d}"));
        let word = Error::WrongWidth { file: "a".to_owned(), widths: vec![768, 1280], expected: vec![768] };
        let parts = word.told(&page).unwrap().parts;
        assert_eq!([&parts["family"], &parts["widths"]], ["SDXL", "768 and 1280"]);
        assert_eq!([&parts["model"], &parts["expected"]], ["Stable Diffusion 1.x", "768"]);
        assert_eq!(Error::Usage("that is one way".to_owned()).told(&page), None);
    }
}
