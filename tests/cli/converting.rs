//! Models that are written with their weights in eight bits.

use std::fs;
use std::path::Path;
use std::process::Output;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::models::change;
use crate::place::{Place, events, fixtures, mini_f16, refused, succeeded, text, tiny};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";

/// A weight of the mini model's U-Net that is in eight bits.
const LAYER: &str = "time_embedding.linear_1.weight";

/// Bytes of a folder's weights.
fn bytes(place: &Place, model: &str) -> u64 {
    let files = [UNET, TEXT, "vae/diffusion_pytorch_model.safetensors"];
    files.map(|file| fs::metadata(place.path(model).join(file)).unwrap().len()).iter().sum()
}

#[test]
fn a_model_in_eight_bits_is_used_as_any_other() {
    let place = Place::new();
    let output = place.run(&["models", "convert", &mini_f16(), "out", "--json"]);
    succeeded(&output);
    let done = events(&output.stdout).pop().unwrap();
    assert_eq!((&done["event"], &done["weights"]), (&"converted".into(), &"q8".into()));
    assert_eq!(done["bytes"], bytes(&place, "out"));
    let share = bytes(&place, "out") as f64 / done["bytes_before"].as_f64().unwrap();
    println!("{share:.3} of the bytes before");
    assert!(share < 0.62, "{share}");
    assert!(!place.path("out/converting.json").exists());
    // The scales are not counted.
    let described = text(&place.run(&["models", "--model", "out"]).stdout).to_owned();
    assert!(described.contains("q8") && !described.contains("i8"), "{described}");
    let parameters: Vec<&str> = described.lines().filter_map(|line| line.split(" million").next()).collect();
    let parameters = parameters.into_iter().filter(|line| line.contains("U-Net: ")).collect::<Vec<_>>();
    assert!(parameters.len() == 2 && parameters[0] == parameters[1], "{described}");

    // What is converted while it is loaded is the same numbers.
    let generate = |model: &str, weights: &str| {
        let usual = ["generate", "a red apple", "--steps", "3", "--seed", "3", "--overwrite", "--out", "a.png"];
        succeeded(&place.run(&[&usual[..], &["--model", model, "--weights", weights]].concat()));
        image::open(place.path("a.png")).unwrap().to_rgb8().into_raw()
    };
    assert_eq!(generate("out", "q8"), generate(&mini_f16(), "q8"));
    assert_eq!(generate("out", "file"), generate(&mini_f16(), "q8"));
    // Asked for in f16, it stays in eight bits, and that is said, as it is not of what can be in f16.
    let warned = |model: &str| {
        let usual = ["generate", "a red apple", "--steps", "1", "--overwrite", "--out", "b.png", "--weights", "f16"];
        let output = place.run(&[&usual[..], &["--model", model]].concat());
        succeeded(&output);
        text(&output.stderr).contains("in eight bits in the model's files, and --weights f16 leaves them so")
    };
    assert_eq!(generate("out", "f16"), generate("out", "file"));
    // Back to f16, it stays what eight bits made of it; widened to f32, too.
    succeeded(&place.run(&["models", "convert", "out", "back", "--weights", "f16"]));
    assert_eq!(["out", &mini_f16(), "back"].map(warned), [true, false, false]);
    let alike = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 2);
    assert!(alike(&generate("out", "f32"), &generate("out", "q8")));
    succeeded(&place.run_train(&["--model", "out", "--steps", "1"]));
}

/// The model in the program is a conversion of the one in f16, to the last byte, and a conversion of it changes nothing more.
#[test]
fn the_model_in_the_program_is_made_of_its_weights_in_f16() {
    let place = Place::new();
    succeeded(&place.run(&["models", "convert", &mini_f16(), "made"]));
    succeeded(&place.run(&["models", "convert", "mini", "again"]));
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    for path in [UNET, TEXT, "vae/diffusion_pytorch_model.safetensors", "pseudoword.json", "unet/config.json"] {
        let bytes = fs::read(bundled.join(path)).unwrap();
        for made in ["made", "again"] {
            let made = place.path(made).join(path);
            assert!(fs::read(&made).unwrap() == bytes, "{}: `tools/mini pack` has to be run", made.display());
        }
    }
    // What the page fetches by.
    let manifest: Value = serde_json::from_slice(&fs::read(bundled.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(files.len(), 12);
    for file in files {
        let path = file["path"].as_str().unwrap();
        let bytes = fs::read(bundled.join(path)).unwrap();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&file["bytes"], &file["sha256"]), (&bytes.len().into(), &hash.into()), "{path}");
    }
}

#[test]
fn what_is_in_the_file_is_what_the_page_about_it_says() {
    let place = Place::new();
    succeeded(&place.run(&["models", "convert", &mini_f16(), "out"]));
    let file = fs::read(place.path("out").join(UNET)).unwrap();
    let mini = fs::read(fixtures().join("mini-f16").join(UNET)).unwrap();
    let (mini, (_, about)) = (mini, SafeTensors::read_metadata(&file).unwrap());
    assert_eq!(about.metadata().as_ref().unwrap()["pseudoword.q8"], "1");
    let [packed, mini] = [&file, &mini].map(|file| SafeTensors::deserialize(file).unwrap());
    let half = |bytes: &[u8], at: usize| half::f16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]).to_f64();
    let mut convolutions = 0;
    for (name, view) in packed.tensors() {
        if view.dtype() != Dtype::I8 {
            continue;
        }
        let (scales, given) = (packed.tensor(&format!("{name}.scales")).unwrap(), mini.tensor(&name).unwrap());
        assert_eq!((view.shape(), given.dtype(), scales.dtype()), (given.shape(), Dtype::F16, Dtype::F16), "{name}");
        let [outputs, inputs] = [view.shape()[0], view.shape()[1]];
        let taps: usize = view.shape()[2..].iter().product();
        convolutions += usize::from(taps > 1);
        for (output, input, tap) in
            (0..outputs).flat_map(|o| (0..inputs).flat_map(move |i| (0..taps).map(move |tap| (o, i, tap))))
        {
            let at = (output * inputs + input) * taps + tap;
            let scale = half(scales.data(), (output * taps + tap) * (inputs / 32) + input / 32);
            let (got, want) = (scale * f64::from(view.data()[at] as i8), half(given.data(), at));
            // Half a step, and what the scale lost in f16 of 127 of them.
            assert!((got - want).abs() <= scale * 0.57 + 1e-7, "{name} {at}: {got} {want}");
        }
    }
    assert!(convolutions > 10, "{convolutions}");
}

/// Converts a small model with these failures.
fn convert(place: &Place, failures: &str) -> Output {
    let mut command = place.command(&["models", "convert", &mini_f16(), "out"]);
    command.env("PSEUDOWORD_FAILPOINTS", failures).output().unwrap()
}

#[test]
fn a_conversion_that_was_stopped_goes_on() {
    let place = Place::new();
    let convert = |failures: &str| convert(&place, failures);
    // In the U-Net: the text encoder is whole by then.
    assert_eq!(convert("weights:write=die@150").status.code(), None);
    assert!(place.path("out").join(TEXT).exists() && !place.path("out").join(UNET).exists());
    refused(
        &place.run(&["generate", "a cat", "--model", "out"]),
        3,
        &["out", "the conversion into this folder is not finished"],
    );
    refused(&convert("weights:write=full@9"), 7, &["out"]);
    // What was whole, and was cut off since then, is made again.
    let cut = fs::OpenOptions::new().write(true).open(place.path("out").join(TEXT)).unwrap();
    cut.set_len(cut.metadata().unwrap().len() / 2).unwrap();
    refused(&place.run(&["models", "convert", &mini_f16(), "out", "--weights", "f16"]), 2, &["another conversion"]);
    let output = convert("");
    succeeded(&output);
    assert!(text(&output.stderr).contains("out was begun before"), "{}", text(&output.stderr));
    succeeded(&place.run(&["models", "convert", &mini_f16(), "other"]));
    for path in [UNET, TEXT] {
        assert!(fs::read(place.path("out").join(path)).unwrap() == fs::read(place.path("other").join(path)).unwrap());
    }
    refused(&convert(""), 2, &["it is not empty"]);
    refused(&place.run(&["models", "convert", &mini_f16(), "x", "--weights", "f32"]), 2, &["--weights is q8 or f16"]);
    refused(&place.run(&["models", "convert", "nowhere", "x"]), 3, &["nowhere"]);
    assert!(!place.path("x").exists());
}

#[test]
fn a_folder_is_written_by_one_program() {
    let place = Place::new();
    let convert = |failures: &str| convert(&place, failures);
    assert_eq!(convert("weights:write=die@150").status.code(), None);
    let marker = fs::File::open(place.path("out/converting.json")).unwrap();
    marker.lock().unwrap();
    refused(&convert(""), 2, &["out", "another program is writing it"]);
    marker.unlock().unwrap();
    succeeded(&convert(""));
    // What was begun and cannot be understood is not gone on with.
    assert_eq!(fs::read_dir(place.path("out")).unwrap().filter(|entry| is_marker(entry.as_ref().unwrap())).count(), 0);
    fs::write(place.path("out/converting.json"), "{\"model\":").unwrap();
    refused(&convert(""), 2, &["it is not empty"]);
    fs::create_dir(place.path("other")).unwrap();
    fs::write(place.path("other/converting.json"), "").unwrap();
    succeeded(&place.run(&["models", "convert", &mini_f16(), "other"]));
}

fn is_marker(entry: &fs::DirEntry) -> bool {
    entry.file_name() == "converting.json"
}

/// What lies beside the weights of a model, as other programs leave it there.
#[test]
fn what_else_is_in_a_file_harms_no_conversion() {
    let place = Place::new();
    copy(&place, &mini_f16(), "model");
    // Bytes that are no weight in eight bits, and a weight with a value that f16 does not have.
    change(&place, &format!("model/{UNET}"), |weights| {
        weights.push(("a.table".to_owned(), Dtype::I8, vec![2, 32], vec![7; 64]));
        let chosen = weights.iter_mut().filter(|(name, ..)| name == LAYER || name == "conv_in.weight");
        for (_, dtype, _, bytes) in chosen {
            let halves = bytes.chunks_exact(2).map(|half| half::f16::from_le_bytes([half[0], half[1]]).to_f32());
            *bytes = halves.enumerate().flat_map(|(i, value)| if i == 0 { 1e6 } else { value }.to_le_bytes()).collect();
            *dtype = Dtype::F32;
        }
    });
    succeeded(&place.run(&["models", "convert", "model", "out"]));
    let file = fs::read(place.path("out").join(UNET)).unwrap();
    let weights = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(weights.tensor(LAYER).unwrap().dtype(), Dtype::F32);
    assert!(weights.tensor("a.table").is_err());
    succeeded(&place.run(&["generate", "a cat", "--model", "out", "--steps", "1"]));
    // A name that is wanted for scales.
    change(&place, &format!("model/{UNET}"), |weights| {
        weights.push(("time_embedding.linear_2.weight.scales".to_owned(), Dtype::F16, vec![1], vec![0; 2]));
    });
    refused(&place.run(&["models", "convert", "model", "x"]), 3, &["model/unet", "linear_2.weight.scales is what"]);
}

/// Rows that are no blocks, as the tiny model's are: nothing is in eight bits.
#[test]
fn what_cannot_be_in_blocks_is_in_f16() {
    let place = Place::new();
    succeeded(&place.run(&["models", "convert", &tiny(), "out"]));
    succeeded(&place.run(&["generate", "a cat", "--model", "out", "--steps", "2"]));
}

#[test]
fn a_damaged_folder_is_refused_by_name() {
    let place = Place::new();
    succeeded(&place.run(&["models", "convert", &mini_f16(), "whole"]));
    let damaged = |what: &dyn Fn(&str), parts: &[&str]| {
        let _old = fs::remove_dir_all(place.path("out"));
        copy(&place, "whole", "out");
        what(&format!("out/{UNET}"));
        refused(&place.run(&["generate", "a cat", "--model", "out", "--steps", "1"]), 3, parts);
    };
    let scales = format!("{LAYER}.scales");
    damaged(
        &|path| change(&place, path, |weights| weights.retain(|(name, ..)| *name != scales)),
        &["out/unet", LAYER, "has no scales"],
    );
    damaged(
        &|path| {
            change(&place, path, |weights| {
                let (_, _, shape, bytes) = weights.iter_mut().find(|(name, ..)| *name == scales).unwrap();
                shape[1] -= 1;
                bytes.truncate(2 * shape[0] * shape[1]);
            })
        },
        &[&scales, "and not F16"],
    );
    for value in [half::f16::NAN, half::f16::NEG_INFINITY] {
        damaged(
            &|path| {
                change(&place, path, |weights| {
                    let (.., bytes) = weights.iter_mut().find(|(name, ..)| *name == scales).unwrap();
                    bytes[..2].copy_from_slice(&value.to_le_bytes());
                })
            },
            &["NaN or infinite", LAYER, ": 32 of"],
        );
    }
    // Scales of another type, values that are not in blocks, scales whose values are not there.
    damaged(
        &|path| {
            change(&place, path, |weights| {
                weights.iter_mut().find(|(name, ..)| *name == scales).unwrap().1 = Dtype::BF16;
            })
        },
        &[&scales, "is BF16", "and not F16"],
    );
    damaged(
        &|path| {
            change(&place, path, |weights| {
                let (_, _, shape, _) = weights.iter_mut().find(|(name, ..)| name == LAYER).unwrap();
                *shape = vec![shape.iter().product()];
            })
        },
        &[LAYER, "which is not in blocks of 32"],
    );
    damaged(&|path| change(&place, path, |weights| weights.retain(|(name, ..)| *name != LAYER)), &["missing", LAYER]);
    damaged(
        &|path| {
            change(&place, path, |weights| {
                let (_, _, shape, _) = weights.iter_mut().find(|(name, ..)| name == LAYER).unwrap();
                shape.swap(0, 1);
            })
        },
        &[&scales, "and not F16"],
    );
    // A version that is not known, of which the beginning is shown however long it is, and none at all.
    let long = "7".repeat(5000);
    let shown = format!("layout \"{}\"...; this program reads 1", &long[..60]);
    for (key, version, parts) in [
        ("q8", "2", ["layout \"2\"", "reads 1"]),
        ("q8", &long, [&shown, "out/unet"]),
        ("xx", "1", ["is I8; weights can be", "out/unet"]),
    ] {
        damaged(&|path| versioned(&place, path, key, version), &parts);
    }
    // Nor is it converted to anything without its weights.
    for key in ["q8", "xx"] {
        let _old = fs::remove_dir_all(place.path("out"));
        copy(&place, "whole", "out");
        match key {
            "q8" => change(&place, &format!("out/{UNET}"), |weights| weights.retain(|(name, ..)| *name != scales)),
            _ => versioned(&place, &format!("out/{UNET}"), key, "1"),
        }
        let parts = if key == "q8" { [LAYER, "has no scales"] } else { ["weight is in eight bits", "get it again"] };
        refused(&place.run(&["models", "convert", "out", "x"]), 3, &["out/unet", parts[0], parts[1]]);
        let _begun = fs::remove_dir_all(place.path("x"));
    }
    // A header that would be longer than any, or than the file.
    for length in [u64::MAX, 1 << 40, 64 << 20] {
        damaged(
            &|path| {
                let mut bytes = fs::read(place.path(path)).unwrap();
                bytes[..8].copy_from_slice(&length.to_le_bytes());
                fs::write(place.path(path), bytes).unwrap();
            },
            &["out/unet", &format!("a header of {length} bytes")],
        );
    }
    // Cut off.
    damaged(
        &|path| {
            let bytes = fs::read(place.path(path)).unwrap();
            fs::write(place.path(path), &bytes[..bytes.len() - 1000]).unwrap();
        },
        &["out/unet"],
    );
}

/// Has a file of weights in eight bits say another version of its layout, or something else.
fn versioned(place: &Place, path: &str, key: &str, version: &str) {
    let bytes = fs::read(place.path(path)).unwrap();
    let (length, _) = SafeTensors::read_metadata(&bytes).unwrap();
    let known = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let header = known.replace("\"pseudoword.q8\":\"1\"", &format!("\"pseudoword.{key}\":\"{version}\""));
    assert_ne!(header, known);
    let parts = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]];
    fs::write(place.path(path), parts.concat()).unwrap();
}

/// Copies a model's folder to a folder of the place.
pub fn copy(place: &Place, from: &str, to: &str) {
    for folder in ["", "scheduler", "text_encoder", "tokenizer", "unet", "vae"] {
        fs::create_dir_all(place.path(to).join(folder)).unwrap();
        for entry in fs::read_dir(place.path(from).join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), place.path(to).join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
}
