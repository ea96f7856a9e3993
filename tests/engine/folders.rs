//! Models in folders: parts in shards and in the fp16 variant, and weights that are missing or have another shape.

use std::rc::Rc;

use pseudoword::Error;
use pseudoword::session::Session;
use pseudoword::source::Memory;
use pseudoword::weights::Storage;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::checkpoints::{FILES, outputs, session};
use crate::fixtures::{cpu, model_path, open};
use crate::kernels::with_tiles_and_blocks;

/// All files of a model's folder.
fn files_of(model: &str) -> Vec<(String, Vec<u8>)> {
    let root = model_path(model);
    let folders = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let named = |file: std::path::PathBuf| {
        (file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), std::fs::read(&file).unwrap())
    };
    files.map(named).collect()
}

#[test]
fn a_part_may_be_in_shards_and_in_the_fp16_variant() {
    for (model, file, called) in [
        ("tiny-sd1", FILES[1].1, "U-Net"),
        ("tiny-sdxl", FILES[3].1, "second text encoder"),
        ("tiny-sdxl", FILES[1].1, "U-Net"),
    ] {
        let expected = outputs(&open(model, &cpu(), Some(Storage::AsFile)));
        let (part, stem) = file.strip_suffix(".safetensors").unwrap().split_once('/').unwrap();
        let whole = std::fs::read(model_path(model).join(file)).unwrap();
        let tensors = SafeTensors::deserialize(&whole).unwrap();
        let shard = |take: &dyn Fn(usize) -> bool| {
            let mut names = tensors.names();
            names.sort_unstable();
            let chosen = names.into_iter().enumerate().filter(|(i, _)| take(*i));
            let views: Vec<_> = chosen.map(|(_, name)| (name.to_owned(), tensors.tensor(name).unwrap())).collect();
            let names: Vec<_> = views.iter().map(|(name, _)| name.clone()).collect();
            (names, safetensors::serialize(views, None).unwrap())
        };
        let folder = |variant: &str, second: &dyn Fn(usize) -> bool| {
            let mut memory = Memory::new("shards");
            for (path, bytes) in files_of(model).into_iter().filter(|(path, _)| path != file) {
                memory.insert(path.replace("vae/diffusion_pytorch_model.", "vae/diffusion_pytorch_model.fp16."), bytes);
            }
            let mut map = serde_json::Map::new();
            let first: &dyn Fn(usize) -> bool = &|i| i.is_multiple_of(3);
            for (number, take) in [(1, first), (2, second)] {
                let (names, bytes) = shard(take);
                let file = format!("{stem}{variant}-0000{number}-of-00002.safetensors");
                map.extend(names.into_iter().map(|name| (name, file.clone().into())));
                memory.insert(format!("{part}/{file}"), bytes);
            }
            let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
            memory.insert(format!("{part}/{stem}.safetensors.index{variant}.json"), index.into_bytes());
            memory
        };
        for variant in ["", ".fp16"] {
            let session = session(folder(variant, &|i| !i.is_multiple_of(3)), Storage::AsFile).unwrap();
            assert_eq!(outputs(&session), expected, "{model} {variant}");
        }
        let twice = session(folder("", &|i| i > 0), Storage::AsFile).err().unwrap().to_string();
        assert!(twice.contains(&format!("in another file of the {called}")), "{twice}");
        let missing = session(folder("", &|i| i > 10 && !i.is_multiple_of(3)), Storage::AsFile).err().unwrap();
        assert!(matches!(missing, Error::BadWeights { .. }) && missing.to_string().contains("missing: "), "{missing}");
    }
}

/// A folder with the named tensor of one of its files changed: none leaves it out.
fn folder_with(part: &str, name: &str, shape: Option<Vec<usize>>) -> Memory {
    let mut memory = Memory::new("tiny");
    for (entry, bytes) in files_of("tiny-sd1") {
        if !(entry.starts_with(part) && entry.ends_with(".safetensors")) {
            memory.insert(entry, bytes);
            continue;
        }
        let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
        let at = tensors.iter().position(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name}"));
        let (_, view) = tensors.remove(at);
        if let Some(shape) = shape.clone() {
            let length = shape.iter().product::<usize>() * view.data().len() / view.shape().iter().product::<usize>();
            let changed = TensorView::new(view.dtype(), shape, &view.data()[..length]).unwrap();
            tensors.push((name.to_owned(), changed));
        }
        memory.insert(entry, safetensors::serialize(tensors, None).unwrap());
    }
    memory
}

/// Also by the forms of hardware GPUs, which work on weights while they are loaded.
#[test]
fn a_missing_or_misshapen_weight_is_named_whatever_the_device_makes_of_the_others() {
    with_tiles_and_blocks(|place| {
        let block = "down_blocks.0.attentions.0.transformer_blocks.0";
        let text = "text_model.encoder.layers.0";
        for (part, name, shape) in [
            ("unet", format!("{block}.attn2.to_q.weight"), None),
            ("unet", format!("{block}.norm2.weight"), None),
            ("unet", format!("{block}.norm1.bias"), Some(vec![4])),
            ("unet", format!("{block}.ff.net.0.proj.bias"), None),
            ("unet", format!("{block}.ff.net.0.proj.weight"), Some(vec![4, 4])),
            ("unet", "down_blocks.0.resnets.0.time_emb_proj.bias".to_owned(), None),
            ("text_encoder", format!("{text}.self_attn.k_proj.bias"), None),
            ("text_encoder", format!("{text}.layer_norm2.weight"), None),
        ] {
            let wrong = if shape.is_some() { "shape" } else { "missing" };
            let source = Rc::new(folder_with(part, &name, shape));
            let session = pollster::block_on(Session::open_with(source, &place.device, None, &mut |_| ()));
            let error = session.err().unwrap_or_else(|| panic!("{name} is {wrong}, and nobody noticed"));
            assert!(matches!(error, Error::BadWeights { .. }), "{error}");
            assert!(error.to_string().contains(&format!("{wrong}: {name}")), "{error}");
        }
    });
}
