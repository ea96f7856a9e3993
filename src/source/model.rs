//! Which files of a repository make a model that this program can run: the diffusers layout, in safetensors.

use super::Problem;
use super::hub::{Listing, RemoteFile};
use crate::base::bytes::size;
use crate::formats::{Holds, can_hold};
pub use crate::parts::Precision;
use crate::parts::{Architecture, FileLength, Part, WeightPaths, WeightSets};
use crate::setting::named;

/// The files of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// What the model is: everything but the weights. A few megabytes, to be looked at before the rest is fetched.
    pub configs: Vec<RemoteFile>,
    /// The weights.
    pub weights: Vec<RemoteFile>,
    /// The precision of weights that were taken although another was preferred.
    pub instead: Option<Precision>,
    /// That in a sentence.
    pub note: Option<String>,
}

impl ModelFiles {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &RemoteFile> {
        self.configs.iter().chain(&self.weights)
    }

    /// What can be known of the weights before they are fetched.
    pub fn lengths(&self) -> Vec<FileLength> {
        let length = |file: &RemoteFile| {
            Some(FileLength { part: Part::of(&file.path)?, bytes: file.size, precision: Precision::of(&file.path) })
        };
        self.weights.iter().filter_map(length).collect()
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.all().map(|file| file.size).sum()
    }
}

/// Chooses the files of the model in a repository, or in a folder of it.
///
/// # Errors
/// [`Problem::Unfit`] with what is missing, or what it is instead.
pub fn choose(listing: &Listing, folder: Option<&str>, precision: Precision) -> Result<ModelFiles, Problem> {
    let prefix = folder.map_or_else(String::new, |folder| format!("{}/", folder.trim_end_matches('/')));
    let get = |path: &str| listing.get(&format!("{prefix}{path}")).cloned();
    let unfit = |reason: String| Problem::Unfit { repo: listing.repo.to_string(), reason };
    if let Some(what) = instead(listing, &prefix) {
        return Err(unfit(what.to_owned()));
    }
    let architecture = Architecture::of(|path| get(path).is_some());
    let (mut weights, mut second, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for part in architecture.with_weights() {
        let (folder, other) = (part.folder(), precision.other());
        let of = |precision: Precision| files(listing, &prefix, &part.weights(precision)?);
        match of(precision)
            .or_else(|| {
                let files = of(other)?;
                second.push(folder);
                Some(files)
            })
            // Loading reports those.
            .or_else(|| variant(listing, &prefix, part))
        {
            Some(files) => weights.extend(files),
            None => {
                let pickle = listing.files.iter().any(|file| {
                    file.path.strip_prefix(&format!("{prefix}{folder}/")).is_some_and(|name| name.ends_with(".bin"))
                });
                let name = part.weights(Precision::Full).map_or_else(String::new, |paths| paths.whole);
                missing.push(if pickle { format!("{name} (only as a pickle, .bin, which is not read)") } else { name });
            }
        }
    }
    let mut configs: Vec<RemoteFile> = Vec::new();
    for part in architecture.parts() {
        match part.found(|path| get(path).is_some()) {
            Some(set) => configs.extend(set.iter().filter_map(|path| get(path))),
            None => missing.push(part.expected()),
        }
    }
    let useful = architecture.parts().iter().flat_map(|part| part.useful());
    configs.extend(std::iter::once(&Part::MODEL_INDEX).chain(useful).filter_map(|path| get(path)));
    if missing.is_empty() {
        let instead = (!second.is_empty()).then_some(precision.other());
        let all = second.len() == architecture.with_weights().count();
        let note = instead.map(|precision| only_in(precision, if all { &[] } else { &second }, listing));
        return Ok(ModelFiles { configs, weights, instead, note });
    }
    let place = if listing.local {
        "is not complete on this machine, it lacks"
    } else {
        "is not a model in the diffusers layout: it lacks"
    };
    Err(unfit(format!("{place} {}{}", missing.join(", "), suggestion(listing))))
}

/// That the weights of a repository, or of these folders of it, are there in one precision alone.
fn only_in(precision: Precision, folders: &[&str], listing: &Listing) -> String {
    let name = if precision == Precision::Full { "full precision" } else { "fp16" };
    let which = if folders.is_empty() { String::new() } else { format!(" of {}", folders.join(", ")) };
    format!("{} has the weights{which} only in {name}", listing.repo)
}

/// The model in a single file that was asked for by its path.
///
/// # Errors
/// [`Problem::Unfit`] if it is not there.
pub fn single<'l>(listing: &'l Listing, path: &str) -> Result<&'l RemoteFile, Problem> {
    let missing = || Problem::Unfit { repo: listing.repo.to_string(), reason: format!("has no file {path}") };
    listing.get(path).ok_or_else(missing)
}

/// What a repository is, if it is recognised as something else.
fn instead(listing: &Listing, prefix: &str) -> Option<&'static str> {
    let has = |path: &str| listing.get(&format!("{prefix}{path}")).is_some();
    if has("transformer/config.json") {
        return Some(
            "is a model of another family (SD 3, Flux, ...): only Stable Diffusion 1.x, 2.x and SDXL can be run",
        );
    }
    if has(Part::TextEncoder2.config()) && !has(Part::TextEncoder.config()) {
        return Some("is SDXL's refiner, which finishes the pictures of another model: use the base model");
    }
    if has(Part::Unet.config()) {
        return None;
    }
    if has("learned_embeds.bin") || has("learned_embeds.safetensors") {
        return Some(concat!("is an embedding, not a model: use ", named!(embedding), " for it"));
    }
    if has("pytorch_lora_weights.safetensors") || has("adapter_config.json") {
        return Some("is a LoRA, not a model");
    }
    None
}

/// A hint where a repository holds a model in a single file, or several.
fn suggestion(listing: &Listing) -> String {
    let single = |file: &&RemoteFile| !file.path.contains('/') && file.size > 1 << 30;
    let large: Vec<&RemoteFile> = listing.files.iter().filter(single).filter(|_| !listing.local).collect();
    let readable: Vec<String> = large
        .iter()
        .filter(|file| can_hold(&file.path, Holds::Model))
        .map(|file| format!("{}/{} ({})", listing.repo, file.path, size(file.size)))
        .collect();
    let pickle = large.iter().any(|file| file.path.to_ascii_lowercase().ends_with(".ckpt"));
    match &readable[..] {
        [] if pickle => {
            "; it holds a model in a single file, of which there is often a sibling converted to diffusers".to_owned()
        }
        [] => String::new(),
        [only] => format!("; it holds a model in a single file: give {only}"),
        [some @ .., last] => format!("; it holds models in single files: give {} or {last}", some.join(", ")),
    }
}

/// The weights of a part in one precision: one file, or all of its shards.
fn files(listing: &Listing, prefix: &str, paths: &WeightPaths) -> Option<Vec<RemoteFile>> {
    let get = |path: &String| listing.get(&format!("{prefix}{path}"));
    if let Some(file) = get(&paths.whole) {
        return Some(vec![file.clone()]);
    }
    let index = paths.indices.iter().find_map(get)?;
    let start = format!("{prefix}{}", paths.shard);
    let shard = |file: &&RemoteFile| file.path.starts_with(&start) && file.path.ends_with(".safetensors");
    let shards: Vec<RemoteFile> = listing.files.iter().filter(shard).cloned().collect();
    let count: usize = shards.first()?.path.strip_suffix(".safetensors")?.rsplit_once("-of-")?.1.parse().ok()?;
    (shards.len() == count).then(|| std::iter::once(index.clone()).chain(shards).collect())
}

/// The weights of a part under names that are not the usual ones.
fn variant(listing: &Listing, prefix: &str, part: Part) -> Option<Vec<RemoteFile>> {
    let start = format!("{prefix}{}/", part.folder());
    let names = listing.files.iter().filter_map(|file| file.path.strip_prefix(&start));
    let set = WeightSets::of(part, names).whole.into_iter().next()?;
    set.files.iter().map(|name| listing.get(&format!("{start}{name}")).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::address::HubAddress;

    /// The small files of a model, as programs wrote them before transformers 5.
    fn needed() -> Vec<&'static str> {
        Architecture::Sd.parts().iter().filter_map(|part| part.needed().last()).copied().flatten().copied().collect()
    }

    const WEIGHTS: [&str; 3] = [
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ];

    fn listing(paths: &[&str]) -> Listing {
        let file = |path: &&str| RemoteFile { path: (*path).to_owned(), size: 10, blob: "b".repeat(40), sha256: None };
        let at = HubAddress::model("owner/model");
        let files = paths.iter().map(file).collect();
        Listing { repo: at.repo, revision: at.revision, commit: "c".repeat(40), files, local: false }
    }

    fn chosen(paths: &[&str], precision: Precision) -> Result<Vec<String>, Problem> {
        let all: Vec<&str> = needed().into_iter().chain(paths.iter().copied()).collect();
        choose(&listing(&all), None, precision)
            .map(|files| files.weights.iter().map(|file| file.path.clone()).collect())
    }

    #[test]
    fn the_preferred_precision_is_chosen_and_the_other_where_there_is_none() {
        let halves: Vec<String> =
            WEIGHTS.iter().map(|path| path.replace(".safetensors", ".fp16.safetensors")).collect();
        let both: Vec<&str> = WEIGHTS.iter().copied().chain(halves.iter().map(String::as_str)).collect();
        assert_eq!(chosen(&both, Precision::Full).unwrap(), WEIGHTS);
        assert_eq!(chosen(&both, Precision::Half).unwrap(), halves);
        let files = choose(&listing(&[&needed()[..], &WEIGHTS[..]].concat()), None, Precision::Half).unwrap();
        assert_eq!(
            (files.instead, files.weights.len(), files.configs.len(), files.bytes()),
            (Some(Precision::Full), 3, 6, 90)
        );
        assert_eq!(files.note.as_deref(), Some("owner/model has the weights only in full precision"));
        let some = [&needed()[..], &[halves[0].as_str()], &WEIGHTS[1..]].concat();
        let note = choose(&listing(&some), None, Precision::Half).unwrap().note.unwrap();
        assert!(note.ends_with("the weights of unet, vae only in full precision"), "{note}");
        let length = |part, precision| FileLength { part, bytes: 10, precision };
        let parts = [Part::TextEncoder, Part::Unet, Part::Vae];
        assert_eq!(files.lengths(), parts.map(|part| length(part, Precision::Full)));
        let files = choose(&listing(&[&needed()[..], &both].concat()), None, Precision::Half).unwrap();
        assert_eq!(files.lengths(), parts.map(|part| length(part, Precision::Half)));
    }

    /// What `stabilityai/stable-diffusion-xl-base-1.0` has, with lengths, but for the other things around it.
    fn sdxl() -> Vec<(String, u64)> {
        let weights = [
            ("text_encoder/model", 492_265_168, 246_144_152),
            ("text_encoder_2/model", 2_778_702_264, 1_389_382_176),
            ("unet/diffusion_pytorch_model", 10_270_077_736, 5_135_149_760),
            ("vae/diffusion_pytorch_model", 334_643_268, 167_335_342),
        ];
        let weights = weights.into_iter().flat_map(|(stem, full, half)| {
            [(format!("{stem}.safetensors"), full), (format!("{stem}.fp16.safetensors"), half)]
        });
        let small = Architecture::Sdxl.parts().iter().filter_map(|part| part.needed().last()).copied().flatten();
        let around = ["model_index.json", "text_encoder/model.onnx", "vae_1_0/config.json"].map(str::to_owned);
        let single = ["sd_xl_base_1.0.safetensors", "vae_1_0/diffusion_pytorch_model.safetensors"].map(str::to_owned);
        let small = small.map(|path| (*path).to_owned()).chain(around).map(|path| (path, 1000));
        weights.chain(small).chain(single.map(|path| (path, 6_938_078_334))).collect()
    }

    fn measured(files: &[(String, u64)]) -> Listing {
        let mut listing = listing(&files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>());
        listing.files.iter_mut().zip(files).for_each(|(file, (_, size))| file.size = *size);
        listing
    }

    #[test]
    fn of_sdxl_both_text_encoders_are_taken_and_nothing_else() {
        let files = choose(&measured(&sdxl()), None, Precision::Half).unwrap();
        let weights: Vec<&str> = files.weights.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            weights,
            [
                "text_encoder/model.fp16.safetensors",
                "text_encoder_2/model.fp16.safetensors",
                "unet/diffusion_pytorch_model.fp16.safetensors",
                "vae/diffusion_pytorch_model.fp16.safetensors",
            ]
        );
        let configs: Vec<&str> = files.configs.iter().map(|file| file.path.as_str()).collect();
        for small in
            ["model_index.json", "tokenizer_2/vocab.json", "tokenizer_2/merges.txt", "text_encoder_2/config.json"]
        {
            assert!(configs.contains(&small), "{small}: {configs:?}");
        }
        // What is said before anything is fetched.
        assert_eq!((files.note.as_ref(), size(files.bytes()).as_str()), (None, "6.94 GB"));
        assert_eq!(files.lengths().len(), 4);
        let full = choose(&measured(&sdxl()), None, Precision::Full).unwrap();
        assert_eq!(size(full.bytes()), "13.88 GB");
    }

    #[test]
    fn of_sdxl_what_is_missing_is_named_and_shards_are_taken() {
        let without =
            |end: &str| -> Vec<(String, u64)> { sdxl().into_iter().filter(|(path, _)| !path.contains(end)).collect() };
        let refused =
            choose(&measured(&without("text_encoder_2/model")), None, Precision::Half).unwrap_err().to_string();
        assert!(refused.contains("lacks text_encoder_2/model.safetensors"), "{refused}");
        let refused = choose(&measured(&without("tokenizer_2/merges")), None, Precision::Half).unwrap_err().to_string();
        assert!(refused.contains("tokenizer_2/vocab.json and tokenizer_2/merges.txt"), "{refused}");
        let mut sharded = without("text_encoder_2/model");
        for name in ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"] {
            sharded.push((format!("text_encoder_2/{name}"), 700_000_000));
        }
        sharded.push(("text_encoder_2/model.safetensors.index.fp16.json".to_owned(), 50_000));
        let files = choose(&measured(&sharded), None, Precision::Half).unwrap();
        assert_eq!((files.weights.len(), size(files.bytes()).as_str()), (6, "6.95 GB"));
    }

    #[test]
    fn the_single_files_of_a_repository_are_named() {
        let reason = |files: &[(&str, u64)]| {
            let files: Vec<(String, u64)> = files.iter().map(|(path, size)| ((*path).to_owned(), *size)).collect();
            choose(&measured(&files), None, Precision::Half).unwrap_err().to_string()
        };
        let (one, other) = ("ponyDiffusionV6XL.safetensors", "ponyDiffusionV6XL_fp32.safetensors");
        let said = reason(&[(one, 6_938_078_334), ("README.md", 9)]);
        assert!(
            said.ends_with(
                "; it holds a model in a single file: give owner/model/ponyDiffusionV6XL.safetensors (6.94 GB)"
            ),
            "{said}"
        );
        let said = reason(&[(one, 6_938_078_334), (other, 13_900_000_000), ("x.ckpt", 7 << 30)]);
        assert!(
            said.contains("give owner/model/ponyDiffusionV6XL.safetensors (6.94 GB) or owner/model/ponyDiff"),
            "{said}"
        );
        assert!(reason(&[("x.ckpt", 7 << 30)]).contains("a sibling converted to diffusers"));
    }

    #[test]
    fn shards_are_taken_together_or_not_at_all() {
        let sharded = [
            WEIGHTS[0],
            WEIGHTS[2],
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
        ];
        assert_eq!(chosen(&sharded, Precision::Full).unwrap().len(), 5);
        assert!(chosen(&sharded[..4], Precision::Full).unwrap_err().to_string().contains("lacks unet/"));
    }

    #[test]
    fn weights_under_another_name_are_taken_where_there_are_no_others() {
        let other = "unet/diffusion_pytorch_model.non_ema.safetensors";
        let files =
            choose(&listing(&[&needed()[..], &[WEIGHTS[0], other, WEIGHTS[2]]].concat()), None, Precision::Full);
        let files = files.unwrap();
        assert!(files.weights.iter().any(|file| file.path == other), "{:?}", files.weights);
        assert!(!chosen(&[&WEIGHTS[..], &[other]].concat(), Precision::Full).unwrap().contains(&other.to_owned()));
    }

    #[test]
    fn what_is_no_model_is_named() {
        let reason = |paths: &[&str]| choose(&listing(paths), None, Precision::Full).unwrap_err().to_string();
        assert!(reason(&["learned_embeds.bin"]).contains(named!(embedding)));
        assert!(reason(&["transformer/config.json", "unet/config.json"]).contains("another family"));
        assert!(reason(&["text_encoder_2/config.json", "unet/config.json"]).contains("refiner"));
        assert!(
            chosen(&["unet/diffusion_pytorch_model.bin"], Precision::Full).unwrap_err().to_string().contains("pickle")
        );
        assert!(reason(&["README.md"]).contains("lacks text_encoder/model.safetensors"));
    }

    #[test]
    fn a_tokenizer_may_have_any_of_its_forms_and_only_what_is_there_is_fetched() {
        let configs = |tokenizer: &[&str]| -> Result<Vec<String>, Problem> {
            let others = needed().into_iter().filter(|path| Part::of(path) != Some(Part::Tokenizer));
            let paths: Vec<&str> = others.chain(WEIGHTS).chain(tokenizer.iter().copied()).collect();
            let files = choose(&listing(&paths), None, Precision::Full)?;
            let of_tokenizer = files.configs.into_iter().map(|file| file.path);
            Ok(of_tokenizer.filter(|path| Part::of(path) == Some(Part::Tokenizer)).collect())
        };
        let (whole, config) = ("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json");
        let (vocabulary, merges, added) =
            ("tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/added_tokens.json");
        assert_eq!(configs(&[whole, config]).unwrap(), [whole, config]);
        assert_eq!(configs(&[vocabulary, merges, added]).unwrap(), [vocabulary, merges, added]);
        // What is not read is not fetched.
        assert_eq!(configs(&[vocabulary, merges, whole]).unwrap(), [whole]);
        let refused = configs(&[vocabulary]).unwrap_err().to_string();
        assert!(
            refused.contains("tokenizer/tokenizer.json, or tokenizer/vocab.json and tokenizer/merges.txt"),
            "{refused}"
        );
    }

    #[test]
    fn a_model_may_be_in_a_folder() {
        let paths: Vec<String> = needed().iter().chain(&WEIGHTS).map(|path| format!("v2/{path}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!(choose(&listing(&paths), Some("v2"), Precision::Full).unwrap().weights.len(), 3);
    }
}
