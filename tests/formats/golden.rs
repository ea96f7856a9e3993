//! Files by other programs, and their verdicts on ours. `golden.py` makes both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pseudoword::embedding::{
    Container, Embedding, Encoder, Format, Layout, Reading, Vectors, read, write, write_files,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Word {
    token: Option<String>,
    shapes: Vec<Vec<usize>>,
    bits: String,
}

fn folder() -> PathBuf {
    Path::new(crate::ROOT).join("tests/formats")
}

fn json<T: for<'de> Deserialize<'de>>(path: &str) -> T {
    serde_json::from_slice(&std::fs::read(folder().join(path)).unwrap()).unwrap()
}

pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("fixtures").join(name)).unwrap()
}

/// An embedding of SDXL's own sizes.
pub fn word(token: &str, vectors: usize) -> Embedding {
    let rows = |width: usize| values(vectors, width, 9);
    let metadata = [("steps", "500"), ("base-model", "sdxl"), ("init", "caf\u{e9} \u{1f98a}")];
    Embedding {
        token: token.to_owned(),
        encoders: vec![
            Vectors { encoder: Encoder::ClipL, width: 768, rows: rows(768) },
            Vectors { encoder: Encoder::ClipG, width: 1280, rows: rows(1280) },
        ],
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

/// Names of all fixtures.
pub fn fixtures() -> Vec<String> {
    json::<BTreeMap<String, serde_json::Value>>("fixtures/expected.json").into_keys().collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_other_programs_write_is_read_bit_for_bit() {
    let expected: BTreeMap<String, Vec<Word>> = json("fixtures/expected.json");
    assert!(expected.len() >= 40, "{}", expected.len());
    for (name, words) in expected {
        let reading = read(&fixture(&name), &name).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(reading.embeddings().len(), words.len(), "{name}");
        for (found, word) in reading.embeddings().iter().zip(words) {
            assert_eq!(found.token, word.token, "{name}");
            let shapes: Vec<Vec<usize>> = found.encoders.iter().map(|part| vec![part.count(), part.width]).collect();
            assert_eq!(shapes, word.shapes, "{name}");
            let bytes: Vec<u8> =
                found.encoders.iter().flat_map(|part| &part.rows).flat_map(|value| value.to_le_bytes()).collect();
            assert_eq!(hex(&bytes), word.bits, "{name}");
        }
    }
}

#[test]
fn what_files_say_about_their_words_is_carried_along() {
    let word = |name: &str| match read(&fixture(name), name).unwrap() {
        Reading::One(word) => word,
        Reading::Several(words) => panic!("{} words", words.len()),
    };
    let facts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let a1111 = word("a1111.pt");
    assert_eq!((a1111.format, a1111.container), (Format::A1111, Container::Torch));
    let model = [("base-model", "v1-5-pruned-emaonly"), ("checkpoint-hash", "81761151")];
    assert_eq!(a1111.metadata, facts(&[model.as_slice(), &[("steps", "500")]].concat()));
    for (picture, format) in [("picture-ztxt.png", Format::A1111Text), ("picture-pixels.png", Format::A1111Pixels)] {
        let picture = word(picture);
        assert_eq!((picture.format, picture.container), (format, Container::Png));
        assert_eq!(picture.metadata, facts(&[model.as_slice(), &[("steps", "7")]].concat()));
    }
    let kohya = word("kohya.safetensors");
    assert_eq!(kohya.format, Format::Kohya);
    assert_eq!(
        kohya.metadata,
        facts(&[("base-model", "v1-5-pruned"), ("checkpoint-hash", "e1441589a6f3"), ("steps", "1600")])
    );
    let formats = [
        ("diffusers.bin", Format::Diffusers, Container::Torch),
        ("legacy.bin", Format::Diffusers, Container::TorchLegacy),
        ("compvis.pt", Format::CompVis, Container::Torch),
        ("onetrainer.safetensors", Format::OneTrainer, Container::Safetensors),
        ("sdxl.safetensors", Format::Sdxl, Container::Safetensors),
        ("raw.pt", Format::Raw, Container::Torch),
    ];
    for (name, format, container) in formats {
        let word = word(name);
        assert_eq!((word.format, word.container), (format, container), "{name}");
    }
    assert_eq!(word("no-crc.bin").notes.len(), 1);
    assert!(word("diffusers.bin").notes.is_empty());
}

/// The same numbers as `values` in golden.py.
pub fn values(vectors: usize, width: usize, seed: i64) -> Vec<f32> {
    (0..(vectors * width) as i64).map(|i| (((i + 13 * seed) * 37 + 11) % 97 - 48) as f32 / 64.0).collect()
}

/// What we write for Python to read: names and bytes.
pub fn ours() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (vectors, width) in [(1, 768), (2, 768), (75, 768), (3, 1024), (16, 1280), (2, 32)] {
        let metadata = [("steps", "500"), ("base-model", "sd-v1-5"), ("init", "caf\u{e9} \u{1f98a}")];
        let word = Embedding {
            metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Embedding::new("<cat-toy>", width, values(vectors, width, 9))
        };
        for layout in Layout::ALL.into_iter().filter(|layout| layout.holds(1)) {
            let kind = layout.name().split(' ').next().unwrap_or_default();
            let name = format!("{kind}-{vectors}x{width}.{}", layout.extension());
            files.push((name, write(&word, layout).unwrap()));
        }
    }
    for vectors in [1, 2, 75] {
        let word = word("<cat-toy>", vectors);
        for (kind, layout) in [("sdxl", Layout::Safetensors), ("replicate", Layout::Replicate)] {
            let name = format!("{kind}-{vectors}x768+1280.{}", layout.extension());
            files.push((name, write(&word, layout).unwrap()));
        }
        let names = [format!("pair-{vectors}x768.safetensors"), format!("pair_2-{vectors}x1280.safetensors")];
        let pair = write_files(&word, Layout::Pair, "").unwrap();
        files.extend(names.into_iter().zip(pair).map(|(name, (_, bytes))| (name, bytes)));
    }
    files
}

/// Also writes the files for golden.py, into the folder PSEUDOWORD_WRITE.
#[test]
fn what_we_write_is_what_other_programs_were_shown_to_read() {
    let verdicts: BTreeMap<String, BTreeMap<String, String>> = json("verdicts.json");
    let ours = ours();
    if let Some(folder) = std::env::var_os("PSEUDOWORD_WRITE").map(|folder| PathBuf::from(folder).join("ours")) {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in &ours {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    assert_eq!(verdicts.len(), ours.len());
    for (name, bytes) in ours {
        let verdict = &verdicts[&name];
        assert_eq!(hex(&Sha256::digest(&bytes)), verdict["sha256"], "{name} has changed: run golden.py again");
        let readers: Vec<&String> = verdict.keys().filter(|key| *key != "sha256").collect();
        let wanted = match name.rsplit('.').next() {
            Some("safetensors") if name.contains('+') => 4,
            Some("safetensors") => 3,
            Some("pti") => 2,
            _ => 6,
        };
        assert_eq!(readers.len(), wanted, "{name}: {readers:?}");
        for reader in readers {
            assert_eq!(verdict[reader], "bit-equal", "{name}, {reader}");
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_reference() {
    let word = |metadata: &[(&str, &str)], token: &str| Embedding {
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Embedding::new(token, 768, vec![0.0; 768])
    };
    // Files that diffusers and A1111 were seen to load have these sizes, and pickles with these hashes.
    let bin = write(&word(&[], "<cat-toy>"), Layout::Bin).unwrap();
    assert_eq!(bin.len(), 3663);
    let pickle = "8f2b2a3ef8cee82a5afeb8ec022101fe1535b1ea08f4eb7931ff3c26c949889e";
    assert_eq!(hex(&Sha256::digest(&bin[64..214])), pickle);
    let pt = write(&word(&[("steps", "500")], "cat-toy"), Layout::A1111).unwrap();
    assert_eq!(pt.len(), 3791);
    let pickle = "0159d62789dc8adc6027e2b5af3b7069dd887a668393ee9baa6a7a474e51417a";
    assert_eq!(hex(&Sha256::digest(&pt[64..64 + 273])), pickle);
    // The file that this program has always written.
    let own = Embedding {
        metadata: BTreeMap::from([("steps".to_owned(), "3".to_owned()), ("init".to_owned(), "a \"b\"".to_owned())]),
        ..Embedding::new("<t>", 2, vec![1.0, -2.0])
    };
    let header = "{\"__metadata__\":{\"format\":\"pt\",\"pseudoword.init\":\"a \\\"b\\\"\",\"pseudoword.steps\":\"3\"},\
                  \"<t>\":{\"data_offsets\":[0,8],\"dtype\":\"F32\",\"shape\":[1,2]}}";
    let length = header.len().next_multiple_of(8);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(format!("{header:length$}").as_bytes());
    bytes.extend([1.0_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
    assert_eq!(own.to_safetensors(), bytes);
}

/// The seeds of the fuzz targets that fixtures themselves do not serve; PSEUDOWORD_BLESS=1 writes them.
#[test]
fn the_seeds_are_made_of_the_fixtures() {
    use pseudoword::embedding::zip::Archive;
    let seed = |path: PathBuf, bytes: &[u8]| {
        if std::env::var_os("PSEUDOWORD_BLESS").is_some() {
            std::fs::write(&path, bytes).unwrap();
        }
        assert!(std::fs::read(&path).is_ok_and(|there| there == bytes), "{}: PSEUDOWORD_BLESS=1", path.display());
    };
    let seeds = Path::new(crate::ROOT).join("fuzz/seeds");
    for name in ["a1111.pt", "compvis.pt", "diffusers.bin", "parameter.bin", "protocol4.bin", "raw.pt", "two-words.bin"]
    {
        let bytes = fixture(name);
        let archive = Archive::open(&bytes).unwrap();
        let record = |end: &str| archive.records().iter().find(|record| record.name.ends_with(end)).unwrap();
        let pickle = archive.read(record("/data.pkl"), 1 << 20).unwrap();
        let data = archive.read(record("/data/0"), 1 << 20).unwrap();
        seed(seeds.join("pickle").join(name), &pickle);
        let torch = [&(pickle.len() as u16).to_le_bytes(), pickle.as_ref(), data.as_ref()].concat();
        seed(seeds.join("torch").join(name), &torch);
    }
}
