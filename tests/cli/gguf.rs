//! Models in one GGUF file, as a user gives them.

use std::fs;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::gguf_file::{Q8_0, Tensor, tensors, written};
use crate::place::{Place, events, fixtures, mini_f16, read_word, refused, succeeded, text};

/// The mini model as one file in the original layout: its name, beside it the folder `half` in f16, which has its configuration.
fn single(place: &Place) -> String {
    succeeded(&place.run(&["models", "convert", &mini_f16(), "half", "--weights", "f16"]));
    let list = fs::read_to_string(fixtures().join("checkpoint-mini.json")).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let file = |path: &str| fs::read(place.path("half").join(path)).unwrap();
    let (text, unet, vae) = (
        file("text_encoder/model.safetensors"),
        file("unet/diffusion_pytorch_model.safetensors"),
        file("vae/diffusion_pytorch_model.safetensors"),
    );
    let [text, unet, vae] = [&text, &unet, &vae].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for entry in list["tensors"].as_array().unwrap() {
        let Some(of) = entry["is"].as_array().unwrap().first() else { continue };
        let (part, name) = (of[0].as_str().unwrap(), of[1].as_str().unwrap());
        let tensors = match part {
            "text_encoder" => &text,
            "unet" => &unet,
            _ => &vae,
        };
        let tensor = tensors.tensor(name).or_else(|_| tensors.tensor(&format!("text_model.{name}"))).unwrap();
        let begin = data.len();
        data.extend_from_slice(tensor.data());
        let dtype = format!("{:?}", tensor.dtype());
        let about = json!({"dtype": dtype, "shape": entry["shape"], "data_offsets": [begin, data.len()]});
        header.insert(entry["name"].as_str().unwrap().to_owned(), about);
    }
    let header = Value::Object(header).to_string();
    place.file("single.safetensors", &[&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat())
}

/// A picture of a model in one file, or in a folder.
fn generate(place: &Place, model: &str, weights: &str) -> Vec<u8> {
    let usual =
        ["generate", "a red apple", "--steps", "3", "--seed", "3", "--overwrite", "--out", "a.png", "--model", model];
    let base: &[&str] = if model.contains('.') { &["--base", "half"] } else { &[] };
    succeeded(&place.run(&[&usual[..], &["--weights", weights], base].concat()));
    image::open(place.path("a.png")).unwrap().to_rgb8().into_raw()
}

/// Decibels between two pictures.
fn likeness(one: &[u8], other: &[u8]) -> f64 {
    let squares = one.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
    10.0 * (255.0_f64.powi(2) * one.len() as f64 / squares).log10()
}

#[test]
fn a_gguf_file_is_used_as_the_safetensors_file_is() {
    let place = Place::new();
    let single = fs::read(single(&place)).unwrap();
    place.file("half.gguf", &written(&tensors(&single, false)));
    place.file("eight.gguf", &written(&tensors(&single, true)));
    let folder = generate(&place, "half", "file");
    assert!(
        generate(&place, "single.safetensors", "file") == folder && generate(&place, "half.gguf", "file") == folder
    );

    let eight = generate(&place, "eight.gguf", "file");
    let decibels = likeness(&eight, &folder);
    println!("{decibels:.1} dB");
    assert!(eight != folder && decibels > 30.0, "{decibels}");
    // Converted, what is in eight bits stays as it is, and the rest is as while loading.
    let quantised = generate(&place, "eight.gguf", "q8");
    succeeded(&place.run(&["models", "convert", "eight.gguf", "out", "--base", "half"]));
    assert!(generate(&place, "out", "file") == quantised, "a converted file is what it was");

    // A word is learned nearly as on the other file, and knows its own again.
    let learn = |model: &str, out: &str| {
        let quick = ["--steps", "2", "--seed", "5", "--json", "--captions", "off"];
        let output = place.run_train(&[&quick[..], &["--model", model, "--base", "half", "--out", out]].concat());
        succeeded(&output);
        let losses = events(&output.stdout).into_iter().filter(|event| event["event"] == "step");
        losses.map(|event| event["loss"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let [half, same, near] =
        [("single.safetensors", "a"), ("half.gguf", "b"), ("eight.gguf", "c")].map(|(model, out)| learn(model, out));
    assert!(half.len() == 2 && half == same, "{half:?} {same:?}");
    assert!(half.iter().zip(&near).all(|(a, b)| a != b && (a - b).abs() < 0.02 * a), "{half:?} {near:?}");
    let word = "c/learned_embeds.safetensors";
    assert!(read_word(&place.path(word)).metadata["unet-samples"].starts_with("q8-"));
    let learned_on = |word: &str, model: &[&str]| {
        let said = place.run(&[&["inspect", word, "--model"], model].concat());
        let (said, why) = (text(&said.stdout).to_owned(), text(&said.stderr).to_owned());
        let line = said.lines().find(|line| line.contains("learned on"));
        line.unwrap_or_else(|| panic!("{said}{why}")).to_owned()
    };
    for (word, model, expected) in [
        (word, &["eight.gguf", "--base", "half"][..], "this model"),
        (word, &["half"], "cannot be told"),
        // More of it is in eight bits there.
        (word, &["out"], "cannot be told"),
        ("b/learned_embeds.safetensors", &["half"], "this model"),
    ] {
        let said = learned_on(word, model);
        assert!(said.contains(&format!("learned on    {expected}")), "{word} on {model:?}: {said}");
    }
}

#[test]
fn a_gguf_file_that_cannot_be_used_is_named() {
    let place = Place::new();
    let whole = fs::read(fixtures().join("tiny-sd2.gguf")).unwrap();
    let base = fixtures().join("tiny-sd2").display().to_string();
    let file = |bytes: &[u8]| place.file("model.gguf", bytes);
    let generate = |bytes: &[u8]| {
        let model = file(bytes);
        place.run(&["generate", "a cat", "--model", &model, "--base", &base, "--steps", "1", "--overwrite"])
    };
    succeeded(&generate(&whole));
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    for (bytes, parts) in [
        (
            with(4, &1u32.to_le_bytes()),
            ["model.gguf: a GGUF file of version 1", "save it again as version 3, or get the .safetensors"],
        ),
        (with(4, &3u32.to_be_bytes()), ["model.gguf: a big-endian GGUF file", "get the .safetensors"]),
        (with(8, &u64::MAX.to_le_bytes()), ["model.gguf: the header counts", "where at most 100000 are accepted"]),
        (with(24, &u64::MAX.to_le_bytes()), ["model.gguf: the header counts", "bytes in the name of a tensor"]),
        (whole[..whole.len() - 1000].to_vec(), ["model.gguf: the file is cut off", "download or copy it again"]),
        (whole[..1000].to_vec(), ["model.gguf: the file is cut off", "download or copy it again"]),
        (whole[..3].to_vec(), ["model.gguf", "it has only 3 bytes"]),
    ] {
        refused(&generate(&bytes), 3, &parts);
    }
    // Where the type of the first tensor in q8_0 is, and its data.
    let name = b"model.diffusion_model.input_blocks.1.0.emb_layers.1.weight";
    let at = whole.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let (kind, place_at) = (at + 4 + 16, at + 4 + 16 + 4);
    assert_eq!(whole[kind], Q8_0 as u8);
    let q4_1_of_another_length = with(kind, &3u32.to_le_bytes());
    refused(&generate(&q4_1_of_another_length), 3, &["model.gguf: the tensor ", "was expected"]);
    refused(&generate(&with(kind, &77u32.to_le_bytes())), 3, &["emb_layers", "is of type 77, which is not known here"]);
    refused(&generate(&with(place_at, &32u64.to_le_bytes())), 3, &["begins at byte", "was expected"]);
    let (start, header) =
        (u64::from_le_bytes(whole[place_at..place_at + 8].try_into().unwrap()) as usize, header_length(&whole));
    for scale in [half::f16::NAN, half::f16::INFINITY] {
        let broken = with(header + start, &scale.to_le_bytes());
        let parts = ["model.gguf", "NaN or infinite", "input_blocks.1.0.emb_layers.1.weight: 32 of"];
        refused(&generate(&broken), 3, &parts);
        refused(&place.run(&["models", "convert", "model.gguf", "out", "--base", &base]), 3, &parts);
        std::fs::remove_dir_all(place.path("out")).unwrap();
    }

    // Of another type, or not a whole model.
    let tensors = |safetensors: &[u8]| -> Vec<Tensor> { tensors(safetensors, false) };
    let unet = fs::read(fixtures().join("tiny-sd2/unet/diffusion_pytorch_model.safetensors")).unwrap();
    refused(&generate(&written(&tensors(&unet))), 3, &["model.gguf: this is a U-Net alone", "stable-diffusion.cpp"]);
    let flux = vec![("double_blocks.0.img_attn.qkv.weight".to_owned(), vec![2, 32], 2, vec![0; 36])];
    refused(&generate(&written(&flux)), 3, &["a model of the Flux family"]);
    // In a folder it is not looked for.
    let folder = place.path("folder");
    for part in ["scheduler", "text_encoder", "tokenizer", "unet", "vae"] {
        fs::create_dir_all(folder.join(part)).unwrap();
        for entry in fs::read_dir(fixtures().join("tiny-sd2").join(part)).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), folder.join(part).join(entry.file_name())).unwrap();
        }
    }
    fs::write(folder.join("unet/diffusion_pytorch_model.safetensors"), &whole).unwrap();
    refused(
        &place.run(&["generate", "a cat", "--model", "folder"]),
        3,
        &["this is a GGUF file, not a safetensors file"],
    );
}

/// Where the data of a file without metadata begin.
fn header_length(file: &[u8]) -> usize {
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    let mut at = 24;
    for _ in 0..number(8) {
        at += 8 + number(at);
        let dimensions = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        at += 4 + 8 * dimensions + 4 + 8;
    }
    at.next_multiple_of(32)
}
