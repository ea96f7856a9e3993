//! The repository itself: what its documents and comments cite is there, and the crate that is made of it is whole and small.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::{Compression, write::GzEncoder};

use crate::place::{Place, succeeded, text};

/// The most that a registry takes is 10 MB; the weights of the mini model are 7.9 of what there is.
const LARGEST: usize = 9_500_000;

/// Files that are cited and belong to others (Burn, cubecl, wgpu, ggml, safetensors, diffusers, transformers, ComfyUI), or stand
/// for any.
const ELSEWHERE: [&str; 12] = [
    "backend/base.rs",
    "docs/gguf.md",
    "examples/textual_inversion/textual_inversion.py",
    "models/clip/modeling_clip.py",
    "models/embeddings/my-teapot.safetensors",
    "src/tensor.rs",
    "tests/pipelines/test_pipelines.py",
    "vulkan/adapter.rs",
    "vulkan/device.rs",
    "shaders/NAME.wgsl",
    "NAME-INDEX-uN.wgsl",
    "table.md",
];

/// Options of cargo, of the tools for kernels, of stable-diffusion.cpp, of GNU parallel and kubectl, and of prompts for
/// Midjourney.
const OTHERS: [&str; 19] = [
    "--all-targets",
    "--ar",
    "--assembly",
    "--convert-name",
    "--from-file",
    "--gpu",
    "--line-buffer",
    "--list",
    "--locked",
    "--manifest-path",
    "--no-default-features",
    "--open",
    "--path",
    "--release",
    "--root",
    "--tag",
    "--termseq",
    "--test",
    "--type",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository, but for what is built or installed in it.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            let built = ["target", "node_modules", "dist", "runs", "pkg", ".git"].iter().any(|built| name == *built);
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && !built => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// A line that cites: any of a document, the comments of a source.
fn cites(path: &Path, line: &str) -> bool {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("md") => true,
        Some("rs" | "wgsl" | "js" | "mjs") => line.trim_start().starts_with("//"),
        Some("py" | "toml") | None => line.trim_start().starts_with('#'),
        _ => false,
    }
}

/// The words of a line that may be paths, or options.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && !"_./-".contains(c)).map(|word| word.trim_end_matches('.'))
}

/// The file that a word cites, without the steps up before it.
fn cited(word: &str) -> Option<&str> {
    let path = word.trim_start_matches("../").trim_start_matches("./");
    let ending = Path::new(path).extension()?.to_str()?;
    // What README's commands leave in `runs` is not the repository's.
    let ours = path.split_once('/').is_some_and(|(top, _)| top != "runs" && root().join(top).is_dir());
    let named = Path::new(path).file_stem().is_some_and(|stem| !stem.is_empty());
    let counts = match ending {
        _ if path.starts_with('/') => false,
        "md" | "rs" | "wgsl" | "mjs" | "html" => true,
        "py" | "js" | "json" | "png" | "safetensors" => ours,
        _ => false,
    };
    (counts && named).then_some(path)
}

#[test]
fn what_is_cited_is_in_the_repository() {
    let files = files();
    let names: Vec<String> =
        files.iter().map(|path| format!("/{}", path.strip_prefix(root()).unwrap().display())).collect();
    let (mut missing, mut seen) = (Vec::new(), 0);
    for path in &files {
        let Ok(content) = fs::read_to_string(path) else { continue };
        for line in content.lines().filter(|line| cites(path, line)) {
            for file in words(line).filter_map(cited).filter(|file| !ELSEWHERE.contains(file)) {
                seen += 1;
                let end = format!("/{file}");
                if !names.iter().any(|name| name.ends_with(&end)) {
                    missing.push(format!("{}: {file}", path.display()));
                }
            }
        }
    }
    assert!(seen > 200, "{seen}");
    assert!(missing.is_empty(), "cited, and not in the repository:\n{}", missing.join("\n"));
}

#[test]
fn options_that_are_written_about_exist() {
    let files = files();
    let mut known = own_options();
    assert!(known.len() > 60, "{known:?}");
    // Those of our scripts are where they are defined.
    let has_ending = |path: &Path, wanted: &str| path.extension().is_some_and(|ending| ending == wanted);
    for script in files.iter().filter(|path| has_ending(path, "py")) {
        let defined = fs::read_to_string(script).unwrap();
        known.extend(defined.lines().filter(|line| line.contains("\"--")).flat_map(options));
    }
    let mut missing = Vec::new();
    for path in files.iter().filter(|path| has_ending(path, "md") || path.starts_with(root().join("src"))) {
        let content = fs::read_to_string(path).unwrap_or_default();
        for option in content.lines().filter(|line| cites(path, line)).flat_map(options) {
            if !known.contains(&option) && !OTHERS.contains(&option.as_str()) {
                missing.push(format!("{}: {option}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "written about, and not an option:\n{}", missing.join("\n"));
}

/// Every option in the program's own help.
fn own_options() -> BTreeSet<String> {
    let place = Place::new();
    let help = |command: &[&str]| {
        let help = place.run(&[command, &["--help"]].concat());
        succeeded(&help);
        text(&help.stdout).to_owned()
    };
    let main = help(&[]);
    let (_, commands) = main.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let mut helps = vec![main.clone()];
    helps.extend(names.filter(|name| *name != "help").map(|name| help(&[name])));
    helps.extend(["add", "list", "remove", "show"].map(|name| help(&["embeddings", name])));
    helps.iter().flat_map(|help| options(help)).collect()
}

/// The options in a text.
fn options(text: &str) -> Vec<String> {
    words(text).filter(|word| is_option(word)).map(str::to_owned).collect()
}

fn is_option(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[test]
fn the_crate_is_whole_and_small() {
    let list =
        Command::new(env!("CARGO")).args(["package", "--list", "--allow-dirty"]).current_dir(root()).output().unwrap();
    succeeded(&list);
    let made = ["Cargo.toml.orig", ".cargo_vcs_info.json"];
    let list: BTreeSet<&str> = text(&list.stdout).lines().filter(|path| !made.contains(path)).collect();
    for left_out in
        ["tests/", "benches/", "docs/words.png", "models/mini/samples.png", "models/mini/README.md", "www/pkg/"]
    {
        assert!(!list.iter().any(|path| path.starts_with(left_out)), "{left_out}");
    }
    for licence in [
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "models/mini/ATTRIBUTION.md",
        "models/clip/LICENSE",
        "src/image/font/LICENSE.txt",
    ] {
        assert!(list.contains(licence), "{licence}");
    }
    // What the sources include, they have in the crate too.
    for path in files().iter().filter(|path| path.starts_with(root().join("src"))) {
        let Ok(source) = fs::read_to_string(path) else { continue };
        for macro_name in ["include_str!(\"", "include_bytes!(\""] {
            for included in source.split(macro_name).skip(1).filter_map(|rest| rest.split('"').next()) {
                let file = path.parent().unwrap().join(included).canonicalize().unwrap();
                let name = file.strip_prefix(root().canonicalize().unwrap()).unwrap().display().to_string();
                assert!(list.contains(name.as_str()), "{} includes {name}", path.display());
            }
        }
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for path in &list {
        packed.write_all(&fs::read(root().join(path)).unwrap()).unwrap();
    }
    let size = packed.finish().unwrap().len();
    println!("{size} bytes");
    assert!(size < LARGEST, "{size} bytes");
}

/// A Rust without the target for browsers, whose programs write down in `log` that they were called.
#[cfg(unix)]
fn rust_without_wasm(place: &Place, rustup: &str) {
    use std::os::unix::fs::PermissionsExt;
    let here = place.path("").display().to_string();
    let logged = |name: &str, then: &str| format!("#!/bin/sh\necho {name} $* >> {here}/log\n{then}\n");
    let rustc = format!("#!/bin/sh\ncase $* in *libdir*) echo {here}/lib;; *) echo rustc 9.0.0;; esac\n");
    for (name, script) in [("rustc", rustc), ("rustup", logged("rustup", rustup)), ("cargo", logged("cargo", "exit 1"))]
    {
        let program = place.file(&format!("bin/{name}"), script.as_bytes());
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn the_target_for_browsers_is_added_before_anything_is_compiled() {
    let build = |place: &Place| {
        let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
        let script = root().join("tools/web/dist");
        let output =
            Command::new(script).env("PATH", path).env("CARGO_TARGET_DIR", place.path("target")).output().unwrap();
        assert!(!output.status.success());
        (text(&output.stderr).to_owned(), fs::read_to_string(place.path("log")).unwrap())
    };
    let place = Place::new();
    let lib = place.path("lib").display().to_string();
    rust_without_wasm(&place, &format!("mkdir {lib}; touch {lib}/libstd-1.rlib"));
    let (_, log) = build(&place);
    let mut calls = log.lines();
    assert_eq!(calls.next(), Some("rustup target add wasm32-unknown-unknown"));
    assert!(calls.next().unwrap().starts_with("cargo build"), "{log}");

    let place = Place::new();
    rust_without_wasm(&place, "exit 1");
    let (said, log) = build(&place);
    assert!(said.contains("could not be added: once, it needs the network"), "{said}");
    assert!(!log.contains("cargo"), "{log}");
}
