//! The end of loading a part: what was missing, and what was in its files and is not used.

use std::collections::BTreeSet;

use super::{Entry, Files, Location, Weights};
use crate::event::{Event, WarningCode};
use crate::parts::Part;
use crate::{Error, Result};

/// Beginnings of names that files of a part have and nothing here needs: each is in many published files.
const NOT_NEEDED: &[(Part, &[&str])] = &[
    (
        Part::TextEncoder,
        &["text_projection.", "logit_scale", "text_model.embeddings.position_ids", "embeddings.position_ids"],
    ),
    (Part::TextEncoder2, &["logit_scale", "text_model.embeddings.position_ids", "embeddings.position_ids"]),
];

/// Beginnings of names of weights without which a part computes something else, although no other of their kind is used.
const STRUCTURAL: &[&str] =
    &["add_embedding.", "class_embedding.", "encoder_hid_proj.", "quant_conv.", "post_quant_conv."];

/// What is added to weights by programs that change them, wherever it stands in a name.
const ADDED: &[&str] = &["lora_", ".lora.", ".lora_", "hada_w", "lokr_w", ".dora_scale", "motion_modules."];

/// A name that tells more than a list of weights that do not fit: part of it, and what it means.
const TELLING: &[(&str, &str)] = &[
    ("time_embedding.cond_proj.", "the U-Net takes the guidance as an input (LCM), which is not supported"),
    (
        ".base_layer.",
        "a LoRA's layers are wrapped around the model's own: merge them into it first (PEFT's merge_and_unload)",
    ),
    ("add_embedding.", "the weights are of an SDXL U-Net, the configuration is not (addition_embed_type)"),
];

impl Weights<'_> {
    /// Ends the loading of this part.
    ///
    /// # Errors
    /// [`Error::BadWeights`] with the first missing, mis-shaped and left-over weights; [`Error::WeightsNotFinite`] if nothing
    /// can be computed with some; [`Error::Gpu`] if some did not arrive.
    pub async fn finish(&self) -> Result<()> {
        self.finish_except(&[]).await
    }

    /// As [`Weights::finish`], ignoring weights whose names begin with one of `others`: another module takes those.
    pub async fn finish_except(&self, others: &[&str]) -> Result<()> {
        let mut problems = self.file.problems.take();
        let (unfit, extra) = self.file.left_over(others);
        let why = self.file.telling();
        problems.extend(unfit.iter().map(|name| format!("unused: {name}")));
        if !problems.is_empty() {
            return Err(Error::BadWeights {
                file: self.file.name(),
                problems: [why, first_of_each_kind(&problems)].concat(),
            });
        }
        if let Some(note) = not_used(&extra) {
            let text = format!("{}: {note}", self.file.name());
            (self.file.events.borrow_mut())(Event::warning(WarningCode::Weights, text));
        }
        let not_finite = self.file.not_finite.take();
        if !not_finite.is_empty() {
            let files: BTreeSet<&str> = not_finite.iter().map(|(file, _)| file.as_str()).collect();
            let file = files.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::WeightsNotFinite {
                file,
                weights: not_finite.into_iter().map(|(_, line)| line).collect(),
            });
        }
        self.file.arrival.check().await
    }
}

impl Files<'_> {
    /// What the files are called.
    fn name(&self) -> String {
        let files: BTreeSet<String> = self.shards.iter().map(|(path, _)| self.source.origin(path, "").0).collect();
        files.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// What names of weights that were not asked for tell.
    fn telling(&self) -> Vec<String> {
        let used = self.used.borrow();
        let told = |mark: &str| self.places.keys().any(|name| name.contains(mark) && !used.contains(name));
        TELLING.iter().filter(|(mark, _)| told(mark)).map(|(_, meaning)| (*meaning).to_owned()).collect()
    }

    /// Weights that were not asked for: those that are of the kind of weights that were, so that the configuration must
    /// be another model's, and those that something else put there.
    fn left_over(&self, others: &[&str]) -> (Vec<&str>, Vec<&str>) {
        let used = self.used.borrow();
        let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let roots: BTreeSet<String> = used.iter().map(|name| first(name)).collect();
        let begins = |name: &str, with: &[&str]| with.iter().any(|start| name.starts_with(start));
        let known = NOT_NEEDED.iter().filter(|(part, _)| *part == self.part);
        let known: Vec<&str> = known.flat_map(|(_, names)| names.iter().copied()).collect();
        let names = self.places.keys().map(String::as_str).filter(|name| !used.contains(*name));
        let ours = names.filter(|name| !begins(name, others) && !begins(name, &known));
        ours.partition(|name| {
            let added = ADDED.iter().any(|mark| name.contains(mark));
            !added && (roots.contains(&first(name)) || begins(name, STRUCTURAL))
        })
    }

    /// Notes that a weight has another shape than the one that is asked for.
    pub(super) fn note_misshapen(&self, shard: &str, weight: &Entry, expected: &[usize]) {
        let Entry { name, shape, .. } = weight;
        let own = self.source.origin(shard, name).1;
        let called = if own == *name { String::new() } else { format!("; in the file it is {own}") };
        let problem = format!("shape: {name} is {shape:?}, the configuration asks for {expected:?}{called}");
        self.problems.borrow_mut().push(problem);
    }

    /// Notes that so many values of a weight are not finite numbers.
    pub(super) fn note_broken(&self, path: &str, location: &Location<'_>, count: usize) {
        if count > 0 {
            let (file, name) = self.source.origin(location.shard, path);
            let values = (location.span.end - location.span.start) / location.value_bytes();
            self.not_finite.borrow_mut().push((file, format!("{name}: {count} of {values}")));
        }
    }
}

/// Of the weights that are missing, mis-shaped and unused the first few, and how many more there are.
fn first_of_each_kind(problems: &[String]) -> Vec<String> {
    const SHOWN: usize = 10;
    let mut lines = Vec::new();
    for kind in ["missing", "shape", "unused"] {
        let of_kind = || problems.iter().filter(|line| line.split(':').next() == Some(kind));
        lines.extend(of_kind().take(SHOWN).cloned());
        let more = of_kind().count().saturating_sub(SHOWN);
        lines.extend((more > 0).then(|| format!("{kind}: and {more} more")));
    }
    lines
}

/// The sentence about weights that are left out; none if there are none.
pub fn not_used<T: AsRef<str>>(names: &[T]) -> Option<String> {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(|name| crate::embedding::shown(name.as_ref()));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    match names.len() {
        0 => None,
        1 => Some(format!("1 weight is not part of the model and is not used: {shown}")),
        count => Some(format!("{count} weights are not part of the model and are not used: {shown}{more}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_weights_that_do_not_fit_is_short() {
        let missing = (0..5000).map(|number| format!("missing: a.{number} [4]"));
        let unused = (0..3).map(|number| format!("unused: b.{number}"));
        let lines = first_of_each_kind(&missing.chain(unused).collect::<Vec<_>>());
        assert_eq!(lines.len(), 10 + 1 + 3);
        assert_eq!((lines[0].as_str(), lines[10].as_str()), ("missing: a.0 [4]", "missing: and 4990 more"));
        assert_eq!(lines[13], "unused: b.2");
    }
}
