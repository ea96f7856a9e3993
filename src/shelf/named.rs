//! Which kept embeddings a text names: by their own names, and by what else they may be called.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::name::encode;
use super::{Shelf, StoredEmbedding};
use crate::Result;
use crate::base::files::{make_folder, remove, write_whole};
use crate::text::aliases;
use crate::text::scan::{key, occurrences};

/// Where it stands what their files were called: a text for each that has another name.
const STEMS: &str = "stems";

/// An embedding that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedEmbedding {
    /// The embedding.
    pub embedding: StoredEmbedding,
    /// Others on the shelf that have the same name in another spelling, so that the text means this one only.
    pub others: Vec<String>,
    /// What its file was called when it was added, without the ending, where that says another name.
    pub stem: Option<String>,
}

impl Shelf {
    /// The embeddings whose names stand in texts, as the tokenizer will find them there: `cat` is meant neither by
    /// `<cat>`, if that is on the shelf too, nor by "category". One for each name; what several could also be called
    /// ([`aliases`]) names all of them. `is_free` tells whether another name than an own one counts, and whether it does alone,
    /// without `embedding:` before it.
    ///
    /// # Errors
    /// As for [`Shelf::list`].
    pub fn named_in(&self, texts: &[&str], is_free: &dyn Fn(&str, bool) -> bool) -> Result<Vec<NamedEmbedding>> {
        let words = self.list()?.embeddings;
        let stems: Vec<Option<String>> = words.iter().map(|word| self.stem_of(&word.token)).collect();
        let own: Vec<String> = words.iter().map(|word| key(&word.token)).collect();
        // Own names first, each by its number; behind them, other names.
        let mut names: Vec<String> = words.iter().map(|word| word.token.clone()).collect();
        let mut other: BTreeMap<String, (String, Vec<usize>)> = BTreeMap::new();
        for (number, (word, stem)) in words.iter().zip(&stems).enumerate() {
            let also = aliases::inside(&word.token).into_iter().chain(stem.as_deref());
            for name in also.filter(|name| !own.contains(&key(name))) {
                let alone = (stem.as_deref() == Some(name) && is_free(name, true)).then(|| name.to_owned());
                let prefixed = is_free(name, false).then(|| aliases::prefixed(name));
                for name in alone.into_iter().chain(prefixed) {
                    other.entry(key(&name)).or_insert_with(|| (name, Vec::new())).1.push(number);
                }
            }
        }
        let (also, of): (Vec<String>, Vec<Vec<usize>>) = other.into_values().unzip();
        names.extend(also);
        let mut named = BTreeMap::new();
        for text in texts {
            for (number, at) in occurrences(text, &names) {
                let meant = match number.checked_sub(words.len()) {
                    Some(other) => of[other].iter().map(|number| (false, *number)).collect(),
                    None => vec![(text[at] != *names[number], number)],
                };
                for candidate in meant {
                    let best = named.entry(own[candidate.1].clone()).or_insert(candidate);
                    *best = candidate.min(*best);
                }
            }
        }
        let with_others = |(name, (_, number)): (&String, &(bool, usize))| NamedEmbedding {
            embedding: words[*number].clone(),
            others: (0..words.len())
                .filter(|other| other != number && own[*other] == *name)
                .map(|other| words[other].token.clone())
                .collect(),
            stem: stems[*number].clone(),
        };
        Ok(named.iter().map(with_others).collect())
    }

    /// Where it stands what the file of an embedding was called.
    fn stem_path(&self, token: &str) -> Option<PathBuf> {
        encode(token).ok().map(|stem| self.0.join(STEMS).join(stem))
    }

    /// What the file of an embedding was called when it was added, if that could be another name of it. What cannot be read goes
    /// unmentioned: the embedding has its own name.
    fn stem_of(&self, token: &str) -> Option<String> {
        let stem = fs::read_to_string(self.stem_path(token)?).ok()?;
        aliases::is_name(&stem).then_some(stem)
    }

    /// Notes what the file of an embedding that was added is called, for prompts that call it so; none forgets it.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn call_by_file(&self, token: &str, stem: Option<&str>) -> Result<()> {
        let Some(path) = self.stem_path(token) else { return Ok(()) };
        match stem.filter(|stem| aliases::is_name(stem) && key(stem) != key(token)) {
            Some(stem) => {
                make_folder(&self.0.join(STEMS))?;
                write_whole(&path, stem.as_bytes())?;
            }
            None => remove(&path)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::shelf;

    #[test]
    fn a_prompt_names_words() {
        let (_folder, shelf) = shelf();
        for token in ["<cat>", "cat", "<cat>-2", "midj"] {
            shelf.add(token, token.as_bytes(), "x.bin", false).unwrap();
        }
        let named = |prompt| {
            let named = shelf.named_in(&[prompt], &|name, alone| !(alone && name == "apple")).unwrap().into_iter();
            named.map(|named| named.embedding.token).collect::<Vec<_>>()
        };
        assert_eq!(named("a photo of <cat>, midjourney"), ["<cat>"]);
        assert_eq!(named("a <cat> and a cat"), ["<cat>", "cat"]);
        assert_eq!(named("a <cat>-2"), ["<cat>-2"]);
        assert_eq!(named("a category"), [""; 0]);
        assert_eq!(named("a cat."), ["cat"]);
        assert_eq!(named("A CAT"), ["cat"], "as in prompts, which have no case");
    }

    #[test]
    fn a_prompt_names_words_by_their_files() {
        let (_folder, shelf) = shelf();
        for (token, stem) in
            [("inner", "FileStem"), ("<pea>", "Inner"), ("<a1>", "Plink"), ("<b2>", "plink"), ("<c>", "apple")]
        {
            shelf.add(token, token.as_bytes(), "x.bin", false).unwrap();
            shelf.call_by_file(token, Some(stem)).unwrap();
        }
        let named = |prompt| {
            let named = shelf.named_in(&[prompt], &|name, alone| !(alone && name == "apple")).unwrap().into_iter();
            named.map(|named| named.embedding.token).collect::<Vec<_>>()
        };
        assert_eq!(named("a filestem"), ["inner"]);
        assert_eq!(named("embedding:FILESTEM.pt"), ["inner"]);
        assert_eq!(named("embedding:pea, embedding:inner"), ["<pea>", "inner"], "an own name comes first");
        assert_eq!(named("a PLINK"), ["<a1>", "<b2>"], "whoever reads the prompt says that this is unclear");
        assert_eq!(named("an apple"), [""; 0]);
        assert_eq!(named("embedding:apple"), ["<c>"]);
        assert_eq!(named("pea, FileStems"), [""; 0]);
        // What goes takes the name of its file along, and a file that is nowhere is no name.
        shelf.remove("inner").unwrap();
        shelf.add("inner", b"other", "x.bin", false).unwrap();
        assert_eq!(named("a filestem"), [""; 0]);
        shelf.call_by_file("<c>", None).unwrap();
        assert_eq!(named("embedding:apple"), [""; 0]);
    }
}
