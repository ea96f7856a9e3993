//! Models in one GGUF file, against the same model in safetensors.
//!
//! `tests/fixtures/*.gguf` are written by ggml's own Python package with stable-diffusion.cpp's names and types
//! (`tests/fixtures/reference/gguf_files.py`).

use std::ops::Range;
use std::rc::Rc;

use pseudoword::checkpoint::{Checkpoint, Options};
use pseudoword::source::{LocalFuture, Memory, Source};
use pseudoword::weights::{Storage, Stored};

use crate::checkpoints::{assembled, outputs, session, with_base};
use crate::fixtures::{cpu, deviation, open, path};
use crate::gguf_file::{F32, Q8_0, Tensor, becomes_q8_0, in_blocks, tensors, wide, written};

fn opened(bytes: Vec<u8>, options: &Options) -> pseudoword::Result<Checkpoint> {
    let mut memory = Memory::new("somewhere");
    memory.insert("model.gguf", bytes);
    pollster::block_on(Checkpoint::open(Rc::new(memory), "model.gguf", options))
}

/// The bytes of a safetensors file of these tensors.
fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, kind, bytes) in tensors {
        let begin = data.len();
        data.extend(bytes);
        let dtype = if *kind == F32 { "F32" } else { "F16" };
        let about = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), about);
    }
    let text = serde_json::Value::Object(header).to_string();
    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &data].concat()
}

#[test]
fn what_another_writer_put_into_blocks_is_what_it_stands_for() {
    for (file, model) in [("tiny-sd2.gguf", "tiny-sd2"), ("tiny-sdxl-renamed.gguf", "tiny-sdxl")] {
        let file = std::fs::read(path(file)).unwrap();
        let mut count = 0;
        let stood_for: Vec<Tensor> = tensors(&assembled(model), false)
            .into_iter()
            .map(|(name, shape, kind, bytes)| {
                if !becomes_q8_0(&name, &shape) {
                    return (name, shape, kind, bytes);
                }
                count += 1;
                let values = wide(Q8_0, &in_blocks(&wide(kind, &bytes)));
                (name, shape, F32, values.into_iter().flat_map(f32::to_le_bytes).collect())
            })
            .collect();
        assert!(count > 10, "{count}");
        let expected = opened(safetensors(&stood_for), &with_base(model)).unwrap();
        let expected = outputs(&session(expected, Storage::F32).unwrap());
        let read = || opened(file.clone(), &with_base(model)).unwrap();
        assert_eq!(outputs(&session(read(), Storage::F32).unwrap()), expected, "{model}");
        // In eight bits, as it is in the file.
        let kept = session(read(), Storage::AsFile).unwrap();
        let bytes = pollster::block_on(kept.model().weight_bytes()).unwrap();
        assert_eq!(bytes.narrowest, Stored::Q8, "{model}");
        let floats = |all: &[Vec<u32>]| all.iter().flatten().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>();
        let deviation = deviation(&floats(&outputs(&kept)), &floats(&expected));
        assert!(deviation < 1e-4, "{model}: {deviation}");
        // Known again by what is in eight bits, and not taken for what that was made of.
        let samples = kept.model().unet_samples.clone().unwrap();
        assert!(samples.starts_with("q8-"), "{samples}");
        assert_eq!(session(read(), Storage::F32).unwrap().model().unet_samples, Some(samples));
    }
}

#[test]
fn floats_compute_what_they_compute_in_safetensors() {
    for model in ["tiny-sd1", "tiny-sd2", "tiny-sdxl"] {
        let folder = open(model, &cpu(), Some(Storage::AsFile));
        let file = opened(written(&tensors(&assembled(model), false)), &with_base(model)).unwrap();
        let file = session(file, Storage::AsFile).unwrap();
        assert_eq!(outputs(&file), outputs(&folder), "{model}");
        assert_eq!(file.model().unet_samples, folder.model().unet_samples, "{model}");
        let nearly = opened(written(&tensors(&assembled(model), true)), &with_base(model)).unwrap();
        let nearly = outputs(&session(nearly, Storage::Q8).unwrap());
        assert_ne!(nearly, outputs(&folder), "{model}");
    }
}

/// A file that says that it has a terabyte.
struct Endless(Vec<u8>);

impl Source for Endless {
    fn name(&self) -> String {
        "endless".to_owned()
    }

    fn length<'a>(&'a self, _path: &'a str) -> LocalFuture<'a, pseudoword::Result<Option<u64>>> {
        Box::pin(async { Ok(Some(1 << 40)) })
    }

    fn read<'a>(&'a self, _path: &'a str, range: Range<u64>) -> LocalFuture<'a, pseudoword::Result<Vec<u8>>> {
        assert!(range.end <= 16 << 20, "{range:?} is more than a header");
        let byte = |at: u64| self.0.get(at as usize).copied().unwrap_or(0);
        Box::pin(async move { Ok(range.map(byte).collect()) })
    }
}

#[test]
fn what_is_not_a_model_that_can_be_run_is_named() {
    let whole = tensors(&assembled("tiny-sd2"), true);
    let of = |change: &dyn Fn(&mut Vec<Tensor>)| {
        let mut tensors = whole.clone();
        change(&mut tensors);
        opened(written(&tensors), &with_base("tiny-sd2")).err().map(|error| error.to_string()).unwrap()
    };
    let keep = |tensors: &mut Vec<Tensor>, parts: &[&str]| {
        tensors.retain(|(name, ..)| parts.iter().any(|part| name.starts_with(part)))
    };
    // In another type, of which a block is as long as in q8_0 or not.
    let place = |tensors: &[Tensor]| {
        tensors.iter().position(|(name, _, kind, _)| *kind == Q8_0 && name.ends_with("ff.net.2.weight")).unwrap()
    };
    for (kind, bytes, called) in [(2, 18, "q4_0"), (7, 24, "q5_1"), (20, 18, "iq4_nl"), (39, 17, "mxfp4")] {
        let said = of(&|tensors| {
            let place = place(tensors);
            let blocks = tensors[place].3.len() / 34;
            (tensors[place].2, tensors[place].3) = (kind, vec![0; blocks * bytes]);
        });
        assert!(said.contains(&format!("ff.net.2.weight is {called}: ")) && said.contains("model.gguf"), "{said}");
    }
    // As ComfyUI-GGUF has it.
    let said = of(&|tensors| {
        keep(tensors, &["model.diffusion_model."]);
        tensors.iter_mut().for_each(|tensor| tensor.0 = tensor.0.replace("model.diffusion_model.", ""));
    });
    assert!(
        said.contains("a U-Net alone, as GGUF files for ComfyUI have it") && said.contains("stable-diffusion.cpp"),
        "{said}"
    );
    let said = of(&|tensors| keep(tensors, &["model.diffusion_model.", "first_stage_model."]));
    assert!(said.contains("without text encoder"), "{said}");
    // No name of ours is taken twice.
    let said = of(&|tensors| {
        let mut more = tensors[place(tensors)].clone();
        more.0 += ".scales";
        tensors.push(more);
    });
    assert!(said.contains("two of its weights are both"), "{said}");

    let endless = |bytes: &[u8]| {
        let (file, options) = (Rc::new(Endless(bytes.to_vec())), Options::default());
        let opened = pollster::block_on(Checkpoint::open(file, "model.gguf", &options));
        opened.err().map(|error| error.to_string()).unwrap()
    };
    let counts =
        |tensors: u64, keys: u64| [b"GGUF\x03\0\0\0", &tensors.to_le_bytes()[..], &keys.to_le_bytes()].concat();
    let said = endless(&counts(u64::MAX, 0));
    assert!(said.contains("tensors, where at most"), "{said}");
    // Tensors without a name, again and again.
    let said = endless(&counts(90_000, 0));
    assert!(said.contains("is in it twice"), "{said}");
    let long =
        [&counts(0, 1)[..], &1u64.to_le_bytes(), b"k", &8u32.to_le_bytes(), &(16u64 << 20).to_le_bytes()].concat();
    let said = endless(&long);
    assert!(said.contains("the header is longer than"), "{said}");
}
