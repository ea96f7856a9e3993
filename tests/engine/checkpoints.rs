//! Models in one file, against the folders that they are made of.
//!
//! `checkpoint-*.json` say which names and shapes files in the original layout have, and what diffusers' own converters
//! make of each (`tests/fixtures/reference/checkpoints.py`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use burn::tensor::Tensor;
use pseudoword::Error;
use pseudoword::checkpoint::{Checkpoint, Family, Options};
use pseudoword::event::{Event, Part};
use pseudoword::model::{Loading, ModelConfig};
use pseudoword::ops::Var;
use pseudoword::schedule::PredictionType;
use pseudoword::session::Session;
use pseudoword::setting::Setting;
use pseudoword::source::{Folder, LocalFuture, Memory, Source};
use pseudoword::weights::{Header, Storage};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fixtures::{cpu, model_path, open, path, values};
use crate::models::conditions;

/// A tensor of a file in the original layout, and what it is.
#[derive(serde::Deserialize)]
struct Listed {
    name: String,
    shape: Vec<u64>,
    is: Vec<Is>,
}

/// Part, diffusers' name and first row; a fourth entry where rows are columns.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Is {
    Straight(String, String, u64),
    Turned(String, String, u64, String),
}

impl Is {
    fn parts(&self) -> (&str, &str, u64) {
        match self {
            Is::Straight(part, name, row) | Is::Turned(part, name, row, _) => (part, name, *row),
        }
    }

    fn is_turned(&self) -> bool {
        matches!(self, Is::Turned(.., how) if how == "transposed")
    }
}

fn listed(model: &str) -> Vec<Listed> {
    let text = std::fs::read_to_string(path(&format!("checkpoint-{model}.json"))).unwrap();
    let mut lists: BTreeMap<String, Vec<Listed>> = serde_json::from_str(&text).unwrap();
    lists.remove("tensors").unwrap()
}

/// A file with a header and no data: every four bytes of it say where in the file they are.
struct Sparse {
    head: Vec<u8>,
    length: u64,
    /// Values of eight bytes that are there.
    known: BTreeMap<u64, [u8; 8]>,
}

impl Sparse {
    fn new(tensors: &[(&str, &[u64])], metadata: Value) -> Self {
        Self::of(tensors.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec(), "F32")).collect(), metadata)
    }

    fn of(tensors: Vec<(String, Vec<u64>, &str)>, metadata: Value) -> Self {
        let (mut header, mut end) = (serde_json::Map::new(), 0u64);
        header.insert("__metadata__".to_owned(), metadata);
        for (name, shape, dtype) in tensors {
            let bytes = shape.iter().product::<u64>() * if dtype == "I64" { 8 } else { 4 };
            header.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": [end, end + bytes]}));
            end += bytes;
        }
        let mut text = Value::Object(header).to_string();
        text.push_str(&" ".repeat((4 - text.len() % 4) % 4));
        let mut head = (text.len() as u64).to_le_bytes().to_vec();
        head.extend(text.bytes());
        Self { length: head.len() as u64 + end, head, known: BTreeMap::new() }
    }
}

impl Source for Sparse {
    fn name(&self) -> String {
        "sparse".to_owned()
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, pseudoword::Result<Option<u64>>> {
        Box::pin(async move { Ok((path == "model.safetensors").then_some(self.length)) })
    }

    fn read<'a>(&'a self, _path: &'a str, range: Range<u64>) -> LocalFuture<'a, pseudoword::Result<Vec<u8>>> {
        // The largest is a matrix that has to be turned.
        assert!(range.end <= self.length && range.end - range.start < 8 << 20, "{range:?} is not to be read");
        Box::pin(async move {
            if let Some(value) = self.known.get(&range.start) {
                return Ok(value.to_vec());
            }
            let byte = |at: u64| match self.head.get(at as usize) {
                Some(byte) => *byte,
                None => ((at / 4) as u32).to_le_bytes()[(at % 4) as usize],
            };
            Ok(range.map(byte).collect())
        })
    }
}

fn opened(file: Sparse, options: &Options) -> pseudoword::Result<Checkpoint> {
    pollster::block_on(Checkpoint::open(Rc::new(file), "model.safetensors", options))
}

/// Parts of a model and their files in a folder.
pub(crate) const FILES: [(&str, &str); 4] = [
    ("text_encoder", "text_encoder/model.safetensors"),
    ("unet", "unet/diffusion_pytorch_model.safetensors"),
    ("vae", "vae/diffusion_pytorch_model.safetensors"),
    ("text_encoder_2", "text_encoder_2/model.safetensors"),
];

#[test]
fn every_weight_of_the_published_files_becomes_what_diffusers_makes_of_it() {
    for (model, family, weights) in [
        ("sd1", Family::Sd1, &[196, 686, 248][..]),
        ("sd2", Family::Sd2, &[372, 686, 248]),
        ("sdxl", Family::Sdxl, &[196, 1680, 248, 517]),
    ] {
        let listed = listed(model);
        let tensors: Vec<_> = listed.iter().map(|entry| (entry.name.clone(), entry.shape.clone(), "F32")).collect();
        let file = Sparse::of(tensors, Value::Null);
        let original = pollster::block_on(Header::read(&file, "model.safetensors", file.length)).unwrap();
        let checkpoint = opened(file, &Options::default()).unwrap();
        assert_eq!(checkpoint.family(), family);
        for ((part, path), count) in FILES.into_iter().zip(weights) {
            let length = pollster::block_on(checkpoint.length(path)).unwrap().unwrap();
            let header = pollster::block_on(Header::read(&checkpoint, path, length)).unwrap();
            let mut seen = BTreeSet::new();
            for from in &listed {
                let place = original.span(original.get(&from.name).unwrap());
                for (i, is) in from.is.iter().enumerate().filter(|(_, is)| is.parts().0 == part) {
                    let name = named(is);
                    check_place(&checkpoint, path, &header, from, (i, is), place.start);
                    seen.insert(name);
                }
            }
            let all: BTreeSet<String> = header.tensors().map(|entry| entry.name.clone()).collect();
            assert_eq!(all, seen, "{path} has the same weights");
            assert_eq!(all.len(), *count, "{path}");
        }
        assert!(checkpoint.notes().iter().all(|note| note.contains("velocity")), "{:?}", checkpoint.notes());
    }
}

/// What a weight is called in the file of its part.
fn named(is: &Is) -> String {
    let (part, name, _) = is.parts();
    let is_inside = part.starts_with("text_encoder") && !name.starts_with("text_projection");
    if is_inside { format!("text_model.{name}") } else { name.to_owned() }
}

/// Whether the first and the last value of a weight, and one in between, are those of the real file, where each says its place.
fn check_place(checkpoint: &Checkpoint, path: &str, header: &Header, from: &Listed, (i, is): (usize, &Is), start: u64) {
    let (name, (_, _, row)) = (named(is), is.parts());
    let entry = header.get(&name).unwrap_or_else(|| panic!("{path} has no {name}"));
    let rows = from.shape[0] / from.is.len() as u64;
    assert_eq!((entry.shape[0], row), (rows, i as u64 * rows), "{name}");
    let elements = |shape: &[u64]| shape.iter().product::<u64>();
    assert_eq!(elements(&entry.shape), elements(&from.shape) / from.is.len() as u64, "{name}");
    let at = header.span(entry);
    let columns = elements(&from.shape[1..]);
    let first = start + row * 4 * columns;
    let mut places = vec![(at.start, first), (at.end - 4, first + (at.end - at.start) - 4)];
    if is.is_turned() {
        places.extend([(at.start + 4, first + 4 * columns), (at.start + 4 * rows, first + 4)]);
    } else if at.end - at.start > 4 {
        places.push((at.start + 4, first + 4));
    }
    for (here, there) in places {
        let bytes = pollster::block_on(checkpoint.read(path, here..here + 4)).unwrap();
        assert_eq!(bytes, ((there / 4) as u32).to_le_bytes(), "{name} is elsewhere");
    }
}

/// The file of a small model in the original layout, made of its folder.
pub(crate) fn assembled(model: &str) -> Vec<u8> {
    let mut files = Vec::new();
    for (part, file) in FILES {
        files.extend(std::fs::read(model_path(model).join(file)).ok().map(|bytes| (part, bytes)));
    }
    let parsed: Vec<_> = files.iter().map(|(part, bytes)| (*part, SafeTensors::deserialize(bytes).unwrap())).collect();
    let find = |part: &str, name: &str| {
        let (_, tensors) = parsed.iter().find(|(of, _)| *of == part).unwrap();
        // Names from before diffusers 0.12.
        let old = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
        let older = old.iter().fold(name.to_owned(), |name, (new, old)| {
            name.replace(&format!("attentions.0.{new}."), &format!("attentions.0.{old}."))
        });
        let prefixed = format!("text_model.{name}");
        let tensor = [name, older.as_str(), prefixed.as_str()].into_iter().find_map(|name| tensors.tensor(name).ok());
        let tensor = tensor.unwrap_or_else(|| panic!("{model} has no {name}"));
        (format!("{:?}", tensor.dtype()), tensor.data().to_vec())
    };
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    // Backwards, so that neither the order nor the place in the file can be what makes it work.
    for entry in listed(model).into_iter().rev().filter(|entry| !entry.is.is_empty()) {
        let (start, mut dtype) = (data.len(), String::new());
        for is in &entry.is {
            let (part, name, _) = is.parts();
            let (of, bytes) = find(part, name);
            let bytes = if is.is_turned() { turned(&bytes, entry.shape[1] as usize) } else { bytes };
            (dtype, data) = (of, [data, bytes].concat());
        }
        let about = json!({"dtype": dtype, "shape": entry.shape, "data_offsets": [start, data.len()]});
        header.insert(entry.name, about);
    }
    let text = Value::Object(header).to_string();
    [(text.len() as u64).to_le_bytes().to_vec(), text.into_bytes(), data].concat()
}

/// A square matrix with its columns as rows.
fn turned(bytes: &[u8], side: usize) -> Vec<u8> {
    let size = bytes.len() / (side * side);
    let value = |i: usize| &bytes[(i % side * side + i / side) * size..][..size];
    (0..side * side).flat_map(|i| value(i).to_vec()).collect()
}

pub(crate) fn single(model: &str, options: &Options) -> pseudoword::Result<Checkpoint> {
    let mut memory = Memory::new("somewhere");
    memory.insert("tiny.safetensors", assembled(model));
    pollster::block_on(Checkpoint::open(Rc::new(memory), "tiny.safetensors", options))
}

pub(crate) fn with_base(model: &str) -> Options {
    Options { base: Some(Rc::new(Folder::new(model_path(model)))), prediction: None }
}

/// Everything that a model computes, bit by bit.
pub(crate) fn outputs(session: &Session) -> Vec<Vec<u32>> {
    let (model, device) = (session.model(), &session.model().device);
    let prompts = [session.tokenizers().prompt("a photo of a cat!")];
    let rows = Var::constant(Tensor::zeros([1, model.config.word_width()], device));
    let given = conditions(model, &prompts, &rows, false);
    let ramp = |count: usize| {
        Tensor::<1>::from_floats((0..count).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect::<Vec<_>>().as_slice(), device)
    };
    let latents = ramp(8 * 8 * 4).reshape([1, 8, 8, 4]);
    let noise = model.unet.forward(&latents, &[400.0], &given, false).into_value();
    let side = 8 * model.config.vae.pixels_per_latent();
    let encoder = pollster::block_on(model.encoder(&mut |_| ())).unwrap();
    let encoded = encoder.encode(&ramp(side * side * 3).reshape([1, side, side, 3])).mean;
    let decoder = pollster::block_on(model.decoder(&mut |_| ())).unwrap();
    let mut all =
        vec![values(given.states.into_value()), values(noise), values(decoder.decode(&latents)), values(encoded)];
    all.extend(given.added.map(|(vector, _)| values(vector.into_value())));
    all.into_iter().map(|values| values.into_iter().map(f32::to_bits).collect()).collect()
}

pub(crate) fn session(source: impl Source + 'static, storage: Storage) -> pseudoword::Result<Session> {
    pollster::block_on(Session::open_with(Rc::new(source), &cpu().device, Some(storage), &mut |_| ()))
}

#[test]
fn a_model_in_one_file_computes_what_its_folder_computes() {
    for model in ["tiny-sd1", "tiny-sd2", "tiny-sdxl"] {
        for storage in [Storage::AsFile, Storage::F32, Storage::F16] {
            let folder = open(model, &cpu(), Some(storage));
            let file = session(single(model, &with_base(model)).unwrap(), storage).unwrap();
            assert_eq!(outputs(&file), outputs(&folder), "{model} {storage:?}");
            assert_eq!(file.model().config.scheduler, folder.model().config.scheduler);
            assert_eq!(file.model().config.force_zeros, folder.model().config.force_zeros);
        }
    }
}

/// Files, and what was read of them.
struct Watched {
    files: Rc<dyn Source>,
    read: RefCell<Vec<(String, Range<u64>)>>,
}

impl Source for Watched {
    fn name(&self) -> String {
        self.files.name()
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, pseudoword::Result<Option<u64>>> {
        self.files.length(path)
    }

    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, pseudoword::Result<Vec<u8>>> {
        self.read.borrow_mut().push((path.to_owned(), range.clone()));
        self.files.read(path, range)
    }
}

#[test]
fn a_unet_is_hashed_while_it_is_streamed_and_each_byte_is_read_once() {
    const WINDOW: u64 = 64 << 10;
    let folder = |model: &str| -> Rc<dyn Source> { Rc::new(Folder::new(model_path(model))) };
    let single = |model: &str| -> Rc<dyn Source> { Rc::new(single(model, &with_base(model)).unwrap()) };
    for (files, storage) in [
        (folder("tiny-sd1"), Storage::AsFile),
        (folder("tiny-sd2"), Storage::F32),
        (folder("mini"), Storage::F16),
        (single("tiny-sd1"), Storage::F16),
        (single("tiny-sd2"), Storage::AsFile),
    ] {
        let (name, path) = (files.name(), FILES[1].1);
        let length = pollster::block_on(files.length(path)).unwrap().unwrap();
        let bytes = pollster::block_on(files.read(path, 0..length)).unwrap();
        let (place, mut quiet) = (cpu(), |_| ());
        let plain = Session::open_with(files.clone(), &place.device, Some(storage), &mut quiet);
        let plain = outputs(&pollster::block_on(plain).unwrap());

        let watched = Rc::new(Watched { files, read: RefCell::default() });
        let loading = Loading { storage: Some(storage), hash: true, ..Loading::default() };
        let mut told = Vec::new();
        let session = pollster::block_on(Session::load(watched.clone(), &place.device, loading, &mut |event| {
            if let Event::Load { part: Part::Unet, done, total } = event {
                told.push((done, total));
            }
        }));
        let session = session.unwrap();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(session.model().unet_hash.as_ref(), Some(&hash), "{name}");
        assert_eq!(outputs(&session), plain, "{name}");
        let total = told[0].1;
        assert_eq!(told, (1..=total).map(|done| (done, total)).collect::<Vec<_>>(), "{name}");

        // Besides all bytes once: the header, twice for its own sake, the windows of the model's fingerprint, and samples
        // of each weight.
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap());
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let samples =
            |view: &safetensors::tensor::TensorView<'_>| view.data().len().min(64 * view.dtype().bitsize() / 8) as u64;
        let samples: u64 = tensors.tensors().iter().map(|(_, view)| samples(view)).sum();
        let windows: u64 = (0..8).map(|part| length * part / 8).map(|from| length.min(from + WINDOW) - from).sum();
        let read = watched.read.borrow();
        let read: u64 = read.iter().filter(|(of, _)| of == path).map(|(_, range)| range.end - range.start).sum();
        assert_eq!(read, 2 * header + samples + length + windows, "{name}");
    }
}

#[test]
fn weights_in_half_precision_change_little() {
    let as_file = open("tiny-sd1", &cpu(), Some(Storage::AsFile));
    let half = open("tiny-sd1", &cpu(), Some(Storage::F16));
    let (exact, near) = (outputs(&as_file), outputs(&half));
    assert_ne!(exact, near);
    for (exact, near) in exact.iter().zip(&near) {
        let floats = |bits: &[u32]| bits.iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>();
        let deviation = crate::fixtures::deviation(&floats(near), &floats(exact));
        assert!(deviation < 5e-3, "{deviation}");
    }
}

#[test]
fn sizes_that_are_not_a_published_models_need_a_base() {
    let error = single("tiny-sd1", &Options::default()).err().unwrap();
    assert!(
        matches!(error, Error::BadFile { .. }) && error.to_string().contains(&Setting::Base.to_string()),
        "{error}"
    );
    let empty = Options { base: Some(Rc::new(Memory::new("empty"))), prediction: None };
    let error = single("tiny-sd1", &empty).err().unwrap();
    assert!(matches!(error, Error::ModelPartMissing { .. }), "{error}");
    let said = Options { prediction: Some(PredictionType::VPrediction), ..with_base("tiny-sd1") };
    let config = pollster::block_on(ModelConfig::read(&single("tiny-sd1", &said).unwrap())).unwrap();
    assert_eq!(config.scheduler.prediction_type, PredictionType::VPrediction);
}

#[test]
fn what_a_2x_file_predicts_is_said_stated_or_usual() {
    use PredictionType::{Epsilon, VPrediction};
    let file = |metadata: Value, steps: Option<i64>| {
        let mut tensors: Vec<_> = listed("sd2").into_iter().map(|entry| (entry.name, entry.shape, "F32")).collect();
        tensors.insert(0, ("global_step".to_owned(), vec![], "I64"));
        let mut file = Sparse::of(tensors, metadata);
        let steps = steps.unwrap_or(140_000).to_le_bytes();
        file.known.insert(file.head.len() as u64, steps);
        file
    };
    let model_spec = |what: &str| json!({"modelspec.prediction_type": what});
    let said = |prediction| Options { base: None, prediction: Some(prediction) };
    for (file, options, expected, side, notes) in [
        (file(Value::Null, None), Options::default(), VPrediction, 768, 1),
        (file(Value::Null, Some(875_000)), Options::default(), Epsilon, 512, 0),
        (file(model_spec("epsilon"), None), Options::default(), Epsilon, 512, 0),
        (file(model_spec("v"), Some(875_000)), Options::default(), VPrediction, 768, 0),
        // The user against the file, which is worth a word.
        (file(model_spec("v"), None), said(Epsilon), Epsilon, 512, 1),
    ] {
        let checkpoint = opened(file, &options).unwrap();
        let config = pollster::block_on(ModelConfig::read(&checkpoint)).unwrap();
        assert_eq!((config.scheduler.prediction_type, config.resolution()), (expected, side));
        // Nothing is said where something stated it; a note about the step count would be noise.
        assert_eq!(checkpoint.notes().len(), notes, "{:?}", checkpoint.notes());
    }
}

#[test]
fn what_cannot_be_run_is_named() {
    const UNET: (&str, &[u64]) = ("model.diffusion_model.input_blocks.0.0.weight", &[8, 4, 3, 3]);
    const VAE: (&str, &[u64]) = ("first_stage_model.decoder.conv_in.weight", &[8, 4, 3, 3]);
    const CLIP_L: (&str, &[u64]) = ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", &[8]);
    const OPEN_CLIP_G: (&str, &[u64]) = ("conditioner.embedders.1.model.ln_final.bias", &[8]);
    const TEXT: (&str, &[u64]) = ("cond_stage_model.transformer.text_model.final_layer_norm.bias", &[8]);
    let inputs = |channels: &'static [u64]| (UNET.0, channels);
    for (tensors, expected) in [
        (vec![("lora_unet_down_blocks_0.lora_up.weight", &[4u64, 4][..])], "a LoRA"),
        (vec![("unet.down_blocks.0.lora_A.weight", &[4, 4])], "a LoRA"),
        (vec![("control_model.input_hint_block.0.weight", &[4, 4])], "a ControlNet"),
        (vec![UNET, VAE, CLIP_L], "without second text encoder: get a file that has U-Net, both text encoders"),
        (vec![UNET, VAE, ("conditioner.embedders.0.model.ln_final.bias", &[4])], "SDXL's refiner"),
        (vec![UNET, VAE, CLIP_L, OPEN_CLIP_G, ("edm_mean", &[4])], "Playground v2.5"),
        (vec![UNET, VAE, CLIP_L, OPEN_CLIP_G, ("edm_vpred.sigma_max", &[1])], "CosXL"),
        (vec![inputs(&[8, 9, 3, 3]), VAE, CLIP_L, OPEN_CLIP_G], "an inpainting model"),
        (vec![inputs(&[8, 8, 3, 3]), VAE, CLIP_L, OPEN_CLIP_G], "InstructPix2Pix"),
        (vec![UNET, VAE, CLIP_L, OPEN_CLIP_G], "a checkpoint of unusual sizes"),
        (vec![UNET, VAE, ("conditioner.embedders.0.open_clip.model.x", &[4])], "another family: only"),
        (vec![UNET, VAE, TEXT, ("model.diffusion_model.label_emb.0.0.weight", &[4, 4])], "unCLIP"),
        (vec![("model.diffusion_model.joint_blocks.0.x", &[4, 4])], "Stable Diffusion 3"),
        (vec![("double_blocks.0.img_attn.qkv.weight", &[4, 4])], "Flux"),
        (vec![UNET, TEXT], "without autoencoder"),
        (vec![UNET, VAE], "without text encoder"),
        (vec![UNET], "without text encoder and autoencoder"),
        (vec![inputs(&[8, 9, 3, 3]), VAE, TEXT], "an inpainting model"),
        (vec![inputs(&[8, 8, 3, 3]), VAE, TEXT], "InstructPix2Pix"),
        (vec![inputs(&[8, 16, 3, 3]), VAE, TEXT], "16 channels"),
        (vec![UNET, VAE, ("cond_stage_model.transformer.token_emb.weight", &[4, 4])], "another text encoder"),
        (
            vec![
                ("encoder.down.0.block.0.conv1.weight", &[4, 4, 3, 3]),
                ("decoder.up.0.block.0.conv1.weight", &[4, 4, 3, 3]),
            ],
            "an autoencoder (VAE) alone",
        ),
        (vec![("down_blocks.0.resnets.0.conv1.weight", &[4, 4, 3, 3])], "a U-Net alone"),
        (vec![("text_model.encoder.x", &[4, 4, 1])], "a text encoder alone"),
        (vec![("<my-cat>", &[2, 768])], &Setting::Embedding.to_string()),
        (vec![("emb_params", &[2, 768])], &Setting::Embedding.to_string()),
        (vec![("weight", &[4, 4, 4])], "not a Stable Diffusion model"),
        (vec![], "no tensors"),
    ] {
        let error = opened(Sparse::new(&tensors, Value::Null), &Options::default()).err().unwrap();
        let said = error.to_string();
        assert!(matches!(error, Error::BadFile { .. }) && said.contains(expected), "{expected}: {said}");
        assert!(said.starts_with("sparse/model.safetensors: this is "), "{said}");
    }
}
