//! Model folders as other programs and other times have written them.

use std::fs;
use std::process::Output;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::place::{Place, copy_model, events, refused, succeeded, text};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";

/// A copy of the tiny model's folder.
fn copy(place: &Place, name: &str) -> String {
    copy_model(&place.path(name));
    name.to_owned()
}

/// Changes fields of a configuration.
pub fn edit(place: &Place, path: &str, changes: &Value) {
    let path = place.path(path);
    let mut fields: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        fields[name] = value.clone();
    }
    fs::write(path, fields.to_string()).unwrap();
}

/// The weights of a file: name, type, shape, bytes.
pub type Weight = (String, Dtype, Vec<usize>, Vec<u8>);

/// Changes weights of a file.
pub fn change(place: &Place, path: &str, with: impl FnOnce(&mut Vec<Weight>)) {
    let path = place.path(path);
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (_, about) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut weights: Vec<Weight> = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    with(&mut weights);
    let views = weights
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, about.metadata().clone()).unwrap()).unwrap();
}

/// Makes values of an f32 weight this number.
fn spoil(weights: &mut [Weight], name: &str, places: &[usize], value: f32) {
    let (.., bytes) = weights.iter_mut().find(|(other, ..)| other == name).unwrap();
    for place in places {
        bytes[4 * place..4 * place + 4].copy_from_slice(&value.to_le_bytes());
    }
}

fn generate(place: &Place, model: &str, more: &[&str]) -> Output {
    place.run(&[&["generate", "a cat", "--model", model, "--steps", "2", "--overwrite"], more].concat())
}

/// The texts of warnings with a code, of a job that succeeded with `--json`.
fn warned(output: &Output, code: &str) -> Vec<String> {
    succeeded(output);
    let events = events(&output.stdout).into_iter().filter(|event| event["code"] == code);
    events.map(|event| event["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sides_are_what_diffusers_makes_of_old_and_new_configurations() {
    let place = Place::new();
    for (name, changes, sides) in [
        ("old-32", json!({"sample_size": 32, "_diffusers_version": "0.3.0"}), [128, 128]),
        ("new-32", json!({"sample_size": 32, "_diffusers_version": "0.10.0"}), [64, 64]),
        ("oblong", json!({"sample_size": [8, 16], "_diffusers_version": "0.6.0"}), [16, 32]),
        ("whole", json!({"sample_size": 16.0, "_diffusers_version": "0.30.0", "layers_per_block": [2, 2]}), [32, 32]),
    ] {
        let model = copy(&place, name);
        edit(&place, &format!("{name}/unet/config.json"), &changes);
        let models = events(&place.run(&["models", "--model", &model, "--json"]).stdout);
        assert_eq!(models[1]["sides"], json!(sides), "{name}");
        if sides[0] < 64 {
            succeeded(&place.run(&["generate", "a cat", "--model", &model, "--steps", "1", "--overwrite"]));
            let [height, width] = sides;
            assert_eq!(image::image_dimensions(place.path("out.png")).unwrap(), (width, height), "{name}");
        }
    }
    let model = copy(&place, "three");
    edit(&place, "three/unet/config.json", &json!({"sample_size": [8, 8, 8]}));
    refused(&generate(&place, &model, &[]), 3, &["three/unet/config.json", "sample_size is [8,8,8]"]);
}

#[test]
fn weights_that_are_not_numbers_are_found_while_loading() {
    let place = Place::new();
    for (name, path, weight, places, value, line) in [
        ("unet", UNET, "conv_out.weight", &[3, 5][..], f32::NAN, "conv_out.weight: 2 of 288"),
        ("text", TEXT, "text_model.final_layer_norm.bias", &[0], f32::INFINITY, "final_layer_norm.bias: 1 of 24"),
        ("table", TEXT, "text_model.embeddings.token_embedding.weight", &[72_000], f32::NAN, ": 1 of 72840"),
        ("decoder", VAE, "decoder.conv_in.bias", &[1], f32::NEG_INFINITY, "decoder.conv_in.bias: 1 of 8"),
    ] {
        let model = copy(&place, name);
        change(&place, &format!("{name}/{path}"), |weights| spoil(weights, weight, places, value));
        refused(&generate(&place, &model, &[]), 3, &[&format!("{name}/{path}"), "NaN or infinite in 1 of", line]);
        // As f16 it would be kept wide, which must not count it twice.
        refused(&generate(&place, &model, &["--weights", "f16"]), 3, &["NaN or infinite in 1 of", line]);
    }
    let model = copy(&place, "encoder");
    change(&place, &format!("encoder/{VAE}"), |weights| spoil(weights, "encoder.conv_in.bias", &[0], f32::NAN));
    succeeded(&generate(&place, &model, &[]));
    refused(&place.run_train(&["--model", &model]), 3, &["encoder.conv_in.bias: 1 of 4"]);
    for name in ["unet", "text"] {
        refused(&place.run_train(&["--model", name]), 3, &["NaN or infinite"]);
    }
    // What is not used may be anything, and what f16 has no number for stays wide.
    let model = copy(&place, "unused");
    change(&place, &format!("unused/{TEXT}"), |weights| {
        let nothing = [f32::NAN.to_le_bytes(); 24 * 24].concat();
        weights.push(("text_projection.weight".to_owned(), Dtype::F32, vec![24, 24], nothing));
    });
    change(&place, &format!("unused/{UNET}"), |weights| spoil(weights, "conv_out.weight", &[0], 70_000.0));
    succeeded(&generate(&place, &model, &["--weights", "f16"]));
}

#[test]
fn counts_that_no_model_has_are_refused_and_long_lists_are_cut() {
    let place = Place::new();
    const MANY: u64 = 1_000_000_000;
    for (name, path, changes, what) in [
        ("padding", "unet/config.json", json!({"downsample_padding": 0}), "downsample_padding"),
        ("unet", "unet/config.json", json!({"layers_per_block": MANY}), "layers_per_block is 1000000000"),
        ("vae", "vae/config.json", json!({"layers_per_block": MANY}), "layers_per_block is 1000000000"),
        ("text", "text_encoder/config.json", json!({"num_hidden_layers": MANY}), "num_hidden_layers is 1000000000"),
        (
            "heads",
            "text_encoder/config.json",
            json!({"num_attention_heads": MANY}),
            "num_attention_heads is 1000000000",
        ),
    ] {
        let model = copy(&place, name);
        edit(&place, &format!("{name}/{path}"), &changes);
        refused(&generate(&place, &model, &[]), 3, &[&format!("{name}/{path}"), what]);
    }
    let model = copy(&place, "deep");
    edit(&place, "deep/text_encoder/config.json", &json!({"num_hidden_layers": 200}));
    let output = generate(&place, &model, &[]);
    refused(&output, 3, &["missing: ", "missing: and ", " more"]);
    assert!(text(&output.stderr).lines().count() < 30, "{}", text(&output.stderr));
}

#[test]
fn a_loss_that_is_no_number_from_the_start_is_not_blamed_on_the_learning_rate() {
    let place = Place::new();
    succeeded(&place.run_train(&["--record", "good", "--eval-every", "0"]));
    let bytes = fs::read(place.path("good")).unwrap();
    let (size, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let (from, to) = header.info("noise").unwrap().data_offsets;
    let mut poisoned = bytes.clone();
    for value in poisoned[8 + size + from..8 + size + to].chunks_exact_mut(4) {
        value.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    place.file("poisoned", &poisoned);
    let output = place.run_train(&["--replay", "poisoned", "--eval-every", "0", "--out", "bad"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("nothing had been learned yet") && !said.contains("lower learning rate"), "{said}");
}

#[test]
fn weights_are_found_under_the_names_of_variants() {
    let place = Place::new();
    for variant in ["non_ema", "bf16"] {
        let model = copy(&place, variant);
        let other = UNET.replace(".safetensors", &format!(".{variant}.safetensors"));
        fs::rename(place.path(&format!("{variant}/{UNET}")), place.path(&format!("{variant}/{other}"))).unwrap();
        let warnings = warned(&generate(&place, &model, &["--json"]), "weights");
        assert!(warnings.len() == 1 && warnings[0].contains(&other), "{warnings:?}");
    }
    let model = copy(&place, "pickle");
    fs::rename(place.path(&format!("pickle/{VAE}")), place.path("pickle/vae/diffusion_pytorch_model.bin")).unwrap();
    let parts = ["no autoencoder weights", "there is vae/diffusion_pytorch_model.bin", "save_pretrained"];
    refused(&generate(&place, &model, &[]), 3, &parts);
}

#[test]
fn weights_that_are_not_needed_are_passed_over_and_strange_ones_are_named() {
    let place = Place::new();
    let zeros = |name: &str| (name.to_owned(), Dtype::F32, vec![2, 2], vec![0; 16]);
    let model = copy(&place, "more");
    change(&place, &format!("more/{TEXT}"), |weights| weights.push(zeros("text_projection.weight")));
    change(&place, &format!("more/{UNET}"), |weights| {
        weights.extend([zeros("mid_block.attentions.0.proj_in.lora_A.weight"), zeros("somebody.else")]);
    });
    change(&place, &format!("more/{VAE}"), |weights| weights.push(zeros("loss.logvar")));
    let warnings = warned(&generate(&place, &model, &["--json"]), "weights");
    assert!(warnings.len() == 2 && warnings[0].contains("2 weights are not part of the model"), "{warnings:?}");
    assert!(warnings[1].contains("loss.logvar"), "{warnings:?}");
    // Once, although both halves of the autoencoder read the file.
    let output = place.run_train(&["--model", &model, "--resolution", "16", "--preview-every", "3", "--json"]);
    assert_eq!(warned(&output, "weights").len(), 2);

    // A part that is of another model than the configuration is not run.
    let model = copy(&place, "other");
    change(&place, &format!("other/{UNET}"), |weights| weights.push(zeros("down_blocks.1.resnets.7.conv1.weight")));
    refused(&generate(&place, &model, &[]), 3, &["does not fit its configuration", "unused: down_blocks.1.resnets.7"]);
    let model = copy(&place, "guided");
    change(&place, &format!("guided/{UNET}"), |weights| weights.push(zeros("time_embedding.cond_proj.weight")));
    refused(&generate(&place, &model, &[]), 3, &["takes the guidance as an input (LCM)"]);
    edit(&place, "guided/unet/config.json", &json!({"time_cond_proj_dim": 16}));
    refused(&generate(&place, &model, &[]), 3, &["time_cond_proj_dim (guidance-distilled models, LCM)"]);
    // Every name with a word before it.
    let model = copy(&place, "wrapped");
    change(&place, &format!("wrapped/{UNET}"), |weights| {
        weights.iter_mut().for_each(|(name, ..)| *name = format!("module.{name}"));
    });
    assert_eq!(warned(&generate(&place, &model, &["--json"]), "weights"), [""; 0]);
}

#[test]
fn a_file_of_a_folder_is_not_the_model() {
    let place = Place::new();
    let model = copy(&place, "model");
    for file in ["model_index.json", "unet/config.json", UNET, "tokenizer/vocab.json"] {
        let file = format!("{model}/{file}");
        refused(&generate(&place, &file, &[]), 3, &[&file, "a file of the model folder model: give the folder"]);
        refused(&generate(&place, "mini", &["--base", &file]), 2, &["--base is for"]);
    }
    // Near it, there are other things that may be given by mistake.
    refused(&generate(&place, "model/unet", &[]), 3, &["a part of the model folder model: give that one"]);
    let around = place.path("").display().to_string();
    refused(&generate(&place, &around, &[]), 3, &["there are models in it", "/model"]);
    fs::create_dir_all(place.path("models--owner--name/snapshots")).unwrap();
    refused(&generate(&place, "models--owner--name", &[]), 3, &["give its name, owner/name"]);
    place.file("files/one.safetensors", b"");
    refused(&generate(&place, "files", &[]), 3, &["give the file, files/one.safetensors"]);
    place.file("notes.json", b"{\"a\": 1, \"b\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}");
    refused(&generate(&place, "notes.json", &[]), 3, &["this is JSON text"]);
}

#[test]
fn channels_that_do_not_fit_are_called_what_they_are() {
    let place = Place::new();
    for (name, unet, vae, what) in [
        ("inpainting", json!({"in_channels": 9}), json!({}), "this is an inpainting model"),
        ("depth", json!({"in_channels": 5}), json!({}), "this is a depth model"),
        ("edits", json!({"in_channels": 8}), json!({}), "edits pictures"),
        (
            "newer",
            json!({}),
            json!({"latent_channels": 16}),
            "the autoencoder makes 16: they do not belong to one model",
        ),
        ("tiny", json!({}), json!({"_class_name": "AutoencoderTiny"}), "the class \"AutoencoderTiny\""),
    ] {
        let model = copy(&place, name);
        edit(&place, &format!("{name}/unet/config.json"), &unet);
        edit(&place, &format!("{name}/vae/config.json"), &vae);
        refused(&generate(&place, &model, &[]), 3, &[what]);
    }
}

#[test]
fn what_a_schedule_asks_a_sampler_for_is_done_or_said() {
    let place = Place::new();
    let model = copy(&place, "asks");
    let scheduler = "asks/scheduler/scheduler_config.json";
    let sampler = ["--sampler", "dpmpp2m", "--out"];
    succeeded(&generate(&place, &model, &[&sampler[..], &["plain.png"]].concat()));
    succeeded(&generate(&place, &model, &[&sampler[..], &["karras.png", "--karras"]].concat()));
    edit(&place, scheduler, &json!({"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true}));
    let output = generate(&place, &model, &[&sampler[..], &["asked.png", "--json"]].concat());
    assert_eq!(warned(&output, "scheduler"), [""; 0]);
    let [plain, karras, asked] =
        ["plain.png", "karras.png", "asked.png"].map(|name| fs::read(place.path(name)).unwrap());
    assert_eq!(asked, karras, "the pictures, and what they say about themselves");
    assert_ne!(asked, plain);
    // Samplers that have no such noise levels in diffusers either.
    succeeded(&generate(&place, &model, &["--sampler", "ddim"]));

    edit(
        &place,
        scheduler,
        &json!({"use_karras_sigmas": false, "solver_order": 3, "algorithm_type": "sde-dpmsolver++"}),
    );
    let warnings = warned(&generate(&place, &model, &[&sampler[..2], &["--json"]].concat()), "scheduler");
    assert!(warnings.len() == 2 && warnings.iter().any(|text| text.contains("solver_order 3")), "{warnings:?}");
    assert_eq!(warned(&generate(&place, &model, &["--sampler", "ddim", "--json"]), "scheduler"), [""; 0]);
}
