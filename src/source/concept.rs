//! Which file of a repository holds its embedding: the layout of the concepts library, and similar ones.
//!
//! `learned_embeds.safetensors` comes first, then `learned_embeds.bin` (`diffusers/loaders/textual_inversion.py`), then
//! Replicate's `embeddings.pti`; beside them `learned_embeds_2.safetensors` for SDXL's second text encoder,
//! `token_identifier.txt`, `type_of_concept.txt` and `concept_images/`. The embedding's name is never derived from the
//! repository's: that is the slug of a title.

use super::Problem;
use super::hub::{Listing, RemoteFile};
use crate::embedding::{NAMES_FILE, second_of};
use crate::formats::{self, Holds};
use crate::parts::Part;
use crate::setting::Setting;

/// The files that hold an embedding, in the order in which they are looked for.
pub const NAMES: [&str; 3] = ["learned_embeds.safetensors", "learned_embeds.bin", "embeddings.pti"];
/// The longest file that can be an embedding, in bytes.
pub const LONGEST: u64 = 512 << 20;

/// The longest file that is taken for the second of two.
pub const LONGEST_SECOND: u64 = 64 << 20;
/// The longest file with names in bytes.
pub const SMALL: u64 = 4096;

/// What an author says of a repository, and the longest of them in bytes that is read.
const README: &str = "README.md";
const LONGEST_README: u64 = 256 << 10;

/// An embedding in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concept {
    /// The file with the vectors.
    pub embedding: RemoteFile,
    /// The file with the vectors for SDXL's second text encoder, where that is another one.
    pub second: Option<RemoteFile>,
    /// The file with the names of what is in Replicate's; a few bytes.
    pub names: Option<RemoteFile>,
    /// The file with the embedding's name as its author meant it; a few bytes.
    pub token: Option<RemoteFile>,
    /// The file with `object` or `style` in it.
    pub kind: Option<RemoteFile>,
    /// What it was learned from, in the order of the numbers in their names.
    pub pictures: Vec<RemoteFile>,
    /// What its author says of it.
    pub readme: Option<RemoteFile>,
}

/// Finds the embedding of a repository, or the one at `path` in it (a file or a folder).
///
/// # Errors
/// [`Problem::Unfit`] if there is none, if there are several, or if it is a model; with what can be given instead.
pub fn choose(listing: &Listing, path: Option<&str>) -> Result<Concept, Problem> {
    let repo = listing.repo.to_string();
    let unfit = |reason: String| Err(Problem::Unfit { repo: repo.clone(), reason });
    let (folder, embedding) = match path {
        None => (String::new(), None),
        Some(path) => match listing.get(path) {
            Some(file) => (folder_of(path).to_owned(), Some(file)),
            None if listing.files.iter().any(|file| folder_of(&file.path) == format!("{path}/")) => {
                (format!("{path}/"), None)
            }
            None => return unfit(format!("has no file {path}{}", some(&listing.files, listing.local))),
        },
    };
    let here = |name: &str| listing.get(&format!("{folder}{name}")).cloned();
    let embedding = match embedding.cloned().or_else(|| NAMES.iter().find_map(|name| here(name))) {
        Some(embedding) => embedding,
        None => {
            let candidates: Vec<&RemoteFile> = listing
                .files
                .iter()
                .filter(|file| folder_of(&file.path) == folder && may_be_an_embedding(file))
                .collect();
            match candidates[..] {
                [embedding] if here(Part::MODEL_INDEX).is_none() => embedding.clone(),
                // Files are in the order of their names.
                [first, second] | [second, first]
                    if here(Part::MODEL_INDEX).is_none() && second_of(&first.path).as_ref() == Some(&second.path) =>
                {
                    first.clone()
                }
                _ if here(Part::MODEL_INDEX).is_some() || listing.get(Part::Unet.config()).is_some() => {
                    return unfit(format!("is a whole model, not an embedding: use {} for it", Setting::Model));
                }
                [] => return unfit(format!("holds no embedding{}", some(&listing.files, listing.local))),
                _ => {
                    let names: Vec<_> = candidates.iter().take(5).map(|file| format!("{repo}/{}", file.path)).collect();
                    let more = candidates.len().saturating_sub(names.len());
                    let more = if more > 0 { format!(" or one of {more} more") } else { String::new() };
                    return unfit(format!("holds several embeddings: give {}{more}", names.join(", or ")));
                }
            }
        }
    };
    if embedding.size > LONGEST {
        return unfit(format!("has {} of {} bytes: that is a model, not an embedding", embedding.path, embedding.size));
    }
    let (token, kind) = (here("token_identifier.txt"), here("type_of_concept.txt"));
    let small = |file: &RemoteFile| file.size <= SMALL;
    let second = second_of(&embedding.path).and_then(|path| listing.get(&path).cloned());
    let names = here(NAMES_FILE).filter(|_| embedding.name().to_ascii_lowercase().ends_with(".pti"));
    let pictures = pictures(listing, &folder, &embedding);
    let readme = here(README).or_else(|| listing.get(README).cloned()).filter(|file| file.size <= LONGEST_README);
    Ok(Concept {
        second: second.filter(|file| file.size <= LONGEST_SECOND),
        names: names.filter(small),
        token: token.filter(small),
        kind: kind.filter(small),
        embedding,
        pictures,
        readme,
    })
}

/// The name in a `token_identifier.txt`: one line without spaces around it. None for anything else.
pub fn token(text: &str) -> Option<&str> {
    let text = text.trim_start_matches('\u{feff}').trim();
    (!text.is_empty() && text.chars().count() <= 64 && !text.contains(|c: char| c.is_control())).then_some(text)
}

/// The licence that a `README.md` states in the block of YAML at its beginning, as the Hub reads it.
pub fn licence(readme: &str) -> Option<&str> {
    let lines = readme.trim_start_matches('\u{feff}').lines();
    let mut block = lines.skip_while(|line| line.trim().is_empty());
    block.next().filter(|line| line.trim_end() == "---")?;
    let stated = block.take_while(|line| line.trim_end() != "---").find_map(|line| line.strip_prefix("license:"))?;
    let name = stated.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!name.is_empty() && name.chars().count() <= 64).then_some(name)
}

/// `folder/` for `folder/file`, nothing for `file`.
fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..=at])
}

/// Whether a file beside others may be an embedding: by its ending and length, and not by the name of something else.
fn may_be_an_embedding(file: &RemoteFile) -> bool {
    let name = file.name().to_ascii_lowercase();
    let other =
        ["pytorch_model", "diffusion_pytorch", "model.", "pytorch_lora", "optimizer", "scheduler", "training_args"];
    let picture = formats::can_hold(&name, Holds::Picture);
    formats::can_hold(&name, Holds::Embedding)
        && file.size <= LONGEST
        && !other.iter().any(|start| name.starts_with(start))
        && !name.contains("preview")
        // A picture may carry an embedding, but most do not: only the single file of a repository is taken for one.
        && (!picture || name.contains("embed"))
}

fn pictures(listing: &Listing, folder: &str, embedding: &RemoteFile) -> Vec<RemoteFile> {
    let within = |place: &str| -> Vec<RemoteFile> {
        let here = listing.files.iter().filter(|file| folder_of(&file.path) == place && file.path != embedding.path);
        here.filter(|file| formats::can_hold(&file.path, Holds::Picture)).cloned().collect()
    };
    let mut found = within(&format!("{folder}concept_images/"));
    if found.is_empty() {
        found = within(folder);
    }
    // `2.jpeg` before `10.jpeg`.
    found.sort_by_cached_key(|file| {
        let stem = file.name().split('.').next().unwrap_or_default();
        (stem.parse::<u64>().unwrap_or(u64::MAX), file.path.clone())
    });
    found
}

/// The beginning of a list of files, for messages.
fn some(files: &[RemoteFile], local: bool) -> String {
    let names: Vec<_> =
        files.iter().filter(|file| !file.path.starts_with('.')).take(6).map(|file| file.path.as_str()).collect();
    let place = if local { "; cached of it: " } else { "; it has " };
    if names.is_empty() { "; it is empty".to_owned() } else { format!("{place}{}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::address::HubAddress;

    fn listing(files: &[(&str, u64)]) -> Listing {
        let file = |(path, size): &(&str, u64)| RemoteFile {
            path: (*path).to_owned(),
            size: *size,
            blob: "b".repeat(40),
            sha256: None,
        };
        let at = HubAddress::model("sd-concepts-library/cat");
        let files = files.iter().map(file).collect();
        Listing { repo: at.repo, revision: at.revision, commit: "c".repeat(40), files, local: false }
    }

    const CONCEPT: [(&str, u64); 8] = [
        (".gitattributes", 1),
        ("README.md", 1),
        ("concept_images/10.jpeg", 9),
        ("concept_images/2.jpeg", 9),
        ("concept_images/0.jpeg", 9),
        ("learned_embeds.bin", 3819),
        ("token_identifier.txt", 9),
        ("type_of_concept.txt", 5),
    ];

    #[test]
    fn the_layout_of_the_concepts_library_is_known() {
        let concept = choose(&listing(&CONCEPT), None).unwrap();
        assert_eq!(concept.embedding.path, "learned_embeds.bin");
        assert!(concept.token.is_some() && concept.kind.is_some());
        let pictures: Vec<_> = concept.pictures.iter().map(RemoteFile::name).collect();
        assert_eq!(pictures, ["0.jpeg", "2.jpeg", "10.jpeg"]);
        let mut both = CONCEPT.to_vec();
        both.push(("learned_embeds.safetensors", 3200));
        assert_eq!(choose(&listing(&both), None).unwrap().embedding.path, "learned_embeds.safetensors");
        assert_eq!(choose(&listing(&both), Some("learned_embeds.bin")).unwrap().embedding.path, "learned_embeds.bin");
    }

    #[test]
    fn a_licence_is_read_where_the_hub_reads_it() {
        let concept = choose(&listing(&CONCEPT), None).unwrap();
        assert_eq!(concept.readme.map(|file| file.path).as_deref(), Some("README.md"));
        assert_eq!(licence("---\nlicense: mit\nbase_model: x\n---\n### cat\n"), Some("mit"));
        assert_eq!(licence("\u{feff}\n---\r\ntags: []\r\nlicense: \"cc-by-4.0\" # mine\r\n---\r\n"), Some("cc-by-4.0"));
        for none in
            ["", "license: mit", "# a\n---\nlicense: mit\n---", "---\na: b\n---\nlicense: mit", "---\nlicense:\n---"]
        {
            assert_eq!(licence(none), None, "{none}");
        }
    }

    #[test]
    fn other_layouts_are_understood_where_there_is_one_answer() {
        assert_eq!(
            choose(&listing(&[("EasyNegative.pt", 9), ("sample.png", 9)]), None).unwrap().embedding.path,
            "EasyNegative.pt"
        );
        let folder = [("a/learned_embeds.bin", 9), ("b/learned_embeds.bin", 9)];
        assert_eq!(choose(&listing(&folder), Some("b")).unwrap().embedding.path, "b/learned_embeds.bin");
    }

    #[test]
    fn an_embedding_for_sdxl_may_be_in_two_files_or_have_its_name_beside_it() {
        let second = |files: &[(&str, u64)], path| {
            let found = choose(&listing(files), path).unwrap();
            (found.embedding.path, found.second.map(|file| file.path))
        };
        let both = [("README.md", 1), ("learned_embeds.safetensors", 9), ("learned_embeds_2.safetensors", 9)];
        let expected = ("learned_embeds.safetensors".to_owned(), Some("learned_embeds_2.safetensors".to_owned()));
        assert_eq!(second(&both, None), expected);
        assert_eq!(second(&both, Some("learned_embeds.safetensors")), expected);
        assert_eq!(second(&both[..2], None).1, None);
        let others = [("w/cat.safetensors", 9), ("w/cat_2.safetensors", 9)];
        assert_eq!(second(&others, Some("w")).1.as_deref(), Some("w/cat_2.safetensors"));
        assert!(choose(&listing(&[("a.safetensors", 9), ("b_2.safetensors", 9)]), None).is_err());
        let replicate = [("embeddings.pti", 9), ("lora.safetensors", 9), ("special_params.json", 19)];
        let found = choose(&listing(&replicate), None).unwrap();
        assert_eq!((found.embedding.path.as_str(), found.names.unwrap().path.as_str()), ("embeddings.pti", NAMES_FILE));
        assert!(choose(&listing(&[("a.bin", 9), ("special_params.json", 19)]), None).unwrap().names.is_none());
    }

    #[test]
    fn what_is_no_word_is_named() {
        let reason = |files: &[(&str, u64)], path| choose(&listing(files), path).unwrap_err().to_string();
        assert!(reason(&[("a.pt", 1), ("b.pt", 1)], None).contains("give sd-concepts-library/cat/a.pt, or"));
        assert!(
            reason(&[("model_index.json", 1), ("unet/config.json", 1), ("v1.safetensors", 1)], None)
                .contains(&Setting::Model.to_string())
        );
        assert!(reason(&[("README.md", 1)], None).contains("holds no embedding; it has README.md"));
        assert!(reason(&CONCEPT, Some("x.bin")).contains("has no file x.bin"));
        assert!(reason(&[("learned_embeds.bin", LONGEST + 1)], None).contains("a model, not an embedding"));
    }

    #[test]
    fn tokens_are_read_from_their_file() {
        assert_eq!(token("<c-w388>"), Some("<c-w388>"));
        assert_eq!(token("\u{feff}typeface\r\n"), Some("typeface"));
        assert_eq!((token(""), token("a\nb"), token(&"x".repeat(65))), (None, None, None));
    }
}
