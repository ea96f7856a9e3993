//! Two words of the same pictures on the command line: what is written, what is said, and what is refused.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::place::{Place, events, peach, refused, succeeded, text, tiny};

/// A folder with the example's pictures, and with captions if there are some.
fn pictures(place: &Place, captions: &[(&str, &str)]) {
    for style in ["noto", "flat"] {
        place.file(&format!("photos/{style}.png"), &fs::read(format!("{}/{style}.png", peach())).unwrap());
    }
    for (style, caption) in captions {
        place.file(&format!("photos/{style}.txt"), caption.as_bytes());
    }
}

fn train(place: &Place, more: &[&str]) -> Output {
    let model = tiny();
    let words = ["--token", "<fox>", "--init", "cat", "--second-token", "<ink>", "--second-init", "apple"];
    let quick = ["--model", &model, "--steps", "2", "--batch-size", "1", "--eval-size", "1", "--vectors", "1"];
    let end = ["--resolution", "16", "--preview-every", "0"];
    place.run(&[&["train", "photos"], &words[..], &quick, &end, more].concat())
}

fn read(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap()
}

#[test]
fn each_word_has_a_file_of_its_own_that_other_commands_take() {
    let place = Place::new();
    pictures(&place, &[]);
    let run = train(&place, &["--out", "run"]);
    succeeded(&run);
    let paths: Vec<String> = text(&run.stdout).lines().map(str::to_owned).collect();
    assert_eq!(paths, ["run/fox.safetensors", "run/ink.safetensors"]);
    assert!(
        text(&run.stderr)
            .contains("learning <fox> (1 vector, starting from cat) and <ink> (1 vector, starting from apple)")
    );
    assert!(!place.path("run/learned_embeds.safetensors").exists());
    let guide = read(&place, "run/README.txt");
    assert!(
        guide.contains("the embeddings <fox> and <ink>, learned on") && guide.contains("ink.safetensors  <ink>, as"),
        "{guide}"
    );
    let report: Value = serde_json::from_str(&read(&place, "run/report.json")).unwrap();
    assert_eq!(
        (&report["token"], &report["second"]["token"], &report["second"]["kind"]),
        (&"<fox>".into(), &"<ink>".into(), &"style".into())
    );
    let model = tiny();
    for (file, token, kind) in [("run/fox.safetensors", "<fox>", "object"), ("run/ink.safetensors", "<ink>", "style")] {
        let about = place.run(&["inspect", file, "--json"]);
        succeeded(&about);
        let about = text(&about.stdout);
        assert!(about.contains(&format!("\"token\":\"{token}\"")) && about.contains(kind), "{about}");
        for out in ["x.bin", "x.pt"] {
            succeeded(&place.run(&["convert", file, out, "--overwrite"]));
            assert_eq!(crate::place::read_word(&place.path(out)).token, token);
        }
        let prompt = format!("a {token}");
        let made = [
            "generate",
            &prompt,
            "-e",
            file,
            "--model",
            &model,
            "--steps",
            "1",
            "--width",
            "16",
            "--height",
            "16",
            "--out",
            "x.png",
            "--overwrite",
        ];
        succeeded(&place.run(&made));
    }
    // The folder holds two, and both are described; of each what came of the run is known.
    let both = place.run(&["inspect", "run"]);
    succeeded(&both);
    let said = text(&both.stdout);
    assert!(said.contains("<fox>") && said.contains("<ink>"), "{said}");
    assert_eq!(said.matches("  how good  ").count(), 2, "{said}");
    let one = place.run(&["inspect", "run/ink.safetensors"]);
    assert_eq!(text(&one.stdout).matches("  how good  ").count(), 1, "{}", text(&one.stdout));

    // What is there is finished, and resumes with nothing to do; another run does not begin there.
    let again = train(&place, &["--out", "run"]);
    succeeded(&again);
    assert!(text(&again.stderr).contains("this run is finished") && text(&again.stdout).lines().count() == 2);
    refused(&train(&place, &["--out", "run", "--second-token", "<oil>"]), 2, &["--second-token was", "ink"]);
    let settings = place.run(&["train", "--config", "run/settings.json", "--out", "other"]);
    succeeded(&settings);
    for file in ["fox.safetensors", "ink.safetensors"] {
        assert!(
            fs::read(place.path(&format!("run/{file}"))).unwrap()
                == fs::read(place.path(&format!("other/{file}"))).unwrap()
        );
    }
}

#[test]
fn a_break_changes_nothing_and_files_of_the_user_stay() {
    let place = Place::new();
    pictures(&place, &[("noto", "a <fox> in noto style"), ("flat", "a {} in {2} style")]);
    succeeded(&train(&place, &["--out", "whole", "--lr-schedule", "constant"]));
    succeeded(&train(&place, &["--out", "parts", "--lr-schedule", "constant", "--steps", "1"]));
    succeeded(&train(&place, &["--out", "parts", "--lr-schedule", "constant"]));
    for file in ["fox.safetensors", "ink.safetensors"] {
        assert!(
            fs::read(place.path(&format!("whole/{file}"))).unwrap()
                == fs::read(place.path(&format!("parts/{file}"))).unwrap(),
            "{file}"
        );
    }
    place.file("mine/ink.safetensors", b"mine");
    refused(&train(&place, &["--out", "mine"]), 2, &["mine/ink.safetensors exists already"]);
    assert_eq!(read(&place, "mine/ink.safetensors"), "mine");
    // What an earlier run left under other names does not stay beside what replaces it.
    let one = ["train", "photos/flat.png", "--captions", "off", "--token", "<one>", "--model", &tiny(), "--steps", "1"];
    succeeded(
        &place.run(
            &[&one[..], &["--resolution", "16", "--preview-every", "0", "--out", "whole", "--overwrite"]].concat(),
        ),
    );
    assert!(place.path("whole/learned_embeds.safetensors").exists() && !place.path("whole/fox.safetensors").exists());
}

#[test]
fn a_dry_run_and_default_names_are_of_both() {
    let place = Place::new();
    pictures(&place, &[]);
    let dry = train(&place, &["--dry-run", "--json"]);
    succeeded(&dry);
    let told = events(&dry.stdout).into_iter().find(|event| event["event"] == "dry-run").unwrap();
    assert_eq!(
        (&told["folder"], &told["second"]["token"], &told["second"]["vectors"]),
        (&"runs/fox-ink".into(), &"<ink>".into(), &1.into())
    );
    let dry = train(&place, &["--dry-run"]);
    assert!(
        text(&dry.stdout).contains("<fox> in 1 vector and <ink> in 1 vector, from 2 pictures"),
        "{}",
        text(&dry.stdout)
    );
}

#[test]
fn what_is_wrong_with_a_second_word_is_said() {
    let place = Place::new();
    pictures(&place, &[("noto", "a <fox> here"), ("flat", "a cat in <ink> style")]);
    succeeded(&train(&place, &["--out", "run"]));
    for (more, parts) in [
        (&["--second-token", "<FOX>"][..], &["--second-token is", "--token"][..]),
        (&["--second-token", "cat"], &["--second-token "]),
        (&["--second-init", "a long phrase"], &["--second-vectors"]),
        (&["--second-kind", "object", "--captions", "off"], &["nothing says which is which", "--second-kind"]),
        (&["--alone", "2"], &["--alone 2", "from 0 to 1"]),
    ] {
        refused(&train(&place, &[&["--out", "no", "--overwrite"], more].concat()), 2, parts);
    }
    for option in ["--second-init", "--second-vectors", "--second-kind"] {
        let value = match option {
            "--second-vectors" => "2",
            "--second-kind" => "style",
            _ => "cat",
        };
        let run = place.run(&["train", "photos", "--token", "<fox>", option, value, "--model", &tiny()]);
        refused(&run, 2, &[option, "--second-token"]);
    }
    place.file("photos/noto.txt", b"a hat");
    refused(&train(&place, &["--out", "no"]), 3, &["photos/noto.txt", "neither <fox> nor <ink>"]);
    place.file("photos/noto.txt", b"a {2} hat");
    refused(&train(&place, &["--out", "no"]), 2, &["no caption has <fox> in it"]);
    place.file("sentences.txt", b"a {} hat\nno place\n");
    refused(
        &train(&place, &["--out", "no", "--captions", "off", "--template", "sentences.txt"]),
        3,
        &["line 2", "{2}"],
    );
}
