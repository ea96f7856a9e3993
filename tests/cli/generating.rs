//! What `generate` leaves behind.

use std::fs;

use pseudoword::image::read_text;

use crate::place::{Place, events, read_word, refused, succeeded, text, tiny};

#[test]
fn pictures_carry_what_made_them() {
    let place = Place::new();
    succeeded(&place.run_train(&["--model", "mini", "--steps", "1"]));
    let word = "run/learned_embeds.safetensors";
    let hash = read_word(&place.path(word)).hash();
    let prompt = "a <fruit> in noto style";
    let renamed = format!("{word}=<fruit>");
    let common = ["--embedding", &renamed, "--steps", "2", "--seed", "7", "--negative-prompt", "a cat"];
    let generate = |more: &[&str]| place.run(&[&["generate", prompt], &common[..], more].concat());
    let output = generate(&[]);
    succeeded(&output);
    assert_eq!(text(&output.stdout), "out.png\n");
    let about = read_text(&fs::read(place.path("out.png")).unwrap()).unwrap();
    let get = |key: &str| about.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str());
    for (key, value) in [
        ("prompt", prompt),
        ("negative prompt", "a cat"),
        ("seed", "7"),
        ("steps", "2"),
        ("guidance", "4"),
        ("sampler", "ddim"),
        ("size", "64x64"),
        ("model", "mini"),
        ("embeddings", &format!("<fruit> {hash}")),
        ("Software", &format!("pseudoword {}", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(get(key), value, "{key}");
    }
    assert_eq!(get("model hash").len(), 64);
    let parameters =
        format!("{prompt}\nNegative prompt: a cat\nSteps: 2, Sampler: DDIM, CFG scale: 4, Seed: 7, Size: 64x64");
    assert!(get("parameters").starts_with(&parameters), "{}", get("parameters"));

    // The same again gives the same picture under a free name, or the same name if that was asked for.
    let first = fs::read(place.path("out.png")).unwrap();
    let again = generate(&[]);
    assert_eq!(text(&again.stdout), "out-1.png\n");
    assert!(text(&again.stderr).contains("out.png exists: writing out-1.png"), "{}", text(&again.stderr));
    assert_eq!(fs::read(place.path("out-1.png")).unwrap(), first);
    assert_eq!(text(&generate(&["--overwrite"]).stdout), "out.png\n");
    // A pipe gets the file itself.
    assert_eq!(generate(&["--out", "-"]).stdout, first);
    let several = generate(&["--count", "2", "--out", "many"]);
    assert_eq!(text(&several.stdout), "many/out-0.png\nmany/out-1.png\n");

    let sheet = generate(&["--compare", "--out", "sheet.png", "--json"]);
    succeeded(&sheet);
    assert_eq!(events(&sheet.stdout).last().unwrap()["event"], "done");
    let sheet = image::open(place.path("sheet.png")).unwrap();
    assert!(sheet.width() > 2 * 64 && sheet.height() > 64);
}

#[test]
fn noise_from_a_file_decides_count_and_size() {
    let place = Place::new();
    let values: Vec<u8> = (0..2 * 4 * 8 * 12).flat_map(|i| ((i % 17) as f32 / 8.0 - 1.0).to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 4, 8, 12], &values).unwrap();
    let bytes = safetensors::serialize([("latents", view)], None).unwrap();
    let latents = place.file("latents.safetensors", &bytes);
    let output = place.run(&["generate", "a cat", "--model", &tiny(), "--steps", "2", "--latents", &latents]);
    succeeded(&output);
    assert_eq!(text(&output.stdout), "out-0.png\nout-1.png\n");
    assert_eq!(image::image_dimensions(place.path("out-0.png")).unwrap(), (24, 16));
    assert_ne!(fs::read(place.path("out-0.png")).unwrap(), fs::read(place.path("out-1.png")).unwrap());
    let other = place.file("other.safetensors", b"no");
    refused(&place.run(&["generate", "a cat", "--model", &tiny(), "--latents", &other]), 3, &["other.safetensors"]);
}
