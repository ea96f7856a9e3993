//! Warnings about embeddings that were learned on another model: where it is another, and only there.

use std::fs;
use std::path::PathBuf;

use half::f16;
use pseudoword::embedding::{Embedding, Layout, write};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::place::{Place, bits, copy_model, events, fixtures, read_word, succeeded, text, tiny};

/// A copy of the tiny model, with the weights of its U-Net changed.
fn copied(place: &Place, name: &str, change: impl Fn(&mut [u8])) -> PathBuf {
    let to = place.path(name);
    copy_model(&to);
    let weights = to.join("unet/diffusion_pytorch_model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    change(&mut bytes[data..]);
    fs::write(weights, bytes).unwrap();
    to
}

/// The tiny model as one file in the original layout (see `tests/engine/checkpoints.rs`), perhaps in half precision.
fn single(half: bool) -> Vec<u8> {
    let list = fs::read_to_string(fixtures().join("checkpoint-tiny-sd1.json")).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let read = |path: &str| fs::read(format!("{}/{path}", tiny())).unwrap();
    let files = [
        ("text_encoder", read("text_encoder/model.safetensors")),
        ("unet", read("unet/diffusion_pytorch_model.safetensors")),
        ("vae", read("vae/diffusion_pytorch_model.safetensors")),
    ];
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for entry in list["tensors"].as_array().unwrap() {
        let start = data.len();
        for of in entry["is"].as_array().unwrap() {
            let (part, name) = (of[0].as_str().unwrap(), of[1].as_str().unwrap());
            let (_, bytes) = files.iter().find(|(of, _)| *of == part).unwrap();
            let tensors = SafeTensors::deserialize(bytes).unwrap();
            // Names from before diffusers 0.12.
            let older = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
            let older = older.iter().fold(name.to_owned(), |name, (new, old)| {
                name.replace(&format!("attentions.0.{new}."), &format!("attentions.0.{old}."))
            });
            let names = [name.to_owned(), older, format!("text_model.{name}")];
            let tensor = names.iter().find_map(|name| tensors.tensor(name).ok()).unwrap();
            assert_eq!(tensor.dtype(), Dtype::F32);
            let numbers = tensor.data().as_chunks::<4>().0;
            if half {
                numbers.iter().for_each(|n| data.extend(f16::from_f32(f32::from_le_bytes(*n)).to_le_bytes()));
            } else {
                data.extend_from_slice(tensor.data());
            }
        }
        if data.len() > start {
            let about = json!({
                "dtype": if half { "F16" } else { "F32" }, "shape": entry["shape"], "data_offsets": [start, data.len()],
            });
            header.insert(entry["name"].as_str().unwrap().to_owned(), about);
        }
    }
    let text = Value::Object(header).to_string();
    [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes(), &data].concat()
}

/// A word as kohya writes it, which names the model's file by all digits of its hash.
fn kohya(place: &Place, name: &str, hash: &str) {
    let tensor = json!({"dtype": "F32", "shape": [1, 24], "data_offsets": [0, 96]});
    let header = json!({"__metadata__": {"ss_new_sd_model_hash": hash}, "emb_params": tensor}).to_string();
    let bytes = [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), &[0x3d; 96]].concat();
    place.file(name, &bytes);
}

/// Whether a picture with an embedding is warned about on a model.
#[track_caller]
fn warned(place: &Place, word: &str, model: &[&str]) -> bool {
    let word = format!("{word}=<w>");
    let arguments =
        ["generate", "a <w>", "--steps", "1", "--width", "64", "--height", "64", "--overwrite", "--json", "-e", &word];
    let output =
        place.command(&[&arguments, model].concat()).env("XDG_CACHE_HOME", place.path("cache")).output().unwrap();
    succeeded(&output);
    events(&output.stdout).iter().any(|event| event["code"] == "other-model")
}

#[test]
fn a_model_is_known_again_in_every_form() {
    let place = Place::new();
    let (plain, half) =
        (place.file("plain.safetensors", &single(false)), place.file("half.safetensors", &single(true)));
    let base = ["--base", &tiny()].map(str::to_owned);
    let file =
        |path: &str| -> Vec<String> { ["--model", path].into_iter().map(str::to_owned).chain(base.clone()).collect() };
    let folder = |path: &str| -> Vec<String> { vec!["--model".to_owned(), path.to_owned()] };
    // The last bit of each number: training of any kind changes more. And nothing of it, in another file.
    let other = copied(&place, "other", |data| data.chunks_mut(4).for_each(|number| number[2] ^= 8));
    let models = [
        ("folder", folder(&tiny())),
        ("plain", file(&plain)),
        ("half", file(&half)),
        ("other", folder(other.to_str().unwrap())),
    ];

    succeeded(&place.run_train(&["--steps", "1", "--captions", "off"]));
    let hash: String = Sha256::digest(fs::read(&plain).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    let a1111 = |name: &str, hash: &str| {
        let mut word = Embedding::new("w", 24, vec![0.1; 24]);
        word.metadata.insert("checkpoint-hash".to_owned(), hash.to_owned());
        place.file(name, &write(&word, Layout::A1111).unwrap());
    };
    a1111("same.pt", &hash);
    a1111("else.pt", "0123456789");
    kohya(&place, "kohya.safetensors", &hash);
    for (word, expected) in [
        ("run/learned_embeds.safetensors", [("folder", false), ("plain", false), ("half", false), ("other", true)]),
        ("same.pt", [("folder", false), ("plain", false), ("half", true), ("other", false)]),
        ("kohya.safetensors", [("folder", false), ("plain", false), ("half", true), ("other", false)]),
        ("else.pt", [("folder", false), ("plain", true), ("half", true), ("other", false)]),
    ] {
        for ((name, model), (of, expected)) in models.iter().zip(expected) {
            assert_eq!(*name, of);
            let model: Vec<&str> = model.iter().map(String::as_str).collect();
            assert_eq!(warned(&place, word, &model), expected, "{word} on {name}");
        }
    }
    for (word, expected) in [
        ("run/learned_embeds.safetensors", ["this model", "this model", "this model", "a different model"]),
        ("same.pt", ["cannot be told", "this model", "a different model", "cannot be told"]),
    ] {
        for ((name, model), expected) in models.iter().zip(expected) {
            let model: Vec<&str> = model.iter().map(String::as_str).collect();
            let mut inspect = place.command(&[&["inspect", word], &model[..]].concat());
            let said = inspect.env("XDG_CACHE_HOME", place.path("cache")).output().unwrap();
            let said = text(&said.stdout);
            assert!(said.contains(&format!("learned on    {expected}")), "{word} on {name}: {said}");
        }
    }
    // A run on a single file is repeated by its settings, too.
    let model: Vec<&str> = models[2].1.iter().map(String::as_str).collect();
    let more = [&["--out", "single", "--prediction-type", "v-prediction", "--captions", "off"], &model[..]].concat();
    succeeded(&place.run_train(&more));
    succeeded(&place.run(&["train", "--config", "single/settings.json", "--out", "again"]));
    let [first, again] =
        ["single", "again"].map(|run| read_word(&place.path(&format!("{run}/learned_embeds.safetensors"))));
    assert_eq!(bits(again.rows()), bits(first.rows()));
}
