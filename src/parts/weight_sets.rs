//! Which files of a folder are the weights of a part, by their names alone: in one file or in several, in the usual
//! precisions or in any other variant that somebody has saved.

use std::collections::BTreeMap;

use super::{Part, Precision};

/// Variants that are taken where the usual ones are missing, the first of them first; others follow by name.
const PREFERRED: [&str; 6] = ["", "fp16", "fp32", "bf16", "ema", "non_ema"];

const ENDING: &str = ".safetensors";

/// The files that hold the weights of a part together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSet {
    /// What the names have between stem and ending: `bf16`; nothing in the usual names.
    pub variant: String,
    /// The names of the files: one, or all that the first of them is a part of.
    pub files: Vec<String>,
}

/// What there is for a part in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WeightSets {
    /// Complete ones, the one to take first.
    pub whole: Vec<WeightSet>,
    /// The first missing file of one that is not complete.
    pub missing: Option<String>,
}

impl WeightSets {
    /// Those among the names of a folder's files.
    pub fn of<'a>(part: Part, names: impl IntoIterator<Item = &'a str>) -> Self {
        let Some(stem) = part.stem() else { return Self::default() };
        let mut whole: Vec<WeightSet> = Vec::new();
        // The numbers of shards that are there, by variant and by how many there should be.
        let mut shards: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for name in names {
            let Some(middle) = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ENDING)) else { continue };
            let (variant, shard) = match middle.rsplit_once('-') {
                Some((rest, count)) if count.parse::<usize>().is_ok() => match rest.strip_suffix("-of") {
                    Some(rest) => match rest.rsplit_once('-') {
                        Some((variant, number)) => (variant, Some((number, count))),
                        None => continue,
                    },
                    None => (middle, None),
                },
                _ => (middle, None),
            };
            let Some(variant) = variant.strip_prefix('.').or_else(|| variant.is_empty().then_some("")) else {
                continue;
            };
            match shard {
                None => whole.push(WeightSet { variant: variant.to_owned(), files: vec![name.to_owned()] }),
                Some((_, count)) => shards.entry((variant, count)).or_default().push(name),
            }
        }
        let mut missing = None;
        for ((variant, count), mut names) in shards {
            names.sort_unstable();
            let expected = numbered(stem, variant, count);
            match expected.iter().find(|name| !names.contains(&name.as_str())) {
                Some(name) => missing = Some(name.clone()),
                None => whole.push(WeightSet { variant: variant.to_owned(), files: expected }),
            }
        }
        let rank = |set: &WeightSet| {
            let rank = PREFERRED.iter().position(|variant| *variant == set.variant);
            (rank.unwrap_or(PREFERRED.len()), set.variant.clone())
        };
        whole.sort_by_key(rank);
        Self { whole, missing }
    }
}

impl WeightSet {
    /// Whether its name is a usual one.
    pub fn is_usual(&self) -> bool {
        self.variant.is_empty() || format!(".{}", self.variant) == Precision::Half.suffix()
    }
}

/// The names of all shards; none for a count that nobody writes.
fn numbered(stem: &str, variant: &str, count: &str) -> Vec<String> {
    const MOST: usize = 1000;
    let dot = if variant.is_empty() { "" } else { "." };
    let (digits, count) = (count.len(), count.parse::<usize>().unwrap_or(0).min(MOST));
    let name = |number: usize| format!("{stem}{dot}{variant}-{number:0digits$}-of-{count:0digits$}{ENDING}");
    (1..=count).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variants(names: &[&str]) -> Vec<String> {
        WeightSets::of(Part::Unet, names.iter().copied()).whole.into_iter().map(|set| set.variant).collect()
    }

    #[test]
    fn variants_are_found_by_their_names_and_the_most_usual_one_is_first() {
        let names =
            ["non_ema", "bf16", "fp16", "mine"].map(|name| format!("diffusion_pytorch_model.{name}.safetensors"));
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(variants(&names), ["fp16", "bf16", "non_ema", "mine"]);
        names.push("diffusion_pytorch_model.safetensors");
        assert_eq!(variants(&names)[0], "");
        assert!(
            variants(&["config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model2.safetensors"])
                .is_empty()
        );
    }

    #[test]
    fn shards_without_an_index_are_one_set_if_all_are_there() {
        let shard = |number: usize| format!("diffusion_pytorch_model.bf16-0000{number}-of-00002.safetensors");
        let (one, two) = (shard(1), shard(2));
        let sets = WeightSets::of(Part::Unet, [two.as_str(), one.as_str()]);
        assert_eq!(sets.whole, [WeightSet { variant: "bf16".to_owned(), files: vec![one.clone(), two.clone()] }]);
        let sets = WeightSets::of(Part::Unet, [one.as_str()]);
        assert_eq!((sets.whole.len(), sets.missing), (0, Some(two)));
    }
}
