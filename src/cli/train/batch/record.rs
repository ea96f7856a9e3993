//! What a finished word of a list was made from, so that it is known again without its pictures being read or a model loaded.
//!
//! A record stands for the settings, and for the length and the time of every file that the word depends on and of the
//! files that it is in. Whatever differs is looked at as the run of any word is, by what is in the files: a record saves
//! time, and decides nothing.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::list::Word;
use crate::Result;
use crate::base::bytes::sha256;
use crate::base::files::{self, write_whole};
use crate::cli::args::Shared;
use crate::cli::load::ModelId;
use crate::cli::train::names;
use crate::cli::{locate, settings};
use crate::model::OpenedModel;

/// The file in the folder of a run.
const RECORD: &str = "finished.json";
/// How deep the folder of a model goes.
const DEEPEST: u32 = 3;

/// What is seen of a file without reading it: its name, its length, and when it was written.
type Seen = (String, u64, u128);

/// A word that is finished.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    /// SHA-256 of everything that it was made from.
    made_from: String,
    /// The files that it is in.
    files: Vec<Seen>,
}

/// Looks at files and folders, at each folder once.
#[derive(Default)]
pub(super) struct Records {
    folders: HashMap<PathBuf, Rc<Vec<Seen>>>,
    /// What is seen of the model, once it was looked at.
    model: Value,
}

impl Records {
    /// Looks at the model that all words are learned on: that of this program is told by what is in it.
    ///
    /// # Errors
    /// What cannot be read.
    pub async fn look_at(&mut self, shared: &Shared, opened: &OpenedModel) -> Result<()> {
        let local = |typed: &&PathBuf| typed.exists();
        self.model = match &shared.model {
            None => json!(ModelId::of(&*opened.source).await?.hash),
            Some(typed) if local(&typed) => json!(tree(typed, DEEPEST)),
            // The folder of a repository in the cache is called by its commit.
            Some(_) => json!([opened.source.name(), place(opened)]),
        };
        Ok(())
    }

    /// What a word is made from, as it is now; none where that cannot be seen from outside.
    pub fn made_from(&mut self, word: &Word, shared: &Shared) -> Option<String> {
        let args = &word.args;
        let mut seen = Vec::new();
        for path in args.pictures.iter().chain(&args.unseen) {
            seen.push(json!(self.picture(path)?));
        }
        for path in args.mask_folder.iter() {
            seen.push(json!(self.folder(path)?));
        }
        let config = &args.config;
        let inits = [&config.init, &config.second_init].into_iter().flatten();
        let inits = inits.filter(|init| locate::names_an_embedding_file(init)).map(PathBuf::from);
        let given = args.embeddings.iter().map(|typed| PathBuf::from(locate::source_and_name(typed).0));
        let named = args.template.iter().chain(&args.replay).cloned();
        for path in inits.chain(given).chain(named) {
            seen.push(json!(self.any(&path)?));
        }
        let mut asked = settings::of(args, config, shared);
        // A word that was learned on another device is finished all the same.
        if let Some(asked) = asked.as_object_mut() {
            asked.retain(|name, _| !["device", "precision", "on-device-lost"].contains(&name.as_str()));
        }
        let all = json!([asked, seen, self.model, shared.model, shared.base]);
        Some(sha256(all.to_string()))
    }

    /// Whether a word is finished that was made from this.
    pub fn is_finished(&self, word: &Word, made_from: Option<&str>) -> bool {
        let Some(made_from) = made_from.filter(|_| !word.args.overwrite) else { return false };
        let known =
            fs::read(word.folder.join(RECORD)).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        known.is_some_and(|known| known.made_from == made_from && Some(known.files) == files_of(word))
    }

    /// Writes down that a word is finished which was made from this. Without it a repetition takes longer, nothing worse.
    pub fn keep(&self, word: &Word, made_from: Option<&str>) {
        let (Some(made_from), Some(files)) = (made_from, files_of(word)) else { return };
        let record = Record { made_from: made_from.to_owned(), files };
        if let Ok(text) = serde_json::to_string(&record) {
            let _unwritten = write_whole(&word.folder.join(RECORD), text.as_bytes());
        }
    }

    /// What is seen of a folder with pictures, or of a picture and the files that belong to it by their names.
    fn picture(&mut self, path: &Path) -> Option<Vec<Seen>> {
        if path.is_dir() {
            return self.folder(path).map(|seen| (*seen).clone());
        }
        let stem = path.file_stem()?.to_string_lossy().to_lowercase();
        let beside = self.folder(files::folder_of(path))?;
        let from = beside.partition_point(|(name, ..)| name.to_lowercase() < stem);
        let named = beside[from..].iter().take_while(|(name, ..)| name.to_lowercase().starts_with(&stem));
        Some(std::iter::once(seen(path)?).chain(named.cloned()).collect())
    }

    /// What is seen of the files in a folder, ordered by their names in small letters.
    fn folder(&mut self, path: &Path) -> Option<Rc<Vec<Seen>>> {
        if let Some(known) = self.folders.get(path) {
            return Some(known.clone());
        }
        let mut listed: Vec<Seen> =
            fs::read_dir(path).ok()?.flatten().filter_map(|entry| seen(&entry.path())).collect();
        listed.sort_by_cached_key(|(name, ..)| (name.to_lowercase(), name.clone()));
        let listed = Rc::new(listed);
        self.folders.insert(path.to_owned(), listed.clone());
        Some(listed)
    }

    fn any(&mut self, path: &Path) -> Option<Vec<Seen>> {
        if path.is_dir() { self.folder(path).map(|seen| (*seen).clone()) } else { Some(vec![seen(path)?]) }
    }
}

/// What is seen of a file; none for what is no file, such as a folder.
fn seen(path: &Path) -> Option<Seen> {
    let about = fs::metadata(path).ok().filter(Metadata::is_file)?;
    let written = about.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((files::file_name(path), about.len(), written.as_nanos()))
}

/// What is seen of the files in a folder and in those inside it, so many deep; of a file, of it.
fn tree(path: &Path, depth: u32) -> Vec<Value> {
    if !path.is_dir() {
        return vec![json!(seen(path))];
    }
    let mut inside: Vec<PathBuf> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    inside.sort();
    let deeper = inside.iter().filter(|path| depth > 1 || !path.is_dir());
    deeper.flat_map(|path| std::iter::once(json!(path)).chain(tree(path, depth - 1))).collect()
}

/// Where the first file of a fetched model is, which has the commit in it.
fn place(opened: &OpenedModel) -> Option<PathBuf> {
    ["model_index.json", "unet/config.json"].iter().find_map(|file| opened.source.place(file))
}

/// The files that a word is in.
fn files_of(word: &Word) -> Option<Vec<Seen>> {
    let embeddings = names::embeddings(&word.args.config.tokens());
    embeddings.iter().map(String::as_str).chain([names::REPORT]).map(|file| seen(&word.folder.join(file))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::train::batch::list::List;

    /// Two words in a folder, whose pictures and embeddings are there.
    fn place() -> (tempfile::TempDir, Vec<Word>) {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for folder in ["photos", "runs/a", "runs/b"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["photos/Cat.png", "photos/cat.txt", "photos/cat.mask.png", "photos/dog.png", "photos/dog.txt"] {
            fs::write(at(file), file).unwrap();
        }
        for file in ["runs/a/learned_embeds.safetensors", "runs/a/report.json"] {
            fs::write(at(file), file).unwrap();
        }
        let list = format!(
            "[[word]]\npictures = ['{0}/photos/Cat.png']\ntoken = '<a>'\n[[word]]\npictures = ['{0}/photos']\ntoken = '<b>'\n",
            place.path().display()
        );
        fs::write(at("words.toml"), list).unwrap();
        let list = List::read(&at("words.toml")).unwrap();
        let (words, problems) = list.words(&["pseudoword".into(), "train".into()], Some(&at("runs")));
        problems.refuse(Path::new("words.toml")).unwrap();
        (place, words)
    }

    fn shared() -> Shared {
        use clap::Parser;
        crate::cli::args::Cli::parse_from(["pseudoword", "generate", "x"]).shared
    }

    fn made_from(word: &Word) -> String {
        Records::default().made_from(word, &shared()).unwrap()
    }

    #[test]
    fn a_word_is_known_again_until_something_that_it_was_made_from_changes() {
        let (place, words) = place();
        let [cat, all] = words.as_slice() else { panic!("two words") };
        let before = made_from(cat);
        let records = Records::default();
        assert!(!records.is_finished(cat, Some(&before)));
        records.keep(cat, Some(&before));
        assert!(records.is_finished(cat, Some(&before)));
        assert!(!records.is_finished(cat, Some("other")) && !records.is_finished(cat, None));
        assert_eq!(made_from(cat), before);
        let of_all = made_from(all);
        // What belongs to another picture is nothing to this one.
        fs::write(place.path().join("photos/dog.txt"), "a dog").unwrap();
        assert_eq!(made_from(cat), before);
        assert_ne!(made_from(all), of_all);
        for file in ["cat.txt", "cat.mask.png", "Cat.png", "cat.png.txt"] {
            let was = made_from(cat);
            fs::write(place.path().join("photos").join(file), format!("{file} anew")).unwrap();
            assert_ne!(made_from(cat), was, "{file}");
        }
        fs::write(cat.folder.join("learned_embeds.safetensors"), "another").unwrap();
        assert!(!records.is_finished(cat, Some(&before)));
        fs::remove_file(cat.folder.join("learned_embeds.safetensors")).unwrap();
        assert!(!records.is_finished(cat, Some(&before)));
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        let (place, words) = place();
        records_nothing(&words[1]);
        fs::remove_file(place.path().join("photos/Cat.png")).unwrap();
        assert_eq!(Records::default().made_from(&words[0], &shared()), None);
        fn records_nothing(word: &Word) {
            let records = Records::default();
            records.keep(word, Some("x"));
            assert!(!word.folder.join(RECORD).exists());
        }
    }
}
