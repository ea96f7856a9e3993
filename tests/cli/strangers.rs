//! What strangers wrote, wherever it is shown: names, paths, metadata, and the names that a format cannot hold.

use std::fs;

use pseudoword::embedding::{Embedding, Layout, write};

use crate::place::{Place, events, peach, refused, succeeded, text};

/// Clears the screen, colours, sets a title, goes up a line, turns the writing round.
const EVIL: &str = "\u{1b}[2J\u{1b}[31mnice\u{1b}]0;title\u{7}\u{9b}1A\u{202e}\r\n  SHA-256       checked";

fn word(token: &str) -> Embedding {
    Embedding::new(token, 128, vec![0.05; 256])
}

/// Nothing in what was printed acts on a terminal, and no line is one that was forged.
#[track_caller]
fn harmless(printed: &[u8]) -> &str {
    let printed = text(printed);
    let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!printed.contains(acts), "{printed:?}");
    assert!(!printed.contains("\n  SHA-256       checked"), "{printed}");
    printed
}

#[test]
fn what_a_file_says_is_shown_and_not_obeyed() {
    let place = Place::new();
    let mut evil = word(&format!("<{EVIL}>"));
    for key in ["base-model", "checkpoint-hash", "init"] {
        evil.metadata.insert(key.to_owned(), format!("good{EVIL}"));
    }
    evil.metadata.insert(format!("key{EVIL}"), "value".to_owned());
    for (layout, file) in
        [(Layout::A1111, "a.pt"), (Layout::Safetensors, "b.safetensors"), (Layout::Kohya, "c.safetensors")]
    {
        place.file(file, &write(&evil, layout).unwrap());
        let output = place.run(&["inspect", file]);
        succeeded(&output);
        let said = harmless(&output.stdout);
        assert!(said.contains(r"<\u{1b}[2J\u{1b}[31mnice\u{1b}]0;title\u{7}\u{9b}1A\u{202e}\r\n  SHA-256"), "{said}");
        assert_eq!(said.matches("\n  SHA-256 ").count(), 1, "{said}");
        let output = place.run(&["inspect", file, "--json"]);
        let [about] = &events(&output.stdout)[..] else { panic!("{}", text(&output.stdout)) };
        assert_eq!(about["token"], evil.token, "programs get it as it is");
        harmless(&output.stdout);
        harmless(&place.run(&["generate", "a cat", "-e", file]).stderr);
        let mut add = place.command(&["embeddings", "add", file]);
        harmless(&add.env("PSEUDOWORD_HOME", place.path("home")).output().unwrap().stderr);
    }
}

#[cfg(unix)]
#[test]
fn what_a_file_is_called_is_shown_and_not_obeyed() {
    let place = Place::new();
    let name = EVIL.replace('/', "");
    let file = place.file(&format!("{name}.pt"), &write(&word("<t>"), Layout::A1111).unwrap());
    let folder = place.path(&name);
    fs::create_dir(&folder).unwrap();
    for picture in ["3d", "flat", "noto"] {
        fs::copy(format!("{}/{picture}.png", peach()), folder.join(format!("{picture}{name}.png"))).unwrap();
    }
    let (folder, broken) = (folder.display().to_string(), place.file(&format!("x{name}.pt"), b"%PDF-1.7"));
    harmless(&place.run(&["inspect", &file]).stdout);
    for refused in [
        &["inspect", &broken][..],
        &["inspect", &format!("no{name}.pt")],
        &["generate", "a cat", "--model", &folder],
        &["generate", "a cat", "--model", &file],
        &["generate", EVIL, "--sampler", EVIL],
        &["train", &broken, "--token", "<t>"],
        &["train", &folder, "--token", EVIL],
        &["convert", &file, &format!("{name}.x")],
        &[EVIL],
    ] {
        let output = place.run(refused);
        assert!(!output.status.success());
        harmless(&output.stderr);
        harmless(&output.stdout);
    }
    let output = place.run_train(&["--out", &format!("run{name}"), "--unseen", &folder, "--preview-prompt", EVIL]);
    succeeded(&output);
    harmless(&output.stderr);
    let run = place.path(&format!("run{name}"));
    for file in ["README.txt", "log.jsonl", "settings.json"] {
        harmless(&fs::read(run.join(file)).unwrap());
    }
    // A script needs the path itself.
    assert_eq!(text(&output.stdout), format!("run{name}/learned_embeds.safetensors\n"));
}

/// The page has no door that is watched: it must give text as text everywhere.
#[test]
fn the_page_takes_no_text_for_markup() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut scripts = vec![format!("{root}/index.html")];
    for entry in fs::read_dir(format!("{root}/www")).unwrap() {
        scripts.push(entry.unwrap().path().display().to_string());
    }
    for script in scripts.iter().filter(|path| path.ends_with(".js") || path.ends_with(".html")) {
        let text = fs::read_to_string(script).unwrap();
        for door in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "srcdoc",
            "eval(",
            "new Function",
        ] {
            assert!(!text.contains(door), "{door} in {script}");
        }
    }
}

#[test]
fn a_name_that_no_file_can_hold_is_refused_before_the_work() {
    let place = Place::new();
    for token in ["__metadata__", "emb_params", "clip_g", "text_model.x", "bundle_emb.cat"] {
        refused(&place.run_train(&["--token", token]), 2, &[token, "choose another: --token '<my-"]);
        assert!(!place.path("run").exists(), "nothing is begun");
    }
    place.file("cat.pt", &write(&word("<cat>"), Layout::A1111).unwrap());
    for (name, to) in [("__metadata__", "x.safetensors"), ("emb_params", "x.bin"), ("string_to_param", "x.bin")] {
        refused(
            &place.run(&["convert", &format!("cat.pt={name}"), to]),
            3,
            &[name, "choose another token: pseudoword convert 'cat.pt=<my-"],
        );
        assert!(!place.path(to).exists());
    }
    succeeded(&place.run(&["convert", "cat.pt=emb_params", "x.pt"]));
    let mut add = place.command(&["embeddings", "add", "cat.pt=clip_l"]);
    refused(
        &add.env("PSEUDOWORD_HOME", place.path("home")).output().unwrap(),
        2,
        &["clip_l", "nothing can be kept under it", "choose another: pseudoword embeddings add 'cat.pt=<my-clip_l>'"],
    );
}

#[test]
fn embeddings_of_other_kinds_of_models_are_named() {
    let place = Place::new();
    let header = |tensors: &[(&str, [usize; 2])]| {
        let mut end = 0;
        let entries = tensors.iter().map(|(key, shape)| {
            let start = end;
            end += 4 * shape[0] * shape[1];
            format!(r#""{key}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
        });
        let text = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
        [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &vec![0; end]].concat()
    };
    place.file("sd3.safetensors", &header(&[("clip_l", [2, 768]), ("clip_g", [2, 1280]), ("t5xxl", [2, 4096])]));
    place.file("flux.safetensors", &header(&[("clip_l", [2, 768]), ("t5", [2, 4096])]));
    place.file("pair.pti", &header(&[("text_encoders_0", [2, 768]), ("text_encoders_1", [2, 1280])]));
    place.file("more.safetensors", &header(&[("emb_params", [2, 128]), ("scale", [1, 1])]));
    refused(&place.run(&["inspect", "sd3.safetensors"]), 3, &["an embedding for Stable Diffusion 3", "t5xxl"]);
    refused(&place.run(&["generate", "a cat", "-e", "flux.safetensors"]), 3, &["an embedding for Flux"]);
    let output = place.run(&["inspect", "pair.pti"]);
    succeeded(&output);
    assert!(text(&output.stdout).contains("2 for clip_l, 768 wide"), "{}", text(&output.stdout));
    let both = ["pair.pti was learned for SDXL (vectors 768 and 1280 wide)", "pseudoword's mini model (128 wide)"];
    refused(&place.run(&["generate", "a toy", "-e", "pair.pti"]), 3, &both);
    let output = place.run(&["generate", "a <m>", "-e", "more.safetensors=<m>", "--steps", "1", "--json"]);
    succeeded(&output);
    let warned = events(&output.stdout).into_iter().find(|event| event["code"] == "embedding-file").unwrap();
    assert!(warned["text"].as_str().unwrap().contains("\"scale\" is not used"), "{warned}");
}
