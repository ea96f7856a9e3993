//! The embeddings that a user has added, usable by name in prompts: a folder of embedding files, nothing else.
//!
//! There is no index that could disagree with the files (only, in `stems/`, what the file of one was called that has another name). An embedding's name is its file's name, encoded so that every
//! name makes a file on every system and comes back unchanged: everything but lower-case letters, digits, `.`, `_` and
//! `-` is percent-encoded (`<My-cat>` is `%3C%4Dy-cat%3E.safetensors`; capitals too, because some file systems do not
//! tell them apart). What a file holds is not looked at here.
//!
//! Two names with one [`key`] are one name, and only one embedding is kept by it. Earlier versions kept several: of those the
//! one that is spelled as it is asked for is meant, else the first in order.
//!
//! Nothing is ever lost: an embedding that is removed or replaced goes to the folder `removed/` under a name of its own
//! and stays there until the user deletes it. Files appear whole or not at all.

mod name;
mod named;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use unicode_normalization::UnicodeNormalization;

use self::name::{encode, token_of};
pub use self::named::NamedEmbedding;
use crate::base::files::{file_name, make_folder, remove, sweep, sync_folder, write_whole};
use crate::base::lock::FileLock;
use crate::base::text::quoted;
use crate::formats::{Holds, endings};
use crate::text::name::refused;
use crate::text::scan::key;
use crate::{Error, Result};

/// Where removed embeddings go.
const REMOVED: &str = "removed";

/// A user's folder of embeddings.
#[derive(Debug, Clone)]
pub struct Shelf(PathBuf);

/// An embedding on the shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEmbedding {
    /// Its name in prompts.
    pub token: String,
    /// Its file.
    pub path: PathBuf,
    /// The file's length in bytes.
    pub length: u64,
}

/// What [`Shelf::add`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addition {
    /// The embedding is new.
    New(PathBuf),
    /// It was there already, with the same bytes.
    Same(PathBuf),
    /// It replaced another of its name, which is now in `removed/`.
    Replaced {
        /// The embedding.
        path: PathBuf,
        /// What it replaced.
        old: PathBuf,
    },
}

/// What is on the shelf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The embeddings, by name.
    pub embeddings: Vec<StoredEmbedding>,
    /// Files that are not embeddings: with other names or endings. They are left alone.
    pub others: Vec<PathBuf>,
}

impl Shelf {
    /// The shelf in a folder, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The user's shelf: `words` in `PSEUDOWORD_HOME`, else in `pseudoword` in the user's data folder (`XDG_DATA_HOME`,
    /// `~/.local/share`; `~/Library/Application Support` on macOS, `APPDATA` on Windows).
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such folder.
    pub fn of_the_user(variable: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty()).map(PathBuf::from);
        let data = || {
            let (system, below) = if cfg!(target_os = "macos") {
                (None, "Library/Application Support")
            } else if cfg!(windows) {
                (set("APPDATA"), "AppData/Roaming")
            } else {
                (None, ".local/share")
            };
            // A relative path in XDG_DATA_HOME must be ignored (XDG Base Directory Specification).
            let xdg = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
            xdg.or(system).or_else(|| Some(home?.join(below))).map(|data| data.join("pseudoword"))
        };
        let place = set("PSEUDOWORD_HOME").or_else(data);
        let place = place
            .ok_or_else(|| Error::Usage("there is no folder for embeddings: set PSEUDOWORD_HOME to one".to_owned()))?;
        Ok(Self(place.join("words")))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Puts an embedding on the shelf. `file_name` is what its file was called; it decides the ending.
    ///
    /// # Errors
    /// [`Error::TokenTaken`] if another embedding of that name is there and `replace` is false, [`Error::BadToken`] for
    /// a name that cannot be a file's name, [`Error::Write`].
    pub fn add(&self, token: &str, bytes: &[u8], file_name: &str, replace: bool) -> Result<Addition> {
        let stem = encode(token).map_err(|reason| refused(token, reason))?;
        let name = file_name.to_ascii_lowercase();
        let promised = |ending: &&str| name.strip_suffix(*ending).is_some_and(|stem| stem.ends_with('.'));
        // Any ending will do if the name has none: files are recognised by their content.
        let ending = endings(Holds::Embedding).find(promised).unwrap_or("bin");
        let path = self.0.join(format!("{stem}.{ending}"));
        let _lock = self.lock()?;
        let there = self.get(token)?;
        if let Some(there) = &there {
            if there.length == bytes.len() as u64 && read(&there.path)? == bytes {
                return Ok(Addition::Same(there.path.clone()));
            }
            if !replace {
                return Err(Error::TokenTaken {
                    token: token.to_owned(),
                    reason: if there.token == token {
                        format!("another embedding of that name is in {}", there.path.display())
                    } else {
                        format!(
                            "another embedding of that name, {}, is in {}: prompts have no case",
                            there.token,
                            there.path.display()
                        )
                    },
                    suggestion: self.free(token),
                    instead: None,
                });
            }
        }
        // What a process left that was killed while it wrote.
        sweep(&self.0);
        // Whenever this stops, the name leads to the old embedding or to the new one, and the old one is still
        // somewhere.
        let old = there.as_ref().map(|there| self.keep_copy(&there.path)).transpose()?;
        write_whole(&path, bytes)?;
        if let Some(there) = there.filter(|there| there.path != path) {
            remove(&there.path)?;
            self.sync(&self.0)?;
        }
        Ok(match old {
            Some(old) => Addition::Replaced { path, old },
            None => Addition::New(path),
        })
    }

    /// Takes an embedding off the shelf, into `removed/`; returns where it is now. It has to be spelled as it is kept,
    /// in any canonical form of Unicode: these cannot be told apart by looking.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none of that name, listing those that exist.
    pub fn remove(&self, token: &str) -> Result<PathBuf> {
        let _lock = self.lock()?;
        match self.find(token, |name| name.nfc().eq(token.nfc()))? {
            Some(word) => {
                let place = self.put_away(&word.path)?;
                self.call_by_file(&word.token, None)?;
                Ok(place)
            }
            None => Err(self.unknown(token)),
        }
    }

    /// The embedding of a name, in any spelling.
    ///
    /// # Errors
    /// As for [`Shelf::list`].
    pub fn get(&self, token: &str) -> Result<Option<StoredEmbedding>> {
        let wanted = key(token);
        self.find(token, |name| key(name) == wanted)
    }

    /// The embedding that is spelled so, else the first whose name is the `same`.
    fn find(&self, token: &str, same: impl Fn(&str) -> bool) -> Result<Option<StoredEmbedding>> {
        if let Some(stored) = self.spelled(token)? {
            return Ok(Some(stored));
        }
        Ok(self.list()?.embeddings.into_iter().find(|stored| same(&stored.token)))
    }

    /// The embedding that is spelled so. Where files with several endings bear it, the first of those in `formats`.
    fn spelled(&self, token: &str) -> Result<Option<StoredEmbedding>> {
        let Ok(stem) = encode(token) else { return Ok(None) };
        for ending in endings(Holds::Embedding) {
            let path = self.0.join(format!("{stem}.{ending}"));
            match fs::metadata(&path) {
                Ok(about) if about.is_file() => {
                    return Ok(Some(StoredEmbedding { token: token.to_owned(), path, length: about.len() }));
                }
                Err(source) if !matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Err(Error::Read { path, source });
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The embedding of a name, which should be there.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none, listing those that exist.
    pub fn expect(&self, token: &str) -> Result<StoredEmbedding> {
        self.get(token)?.ok_or_else(|| self.unknown(token))
    }

    /// Everything on the shelf.
    ///
    /// # Errors
    /// [`Error::Read`] if the folder exists and cannot be read.
    pub fn list(&self) -> Result<Contents> {
        let failed = |source| Error::Read { path: self.0.clone(), source };
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::default()),
            entries => entries.map_err(failed)?,
        };
        let mut contents = Contents::default();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let Ok(about) = fs::metadata(&path) else { continue };
            let name = file_name(&path);
            if !about.is_file() || name.starts_with('.') {
                continue;
            }
            match token_of(&name) {
                // The same name twice, with two endings: what `get` finds counts.
                Some(token) if self.spelled(&token)?.is_some_and(|kept| kept.path == path) => {
                    contents.embeddings.push(StoredEmbedding { token, path, length: about.len() });
                }
                _ => contents.others.push(path),
            }
        }
        contents.embeddings.sort_by(|a, b| a.token.cmp(&b.token));
        contents.others.sort();
        Ok(contents)
    }

    fn unknown(&self, token: &str) -> Error {
        let names: Vec<String> =
            self.list().unwrap_or_default().embeddings.into_iter().map(|word| word.token).collect();
        let there =
            if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) };
        Error::Usage(format!("there is no embedding {} in {}; {there}", quoted(token), self.0.display()))
    }

    /// A similar name that is not in use.
    fn free(&self, token: &str) -> String {
        let numbered = |number: u32| match token.strip_suffix('>') {
            Some(start) => format!("{start}-{number}>"),
            None => format!("{token}-{number}"),
        };
        (2..100).map(numbered).find(|name| matches!(self.get(name), Ok(None))).unwrap_or_else(|| numbered(100))
    }

    /// One process at a time changes the shelf.
    fn lock(&self) -> Result<FileLock> {
        make_folder(&self.0)?;
        let path = self.0.join(".lock");
        let locked = FileLock::open(&path).and_then(|lock| lock.wait().map(|()| lock));
        locked.map_err(|source| Error::Write { path, source })
    }

    fn sync(&self, folder: &Path) -> Result<()> {
        sync_folder(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })
    }

    /// Moves a file into `removed/`.
    fn put_away(&self, path: &Path) -> Result<PathBuf> {
        let place = self.place_for(path)?;
        fs::rename(path, &place).map_err(|source| Error::Write { path: place.clone(), source })?;
        self.sync(&self.0.join(REMOVED))?;
        self.sync(&self.0)?;
        Ok(place)
    }

    /// Puts a second name of a file, or a copy where there are no such names, into `removed/`.
    fn keep_copy(&self, path: &Path) -> Result<PathBuf> {
        let place = self.place_for(path)?;
        if fs::hard_link(path, &place).is_err() {
            let bytes = read(path)?;
            write_whole(&place, &bytes)?;
        }
        self.sync(&self.0.join(REMOVED))?;
        Ok(place)
    }

    /// A free name in `removed/`, with the time in it.
    fn place_for(&self, path: &Path) -> Result<PathBuf> {
        let folder = self.0.join(REMOVED);
        make_folder(&folder)?;
        let name = file_name(path);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let mut number = 0;
        loop {
            let place = folder.join(format!("{now}-{number}-{name}"));
            if !place.exists() {
                return Ok(place);
            }
            number += 1;
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty one, and the folder that it is in.
    pub(super) fn shelf() -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("words"));
        (folder, shelf)
    }

    fn tokens(shelf: &Shelf) -> Vec<String> {
        shelf.list().unwrap().embeddings.into_iter().map(|word| word.token).collect()
    }

    #[test]
    fn words_come_and_go_and_nothing_is_lost() {
        let (_folder, shelf) = shelf();
        assert!(tokens(&shelf).is_empty());
        assert!(matches!(shelf.add("<cat>", b"one", "learned_embeds.bin", false).unwrap(), Addition::New(_)));
        assert!(matches!(shelf.add("<Dog>", b"two", "x.SafeTensors", false).unwrap(), Addition::New(_)));
        assert!(matches!(shelf.add("<cat>", b"one", "other.pt", false).unwrap(), Addition::Same(_)));
        assert_eq!(tokens(&shelf), ["<Dog>", "<cat>"]);
        let taken = shelf.add("<cat>", b"three", "x.pt", false).unwrap_err();
        assert!(matches!(&taken, Error::TokenTaken { suggestion, .. } if suggestion == "<cat-2>"), "{taken}");
        let Addition::Replaced { path, old } = shelf.add("<cat>", b"three", "x.pt", true).unwrap() else { panic!() };
        assert_eq!((fs::read(&path).unwrap(), fs::read(&old).unwrap()), (b"three".to_vec(), b"one".to_vec()));
        let removed = shelf.remove("<cat>").unwrap();
        assert_eq!(fs::read(removed).unwrap(), b"three");
        assert_eq!(tokens(&shelf), ["<Dog>"]);
        let gone = shelf.remove("<cat>").unwrap_err();
        assert_eq!(gone.kind(), crate::error::Kind::Usage);
        assert!(gone.to_string().contains("there are: <Dog>"), "{gone}");
    }

    #[test]
    fn a_replacement_with_another_ending_leaves_one_word_and_no_scraps() {
        let (_folder, shelf) = shelf();
        shelf.add("cat", b"one", "x.safetensors", false).unwrap();
        fs::write(shelf.folder().join(".1-1.tmp"), "killed").unwrap();
        assert!(matches!(shelf.add("cat", b"two", "x.bin", true).unwrap(), Addition::Replaced { .. }));
        assert_eq!(fs::read(shelf.expect("cat").unwrap().path).unwrap(), b"two");
        let mut names: Vec<_> = fs::read_dir(shelf.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".lock", "cat.bin", "removed"]);
    }

    #[test]
    fn strangers_are_left_alone() {
        let (_folder, shelf) = shelf();
        shelf.add("cat", b"one", "x.bin", false).unwrap();
        fs::write(shelf.folder().join("README.md"), "mine").unwrap();
        fs::write(shelf.folder().join("cat.pt"), "the same name").unwrap();
        let contents = shelf.list().unwrap();
        assert_eq!(contents.others, [shelf.folder().join("README.md"), shelf.folder().join("cat.pt")]);
        assert_eq!(fs::read(&shelf.expect("cat").unwrap().path).unwrap(), b"one");
    }

    #[test]
    fn one_name_is_one_embedding_in_every_spelling() {
        let (_folder, shelf) = shelf();
        shelf.add("<Cat>", b"one", "x.bin", false).unwrap();
        let taken = shelf.add("<cat>", b"two", "x.bin", false).unwrap_err();
        assert!(taken.to_string().contains("another embedding of that name, <Cat>, is in"), "{taken}");
        assert!(matches!(&taken, Error::TokenTaken { suggestion, .. } if suggestion == "<cat-2>"), "{taken}");
        assert!(matches!(shelf.add("<cat>", b"two", "x.bin", true).unwrap(), Addition::Replaced { .. }));
        assert_eq!(tokens(&shelf), ["<cat>"]);
        // As earlier versions left it.
        fs::write(shelf.folder().join(format!("{}.bin", encode("<Cat>").unwrap())), "one").unwrap();
        assert_eq!(tokens(&shelf), ["<Cat>", "<cat>"]);
        for (texts, meant) in [
            (&["a <cat>", "<CAT>"][..], "<cat>"),
            (&["a <CAT>", "no <Cat>"], "<Cat>"),
            (&["<CAT>"], "<Cat>"),
            (&["a <cat> and <Cat>"], "<Cat>"),
        ] {
            let named = shelf.named_in(texts, &|_, _| true).unwrap();
            let [NamedEmbedding { embedding, others, .. }] = &named[..] else { panic!("{named:?}") };
            assert_eq!((embedding.token.as_str(), others.len()), (meant, 1), "{texts:?}");
        }
        assert_eq!(shelf.expect("<CAT>").unwrap().token, "<Cat>", "as in prompts");
        assert!(shelf.remove("<CAT>").is_err());
        shelf.remove("<Cat>").unwrap();
        assert_eq!(tokens(&shelf), ["<cat>"]);
    }

    #[test]
    fn many_add_the_same_name_and_one_wins() {
        let (_folder, shelf) = shelf();
        let add = |bytes: u8| shelf.add("<cat>", &[bytes; 100], "x.bin", false);
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|bytes| scope.spawn(move || usize::from(add(bytes).is_ok()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
        assert_eq!(tokens(&shelf), ["<cat>"]);
    }

    #[test]
    fn the_users_shelf_is_found() {
        let at = |variables: &[(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Shelf::of_the_user(&find, Some(Path::new("/home/me"))).unwrap().folder().display().to_string()
        };
        assert_eq!(at(&[("PSEUDOWORD_HOME", "/p"), ("XDG_DATA_HOME", "/d")]), "/p/words");
        assert_eq!(at(&[("XDG_DATA_HOME", "/d")]), "/d/pseudoword/words");
        if cfg!(target_os = "linux") {
            assert_eq!(at(&[("XDG_DATA_HOME", "relative")]), "/home/me/.local/share/pseudoword/words");
        }
        assert!(Shelf::of_the_user(&|_| None, None).is_err());
    }
}
