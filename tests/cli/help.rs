//! What the program says of itself, of models and of the machine.

use std::fs;
use std::process::Output;

use pseudoword::cli::exit::{Next, STATUSES};
use pseudoword::gpu;

use crate::place::{Place, events, refused, succeeded, text, tiny};

#[test]
fn help_shows_examples_headings_and_every_exit_status() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    succeeded(&help);
    let said = text(&help.stdout);
    for next in Next::ALL {
        let under = said.split_once(next.heading()).unwrap_or_else(|| panic!("{next:?} is not in {said}")).1;
        let these = STATUSES.iter().filter(|(.., which)| *which == next);
        for ((code, meaning, _), line) in these.zip(under.lines().skip(1)) {
            assert_eq!(line, format!("    {code:>3}  {meaning}"), "{said}");
        }
    }
    for command in ["train", "generate", "captions", "collect", "prompt", "models", "doctor", "bench", "serve"] {
        assert!(text(&help.stdout).contains(&format!("  {command} ")), "{command}");
        let help = place.run(&[command, "--help"]);
        let said = text(&help.stdout);
        for part in ["Examples:", &format!("  pseudoword {command}"), "Every command:", "--device", "--json", "--quiet"]
        {
            assert!(said.contains(part), "{command}: no {part:?} in {said}");
        }
        assert!(said.lines().all(|line| line.chars().count() <= 110), "{said}");
    }
    let train = place.run(&["train", "--help"]);
    for heading in ["Embedding:", "Training:", "Pictures and captions:", "Progress:", "Files:", "Many words:"] {
        assert!(text(&train.stdout).contains(heading), "{heading}");
    }
    assert!(text(&place.run(&["--version"]).stdout).starts_with("pseudoword 0."));
}

#[test]
fn one_of_several_gpus_is_chosen_as_doctor_lists_them() {
    let place = Place::new();
    let doctor = |device: &str| place.run(&["doctor", "--device", device]);
    refused(&doctor("cuda:0"), 2, &["invalid value 'cuda:0'", "gpu:1 (by its number, as `doctor` lists them)"]);
    let adapters = gpu::adapters();
    let missing = doctor(&format!("gpu:{}", adapters.len()));
    assert_eq!(missing.status.code(), Some(5), "{}", text(&missing.stderr));
    assert!(
        text(&missing.stderr).contains(&format!("there is no gpu:{}", adapters.len())),
        "{}",
        text(&missing.stderr)
    );
    let listed = doctor("cpu");
    for (number, adapter) in adapters.iter().enumerate() {
        let line = format!("chosen by: --device gpu:{number}");
        assert!(text(&listed.stdout).contains(&line), "{}", text(&listed.stdout));
        if adapter.lacking.is_some() {
            continue;
        }
        let names = [Some(number.to_string()), adapter.address().map(|address| address.to_string())];
        for name in names.into_iter().flatten() {
            let chosen = doctor(&format!("gpu:{name}"));
            let expected = format!("would use: gpu: {}", adapter.info.name);
            assert!(text(&chosen.stdout).contains(&expected), "{name}: {}", text(&chosen.stdout));
        }
    }
}

/// Mesa's lavapipe makes no tiles, so there is nothing to measure; on a GPU the choice is kept in the cache.
#[test]
fn doctor_says_how_matrix_products_are_made() {
    if gpu::choose(gpu::DeviceChoice::Gpu).is_err() {
        eprintln!("skipped: no adapter on this machine");
        return;
    }
    let place = Place::new();
    let doctor = |arguments: &[&str]| {
        let run = place.command(arguments).env("PSEUDOWORD_CACHE", place.path("cache")).output().unwrap();
        succeeded(&run);
        run
    };
    let report = events(&doctor(&["doctor", "--device", "gpu", "--retune", "--json"]).stdout).pop().unwrap();
    let products = &report["products"];
    match products["how"].as_str() {
        Some("blocks") => assert!(products["tiles"].is_null() && !place.path("cache").exists(), "{report}"),
        Some("measured") => {
            assert!(products["tiles"]["few rows"].is_string(), "{report}");
            assert!(place.path("cache/tiles").is_dir(), "{report}");
        }
        _ => panic!("{report}"),
    }
    let told = doctor(&["doctor", "--device", "gpu"]);
    let said = text(&told.stdout);
    assert!(said.contains("\nmatrix products: in "), "{said}");
    // The processor makes them in one way.
    let report = events(&doctor(&["doctor", "--retune", "--json"]).stdout).pop().unwrap();
    assert!(report["products"].is_null(), "{report}");
}

/// What the self-test in f16 found is kept, and decides at the next start; it is tested again only where that is asked for.
#[test]
fn f16_is_tested_once_and_what_was_found_decides() {
    let place = Place::new();
    let ran = |more: &[&str]| {
        let arguments = [&["doctor", "--device", "gpu", "--precision", "f16", "--json"], more].concat();
        place.command(&arguments).env("PSEUDOWORD_CACHE", place.path("cache")).output().unwrap()
    };
    let told = |run: &Output| {
        let report = events(&run.stdout).into_iter().find(|event| event["event"] == "doctor");
        report.unwrap()["precision"].clone()
    };
    let doctor = |more: &[&str]| {
        let run = ran(more);
        succeeded(&run);
        told(&run)
    };
    let adapters = gpu::adapters();
    let has_f16 = |adapter: &gpu::Adapter| adapter.features.contains(wgpu::Features::SHADER_F16);
    if !adapters.first().is_some_and(has_f16) {
        let is_lavapipe = |adapter: &gpu::Adapter| adapter.info.name.contains("llvmpipe");
        assert!(!adapters.first().is_some_and(is_lavapipe), "lavapipe has f16");
        eprintln!("skipped: no adapter with f16 on this machine");
        return;
    }
    let found = doctor(&[]);
    let ways = found["findings"]["ways"].as_array().unwrap();
    assert!(!ways.is_empty() && ways.iter().all(|way| way["wrong"].is_null()), "{found}");
    assert_eq!((&found["precision"], &found["why"]), (&"f16".into(), &"as requested".into()), "{found}");

    let file = fs::read_dir(place.path("cache/precision")).unwrap().next().unwrap().unwrap().path();
    let kept = fs::read_to_string(&file).unwrap();
    fs::write(&file, kept.replace("\"wrong\": null", "\"wrong\": \"it was a Monday\"")).unwrap();
    let run = ran(&[]);
    // A script has to see that what it insists on is not there.
    assert_eq!(run.status.code(), Some(2), "{}", text(&run.stderr));
    let refused = told(&run);
    assert!(refused["error"].as_str().unwrap().contains("it was a Monday"), "{refused}");
    assert_eq!(doctor(&["--retune"])["precision"], found["precision"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), kept);

    // Whole steps of learning with products so made are those of the processor, as far as f16 goes.
    let losses = |device: &[&str]| {
        let train = place.train(&[device, &["--model", "mini", "--overwrite", "--json"]].concat());
        let train: Vec<&str> = train.iter().map(String::as_str).collect();
        let run = place.command(&train).env("PSEUDOWORD_CACHE", place.path("cache")).output().unwrap();
        succeeded(&run);
        let events = events(&run.stdout);
        let in_f16 = events.iter().any(|event| event["event"] == "precision" && event["products"] == "f16");
        let steps = events.iter().filter(|event| event["event"] == "step");
        (in_f16, steps.map(|event| event["loss"].as_f64().unwrap()).collect::<Vec<_>>())
    };
    let (cpu_in_f16, on_cpu) = losses(&["--device", "cpu"]);
    let (gpu_in_f16, on_gpu) = losses(&["--device", "gpu", "--precision", "f16"]);
    assert_eq!((cpu_in_f16, gpu_in_f16, on_cpu.len(), on_gpu.len()), (false, true, 3, 3));
    for (cpu, gpu) in on_cpu.iter().zip(&on_gpu) {
        assert!((cpu - gpu).abs() < 0.01 * cpu && cpu != gpu, "{on_cpu:?} {on_gpu:?}");
    }
}

#[test]
fn what_is_measured_again_where_nothing_is_measured_is_said() {
    let place = Place::new();
    let mut devices = vec!["cpu"];
    if gpu::choose(gpu::DeviceChoice::Gpu).is_ok_and(|chosen| chosen.name.contains("llvmpipe")) {
        devices.push("gpu");
    }
    for device in devices {
        let run = place.run(&["doctor", "--device", device, "--retune"]);
        succeeded(&run);
        assert!(text(&run.stderr).contains("--retune has no effect: nothing"), "{device}: {}", text(&run.stderr));
        assert_eq!(text(&place.run(&["doctor", "--device", device]).stderr), "");
    }
}

#[test]
fn models_and_doctor_describe_what_there_is() {
    let place = Place::new();
    let models = events(&place.run(&["models", "--json", "--model", &tiny()]).stdout);
    assert_eq!((models[0]["name"].as_str(), models[1]["name"].as_str()), (Some("mini"), Some("tiny-sd1")));
    assert_eq!((models[0]["resolution"].as_u64(), models[0]["width"].as_u64()), (Some(64), Some(128)));
    assert!(models[0]["parts"]["unet"]["parameters"].as_u64().unwrap() > 5_000_000);
    let people = place.run(&["models"]);
    assert!(text(&people.stdout).contains("mini (built in)") && text(&people.stdout).contains("5.60 million"));

    let doctor = place.run(&["doctor", "--json"]);
    succeeded(&doctor);
    let report = events(&doctor.stdout).pop().unwrap();
    assert_eq!((report["chosen"]["kind"].as_str(), report["self_test"]["passed"].as_bool()), (Some("cpu"), Some(true)));
    // Where no driver is installed, asking for a GPU ends with advice, and asking for nothing with the processor.
    let without = |device: &str| {
        place.command(&["doctor", "--device", device]).env("VK_ICD_FILENAMES", "/none").output().unwrap()
    };
    if cfg!(target_os = "linux") {
        let gpu = without("gpu");
        assert_eq!(gpu.status.code(), Some(5), "{}", text(&gpu.stdout));
        assert!(text(&gpu.stderr).contains("--device cpu"), "{}", text(&gpu.stderr));
        let auto = without("auto");
        succeeded(&auto);
        assert!(text(&auto.stdout).contains("no GPU was found"), "{}", text(&auto.stdout));
    }
}

#[test]
fn bench_measures_each_piece_of_work() {
    let place = Place::new();
    let output = place.run(&["bench", "--model", &tiny(), "--steps", "3", "--batch", "1", "--json"]);
    succeeded(&output);
    let report = events(&output.stdout).pop().unwrap();
    for figures in [&report["vae_encode_s"], &report["denoise_step_s"], &report["train_step_s"]["1"]] {
        assert!(figures["median"].as_f64().unwrap() > 0.0 && figures["reps"] == 3, "{report}");
    }
}
