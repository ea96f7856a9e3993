//! Models in one file, random models, and work that is too large for the machine.

use serde_json::json;

use crate::place::{Place, events, mini_f16, peach, refused, succeeded, text, tiny};

/// A safetensors file of tensors that are all zero.
fn zeros(tensors: &[(&str, &[u64])]) -> Vec<u8> {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let bytes = 4 * shape.iter().product::<u64>();
        header.insert((*name).to_owned(), json!({"dtype": "F32", "shape": shape, "data_offsets": [end, end + bytes]}));
        end += bytes;
    }
    let text = serde_json::Value::Object(header).to_string();
    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &vec![0; end as usize]].concat()
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let place = Place::new();
    for (name, bytes, parts) in [
        ("lora.safetensors", zeros(&[("lora_unet_x.lora_up.weight", &[4, 4])]), ["this is a LoRA", "--model takes"]),
        (
            "vae.safetensors",
            zeros(&[("encoder.down.0.block.0.conv1.weight", &[1, 1, 3, 3]), ("decoder.up.0.x", &[1, 1, 3, 3])]),
            ["an autoencoder (VAE) alone", "whole model"],
        ),
        ("model.ckpt", b"PK\x03\x04 and so on, for a long time".to_vec(), ["PyTorch pickle", "get the .safetensors"]),
        ("page.safetensors", b"<!DOCTYPE html><html></html>".to_vec(), ["a web page", "download"]),
    ] {
        let file = place.file(name, &bytes);
        refused(&place.run(&["generate", "a cat", "--model", &file]), 3, &parts);
    }
    refused(&place.run(&["generate", "a cat", "--model", "nothing.safetensors"]), 3, &["there is no file"]);
}

#[test]
fn options_of_single_files_are_refused_for_folders() {
    let place = Place::new();
    let folder = tiny();
    refused(&place.run(&["generate", "x", "--model", &folder, "--prediction-type", "epsilon"]), 2, &["single file"]);
    refused(&place.run(&["generate", "x", "--model", &folder, "--base", &folder]), 2, &["--base is for"]);
}

#[test]
fn work_that_is_too_large_is_refused_before_it_begins() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: only Linux says how much memory is free");
        return;
    }
    let place = Place::new();
    let many = ["--count", "10000", "--batch-size", "10000", "--width", "512", "--height", "512"];
    let model = mini_f16();
    let generate = ["generate", "a cat", "--quiet", "--model", &model];
    let output = |weights: &[&str]| place.run(&[&generate[..], &many, weights].concat());
    let needs = ["not enough memory: this needs", "are free", "--batch-size"];
    refused(&output(&["--weights", "f32"]), 8, &[&needs[..], &["--weights f16"]].concat());
    refused(&output(&["--weights", "f16"]), 8, &[&needs[..], &["--weights q8"]].concat());
    // Left open, narrower weights were tried already.
    let output = output(&[]);
    refused(&output, 8, &needs);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("--weights"));
    let (pictures, batch) = (peach(), ["--batch-size", "1000000", "--checkpointing", "off", "--preview-every", "0"]);
    let output = place.run(&[&["train", &pictures, "--token", "<t>", "--init", "apple"][..], &batch].concat());
    refused(&output, 8, &["for a training step", "--checkpointing on"]);
    assert!(!place.path("runs/t").exists(), "nothing is begun");
}

#[test]
fn a_random_model_is_measured_operation_by_operation() {
    let place = Place::new();
    let tiny = tiny();
    let output =
        place.run(&["bench", "--model", &tiny, "--random", "model", "--steps", "3", "--batch", "1", "--ops", "--json"]);
    succeeded(&output);
    let report = events(&output.stdout).pop().unwrap();
    assert!(report["model"].as_str().unwrap().ends_with("with random weights"), "{report}");
    for figure in ["peak_gflops", "bandwidth_gb_s", "unet_gflop"] {
        assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}: {report}");
    }
    for piece in ["text", "unet", "backward", "rest"] {
        assert!(report["split_s"][piece].as_f64().unwrap() >= 0.0, "{piece}: {report}");
    }
    let ops = report["ops"].as_array().unwrap();
    let found = |part: &str| ops.iter().any(|op| op["op"].as_str().unwrap().starts_with(part));
    for part in ["convolution 3x3", "self-attention", "cross-attention", "gated MLP", "layer norm", "group norm"] {
        assert!(found(part), "{part}: {}", text(&output.stdout));
    }
    refused(&place.run(&["bench", "--random", "sd1", "--model", &tiny]), 2, &["leave --model out"]);
}
