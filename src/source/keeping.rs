//! A model as the page keeps it: its files, which of them are written anew in eight bits together, and what room that takes.
//!
//! Compiled for browsers, and for tests.

use serde::{Deserialize, Serialize};

use crate::formats::{Holds, can_hold};
use crate::parts::Part;

/// A file of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its path in the model.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Of what its source has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where it is in the storage, if not at its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl StoredFile {
    /// One that is kept in a folder of the storage.
    pub fn elsewhere(folder: &str, path: String, bytes: u64, sha256: Option<String>) -> Self {
        Self { at: Some(format!("{folder}/{path}")), path, bytes, sha256 }
    }

    /// Where it is in the storage.
    pub fn place(&self) -> &str {
        self.at.as_deref().unwrap_or(&self.path)
    }
}

/// What the header of a model in one file says of it: all in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Foretold {
    /// Whether it is SDXL.
    pub sdxl: bool,
    /// Its pictures' side, in pixels.
    pub side: u32,
    /// What its files take in eight bits.
    pub eight: u64,
    /// Its weights on a GPU: in f16, and in eight bits.
    pub weights: [u64; 2],
}

/// The record beside a model's files: with `whole` they are all there and verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What the model is asked for by.
    pub name: String,
    /// The commit, or a hash of the list.
    pub version: String,
    /// As their source has them; once it is whole, as they are kept.
    pub files: Vec<StoredFile>,
    /// Whether all of it is there.
    pub whole: bool,
    /// Whether its weights are kept in eight bits.
    #[serde(default)]
    pub eight: bool,
    /// Whether its source has them so.
    #[serde(default)]
    pub packed: bool,
    /// Of a model in one file, what its header says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foretold: Option<Foretold>,
}

/// The files that are written anew together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Those of a part's weights.
    Part(Part),
    /// A model in one file, with what lies beside it.
    Whole,
}

impl Group {
    /// Which a file of weights is of; none for small ones.
    fn of(path: &str) -> Option<Self> {
        let weights = can_hold(path, Holds::Model) || path.contains(".safetensors.index.");
        weights.then(|| Part::of(path).map_or(Group::Whole, Group::Part))
    }

    /// The most bytes that files of so many come to, where nobody knows better.
    fn bytes(self, before: u64) -> u64 {
        match self {
            // 34 for every 64 of f16.
            Group::Part(part) if part != Part::Vae => before / 32 * 17 + before / 100,
            // The autoencoder stays as it is; of a model in one file, most may be in eight bits already.
            _ => before,
        }
    }
}

/// What of a group is in the storage.
#[derive(Debug, Clone, Copy, Default)]
pub struct There {
    /// Bytes of its files, as they come.
    pub came: u64,
    /// Whether it is written anew, whole.
    pub made: bool,
    /// Bytes of that which are there and not whole: they are written over.
    pub begun: u64,
}

impl Record {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether its weights come in another form than they are kept in.
    pub fn is_rewritten(&self) -> bool {
        self.eight && !self.packed
    }

    /// Its files in the order in which they are fetched, by their places in the list: those that are written anew by their groups, of
    /// which the largest is first, because then the storage holds the least beside it.
    pub fn groups(&self) -> Vec<(Option<Group>, Vec<usize>)> {
        let is_single = self.files.iter().any(|file| Group::of(&file.path) == Some(Group::Whole));
        let of = |path: &str| Group::of(path).or_else(|| is_single.then_some(Group::Whole));
        let mut groups: Vec<(Option<Group>, Vec<usize>)> = vec![(None, Vec::new())];
        for (i, file) in self.files.iter().enumerate() {
            let group = of(&file.path).filter(|_| self.is_rewritten());
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, files)) => files.push(i),
                None => groups.push((group, vec![i])),
            }
        }
        groups[1..].sort_by_key(|(_, files)| std::cmp::Reverse(self.bytes_of(files)));
        groups
    }

    /// Bytes of some of its files.
    fn bytes_of(&self, files: &[usize]) -> u64 {
        files.iter().map(|i| self.files[*i].bytes).sum()
    }

    /// How many bytes of it are here, and how many the storage needs at most beside what it holds, given what is there of each of
    /// [`Record::groups`], in their order.
    pub fn reckon(&self, there: &[There]) -> [u64; 2] {
        let (mut here, mut more, mut most) = (0, 0_i64, 0);
        for ((group, files), there) in self.groups().into_iter().zip(there) {
            let all = self.bytes_of(&files);
            let came = if there.made { all } else { there.came };
            here += came;
            more += (all - came) as i64;
            if let Some(group) = group.filter(|_| !there.made) {
                let known = self.foretold.as_ref().filter(|_| group == Group::Whole).map(|foretold| foretold.eight);
                let made = known.unwrap_or_else(|| group.bytes(all)).saturating_sub(there.begun) as i64;
                most = most.max(more + made);
                more += made - all as i64;
            }
            most = most.max(more);
        }
        [here, most as u64]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(files: &[(&str, u64)], foretold: Option<u64>) -> Record {
        let file = |(path, bytes): &(&str, u64)| StoredFile {
            path: (*path).to_owned(),
            bytes: *bytes,
            sha256: None,
            at: None,
        };
        Record {
            name: "someone/model".to_owned(),
            version: "1".to_owned(),
            files: files.iter().map(file).collect(),
            whole: false,
            eight: true,
            packed: false,
            foretold: foretold.map(|eight| Foretold { sdxl: false, side: 512, eight, weights: [0; 2] }),
        }
    }

    const TEXT: &str = "text_encoder/model.safetensors";
    const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
    const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

    #[test]
    fn what_is_written_anew_together_comes_together_and_the_largest_first() {
        let shards = ["unet/diffusion_pytorch_model-00001-of-00002.safetensors", UNET];
        let folder = [("unet/config.json", 1), (TEXT, 300), (shards[0], 200), (shards[1], 200), (VAE, 90)];
        let groups = record(&folder, None).groups();
        let parts = [Part::Unet, Part::TextEncoder, Part::Vae].map(|part| Some(Group::Part(part)));
        assert_eq!(groups.iter().map(|(group, _)| *group).collect::<Vec<_>>(), [&[None], &parts[..]].concat());
        assert_eq!(groups.iter().map(|(_, files)| files.len()).collect::<Vec<_>>(), [1, 2, 1, 1]);
        assert_eq!(groups[1].1, [2, 3]);
        // What lies beside a model in one file becomes a part of what is made of it, whichever kind of file that is.
        for name in ["model.gguf", "MODEL.GGUF", "model.safetensors"] {
            let groups = record(&[("unet/config.json", 1), (name, 9)], None).groups();
            assert_eq!(groups, [(None, vec![]), (Some(Group::Whole), vec![0, 1])], "{name}");
        }
        // What stays as it comes has no groups, in whichever form that is.
        for (eight, packed) in [(false, false), (true, true)] {
            assert_eq!(Record { eight, packed, ..record(&folder, None) }.groups(), [(None, vec![0, 1, 2, 3, 4])]);
        }
    }

    #[test]
    fn a_file_is_at_its_path_unless_it_is_elsewhere() {
        assert_eq!(record(&[(UNET, 9)], None).files[0].place(), UNET);
        let made = StoredFile::elsewhere("q8", UNET.to_owned(), 5, None);
        assert_eq!((made.place(), made.path.as_str()), ("q8/unet/diffusion_pytorch_model.safetensors", UNET));
    }

    #[test]
    fn room_is_what_the_fullest_moment_takes() {
        let folder = record(&[("unet/config.json", 10), (TEXT, 3200), (UNET, 32_000), (VAE, 1000)], None);
        let nothing = [There::default(); 4];
        // The U-Net twice: as it came, and in eight bits.
        let unet = 17_000 + 320;
        assert_eq!(folder.reckon(&nothing), [0, 10 + 32_000 + unet]);
        // Once that is made, the rest beside it: with the text encoder twice for a while.
        let made = There { made: true, ..There::default() };
        let text = 1700 + 32;
        assert_eq!(
            folder.reckon(&[There { came: 10, ..There::default() }, made, nothing[0], nothing[0]]),
            [32_010, 3200 + text,]
        );
        // What came is not asked for again, nor is the half of a file that is written once more.
        let begun = There { came: 32_000, made: false, begun: 9000 };
        assert_eq!(folder.reckon(&[nothing[0], begun, nothing[0], nothing[0]]), [32_000, 10 + unet - 9000]);
        // Longer than was foretold, it needs no more.
        let more = There { begun: 1 << 40, ..begun };
        assert_eq!(folder.reckon(&[nothing[0], more, made, made])[1], 10);
        assert_eq!(folder.bytes(), 36_210);
        // As it comes it is only that.
        let plain = Record { eight: false, ..folder };
        assert_eq!(plain.reckon(&[There { came: 3000, ..There::default() }]), [3000, 36_210 - 3000]);
    }

    #[test]
    fn of_one_file_it_is_known_what_it_takes_by_its_header_or_that_it_is_no_more_than_before() {
        let files = [("model.gguf", 1000)];
        assert_eq!(record(&files, None).reckon(&[There::default(); 2]), [0, 2000]);
        assert_eq!(record(&files, Some(700)).reckon(&[There::default(); 2]), [0, 1700]);
        let came = There { came: 1000, made: false, begun: 300 };
        assert_eq!(record(&files, Some(700)).reckon(&[There::default(), came]), [1000, 400]);
    }
}
