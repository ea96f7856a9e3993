//! A second reader of torch files, written by others: what both read is the same, bit for bit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]
#![allow(dead_code, reason = "the corpus and the fixtures serve more tests than this one")]

#[path = "../build.rs"]
mod build;
#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../golden.rs"]
mod golden;

use half::{bf16, f16};
use pseudoword::embedding::{Container, read};
use pytorch_reader::{DType, PytorchReader, Tensor};

use corpus::corpus;
use golden::{fixture, fixtures, ours};

/// Where the repository begins.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// Every torch file that we read, by name.
fn files() -> Vec<(String, Vec<u8>)> {
    let fixtures = fixtures().into_iter().map(|name| (name.clone(), fixture(&name)));
    let odd = corpus().iter().map(|case| (format!("row {}, {}", case.row, case.what), case.bytes.clone()));
    fixtures.chain(ours()).chain(odd).collect()
}

/// The values as f32; none if they are of another type.
fn values(tensor: &Tensor) -> Option<Vec<u32>> {
    let bytes = tensor.read().ok()?;
    let bits = |value: f32| value.to_bits();
    Some(match tensor.dtype() {
        DType::F32 => bytes.as_chunks().0.iter().map(|b| bits(f32::from_le_bytes(*b))).collect(),
        DType::F16 => bytes.as_chunks().0.iter().map(|b| bits(f16::from_le_bytes(*b).to_f32())).collect(),
        DType::BF16 => bytes.as_chunks().0.iter().map(|b| bits(bf16::from_le_bytes(*b).to_f32())).collect(),
        DType::F64 => bytes.as_chunks().0.iter().map(|b| bits(f64::from_le_bytes(*b) as f32)).collect(),
        _ => return None,
    })
}

#[test]
fn another_reader_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("word.pt");
    let (mut same, mut refused) = (0, Vec::new());
    for (name, bytes) in files() {
        let Ok(reading) = read(&bytes, "word.pt") else { continue };
        if !matches!(reading.embeddings()[0].container, Container::Torch | Container::TorchLegacy) {
            continue;
        }
        std::fs::write(&path, &bytes).unwrap();
        let Ok(reader) = PytorchReader::new(&path) else {
            refused.push(name);
            continue;
        };
        let theirs: Vec<Vec<u32>> = reader.tensors().values().filter_map(values).collect();
        for part in reading.embeddings().iter().flat_map(|word| &word.encoders) {
            let bits: Vec<u32> = part.rows.iter().map(|value| value.to_bits()).collect();
            assert!(theirs.contains(&bits), "{name}: {} tensors, none of which is ours", theirs.len());
        }
        same += 1;
    }
    assert!(same > 60, "{same}");
    assert_eq!(refused, NOT_THEIRS);
}

/// What that reader does not take: bare tensors, big-endian files, modules and parameters made with NEWOBJ, nesting. Of
/// these torch reads all but the ParameterDict, and the same as we do (`golden.py oracle`).
const NOT_THEIRS: &[&str] = &[
    "legacy-compvis.pt",
    "old-legacy-compvis.pt",
    "raw.pt",
    "row 35, byteorder big",
    "row 41, an entry of 60 levels beside a word",
    "row 56, Parameter by NEWOBJ",
    "row 59, ParameterDict",
    "row 62, a raw tensor",
];
