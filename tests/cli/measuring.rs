//! `bench`: what it predicts without measuring, and the report that it writes.

use pseudoword::gpu;
use serde_json::{Value, json};

use crate::place::{Place, events, mini_f16, refused, succeeded, text};

#[test]
fn what_steps_take_at_the_peak_of_known_gpus_is_predicted_without_measuring() {
    let place = Place::new();
    let output = place.run(&["bench", "--predict"]);
    succeeded(&output);
    for part in
        ["RTX 4090", "Apple M2", "Stable Diffusion 1.5's sizes, 512 x 512", "SDXL's sizes, 1024 x 1024", "attention"]
    {
        assert!(text(&output.stdout).contains(part), "{part}: {}", text(&output.stdout));
    }

    let output = place.run(&["bench", "--predict", "--batch", "2", "--json"]);
    succeeded(&output);
    let prediction = events(&output.stdout).pop().unwrap();
    assert_eq!(prediction["event"], "prediction");
    let models = prediction["models"].as_array().unwrap();
    assert_eq!(models.iter().map(|model| model["side"].as_u64().unwrap()).collect::<Vec<_>>(), [512, 1024]);
    for model in models {
        let steps = model["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 4);
        assert!(steps[0]["step"].as_str().unwrap().contains("2 samples"), "{}", steps[0]["step"]);
        for step in steps {
            let seconds = |gpu: &str, products: &str| step["all"]["seconds"][gpu][products].as_f64().unwrap();
            assert!(seconds("RTX 4090", "f32") < seconds("RTX 3060", "f32"), "{step}");
            // The autoencoder computes in f32 always.
            let faster = seconds("RTX 4090", "f16") < seconds("RTX 4090", "f32");
            assert_eq!(faster, !step["step"].as_str().unwrap().ends_with("a picture"), "{step}");
            // wgpu does not offer its matrix units, without which attention is in f32.
            let attention = step["parts"].as_array().unwrap().iter().find(|part| part["part"] == "attention").unwrap();
            let of = |gpu: &str| ["f32", "f16"].map(|products| attention["seconds"][gpu][products].as_f64().unwrap());
            let [[f32, f16], [slow, fast]] = [of("Arc A770"), of("RTX 4090")];
            assert!(f32 == f16 && (fast < slow) == faster, "{step}");
            // The parts are all of it.
            let parts = step["parts"].as_array().unwrap().iter();
            let sum: f64 = parts.map(|part| part["seconds"]["Apple M2"]["f32"].as_f64().unwrap()).sum();
            assert!((sum / seconds("Apple M2", "f32") - 1.0).abs() < 1e-9, "{step}");
        }
    }
    // The 48 normalisations and 16 activations around products are no launches of their own.
    let all = &models[0]["steps"][1]["all"];
    assert_eq!(all["launches"], 293, "{all}");
    // Of SDXL: eight in each of 70 blocks of transformers, 125 around them. The sum of two embeddings has an activation of its own.
    let all = &models[1]["steps"][1]["all"];
    assert_eq!(all["launches"], 685, "{all}");
    // 0.8 TFLOP in each of two samples: 125 ms at 12.7 TFLOP/s.
    let denoising = models[0]["steps"][1]["all"]["seconds"]["RTX 3060"]["f32"].as_f64().unwrap();
    assert!((0.12..0.16).contains(&denoising), "{denoising}");

    refused(&place.run(&["bench", "--predict", "--ops"]), 2, &["cannot be used with"]);
    refused(&place.run(&["bench", "--predict", "--overwrite"]), 2, &["cannot be used with"]);
    refused(&place.run(&["bench", "--predict", "--resolution", "100"]), 2, &["a multiple of 8"]);
    for option in [["--device", "cpu"], ["--precision", "f16"], ["--weights", "f32"]] {
        let arguments = [&option[..], &["bench", "--predict"]].concat();
        refused(&place.run(&arguments), 2, &[option[0], "cannot be used with --predict"]);
    }
}

#[test]
fn a_model_with_random_weights_needs_no_gpu() {
    let place = Place::new();
    for model in ["sd1-narrow", "sdxl"] {
        let arguments = ["bench", "--predict", "--random", model, "--resolution", "64", "--batch", "1"];
        let mut command = place.command(&arguments);
        // With this the device that Burn would choose by itself is none: it would be a GPU, or a panic where there is none.
        let output = command.env("BURN_DEVICE", "none").output().unwrap();
        succeeded(&output);
        assert_eq!(text(&output.stderr), "");
    }
}

#[test]
fn a_gpu_says_how_long_each_kernel_takes() {
    let place = Place::new();
    let bench = ["bench", "--steps", "1", "--seconds", "1", "--batch", "1", "--kernels", "--json", "--device"];
    let output = place.run(&[&bench[..], &["gpu"]].concat());
    succeeded(&output);
    let bench_of = |output: &[u8]| events(output).into_iter().find(|event| event["event"] == "bench").unwrap();
    let found = bench_of(&output.stdout);
    for (step, kernel) in [
        ("denoise_step", "attention"),
        ("train_step", "attention_backward_keys"),
        ("vae_encode", "conv2d"),
        ("vae_decode", "group_norm"),
    ] {
        let times = found["kernels"][step].as_array().unwrap();
        assert!(times.iter().any(|time| time["kernel"].as_str().unwrap().starts_with(kernel)), "{step}: {times:?}");
        let seconds = |time: &Value| time["seconds"].as_f64().unwrap();
        assert!(times.iter().all(|time| seconds(time) > 0.0 && time["launches"].as_u64() > Some(0)), "{step}");
        assert!(times.windows(2).all(|pair| seconds(&pair[0]) >= seconds(&pair[1])), "{step}: the longest come first");
    }
    // Every launch of a step but Burn's few.
    let launches =
        |times: &Value| times.as_array().unwrap().iter().map(|time| time["launches"].as_u64().unwrap()).sum();
    let timed: u64 = launches(&found["kernels"]["train_step"]);
    let counted = found["launches"]["train_step"]["launches"].as_u64().unwrap();
    assert!(timed <= counted && 10 * timed >= 8 * counted, "{timed} of {counted}");

    let output =
        place.run(&["bench", "--steps", "1", "--seconds", "1", "--batch", "1", "--kernels", "--device", "cpu"]);
    succeeded(&output);
    assert!(text(&output.stdout).contains("--kernels has no effect"), "{}", text(&output.stdout));
}

#[test]
fn a_report_has_the_machine_and_every_figure_beside_the_least_time() {
    let place = Place::new();
    let bench = |more: &[&str]| {
        let mut arguments = vec!["bench", "--device", "cpu", "--batch", "1", "--steps", "1", "--seconds", "0.001"];
        arguments.extend(more);
        place.run(&arguments)
    };
    // Whatever is wrong with the file is said before anything is measured.
    place.file("mine.json", b"mine");
    let output = bench(&["--report", "mine.json"]);
    refused(&output, 2, &["mine.json exists already", "--overwrite"]);
    assert_eq!(text(&output.stdout), "");
    refused(&bench(&["--report", "nowhere/report.json"]), 2, &["there is no folder nowhere"]);
    std::fs::create_dir(place.path("folder")).unwrap();
    refused(&bench(&["--report", "folder"]), 2, &["it is a folder"]);
    refused(&bench(&["--overwrite"]), 2, &["--report"]);

    let output = bench(&["--report", "mine.json", "--overwrite"]);
    succeeded(&output);
    assert!(text(&output.stdout).contains("the report is in mine.json"), "{}", text(&output.stdout));
    let report: Value = serde_json::from_slice(&std::fs::read(place.path("mine.json")).unwrap()).unwrap();
    assert_eq!((report["event"].as_str(), report["self_test"]["passed"].as_bool()), (Some("report"), Some(true)));
    assert_eq!(report["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert!(report["adapters"].is_array() && report["chosen"]["kind"] == "cpu", "{report}");
    // What decides which kernels a GPU gets.
    for adapter in report["adapters"].as_array().unwrap() {
        let subgroups = adapter["subgroups"].as_array().unwrap();
        assert!(subgroups.len() == 2 && adapter["cooperative_matrices"].is_array(), "{adapter}");
    }
    assert_eq!(report["bench"]["event"], "bench");
    assert_eq!((&report["precision"]["precision"], &report["precision"]["way"]), (&"f32".into(), &Value::Null));
    assert!(report["bench"]["ops"].as_array().is_some_and(|ops| !ops.is_empty()), "{report}");
    let parts = report["parts"].as_array().unwrap();
    for what in ["a training step of 1 sample", "a denoising step", "decoding", "backward", "self-attention"] {
        let part = parts.iter().find(|part| part["what"].as_str().unwrap().contains(what));
        let part = part.unwrap_or_else(|| panic!("{what} is not in {parts:#?}"));
        let [measured, least, times] = ["measured_s", "least_s", "times"].map(|key| part[key].as_f64().unwrap());
        assert!(measured > 0.0 && least > 0.0 && (times - measured / least).abs() < 1e-9 * times, "{part}");
    }
}

/// Of all reports these are wanted most.
#[test]
fn a_report_of_what_failed_has_what_was_measured_until_then() {
    let place = Place::new();
    let mut failures = vec![
        ("cpu", "panic@2", 1, "Internal", "loading the model", "a panic was asked for"),
        ("cpu", "gpu-memory@4", 5, "Gpu", "VAE decode", "the GPU's memory is full (not enough memory left)"),
        ("cpu", "panic@10", 1, "Internal", "group norm, silu", "a panic was asked for"),
    ];
    if gpu::choose(gpu::DeviceChoice::Gpu).is_ok() {
        failures.push(("gpu", "gpu-lost@4", 5, "Gpu", "VAE decode", "the GPU "));
    }
    for (device, failure, code, kind, doing, message) in failures {
        let arguments = ["bench", "--device", device, "--batch", "1", "--steps", "1", "--seconds", "0.001"];
        let mut command = place.command(&[&arguments[..], &["--report", "report.json", "--overwrite"]].concat());
        let output = command.env("PSEUDOWORD_FAILPOINTS", format!("piece={failure}")).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for part in ["the report is in report.json", "measured until this failed", "error: ", message] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        let report: Value = serde_json::from_slice(&std::fs::read(place.path("report.json")).unwrap()).unwrap();
        let error = &report["error"];
        assert_eq!((&error["kind"], &error["code"]), (&json!(kind), &json!(code)), "{error}");
        for (key, part) in [("doing", doing), ("message", message)] {
            assert!(error[key].as_str().unwrap().contains(part), "{error}");
        }
        assert_eq!(report["self_test"]["passed"], true, "{report}");
        let measured = &report["bench"];
        assert_eq!(measured["vae_encode_s"]["median"].is_f64(), doing != "loading the model", "{measured}");
        assert_eq!(measured["vae_decode_s"].is_null(), doing != "group norm, silu", "{measured}");
        assert_eq!(measured["ops"].as_array().map_or(0, Vec::len), usize::from(doing == "group norm, silu"));
    }
    // What only its user can mend is no failure of the machine.
    let arguments = ["bench", "--resolution", "101", "--seconds", "0.001", "--report", "none.json"];
    refused(&place.run(&arguments), 2, &["a multiple of"]);
    assert!(!place.path("none.json").exists());
}

#[test]
fn what_a_step_costs_the_host_is_measured_where_nothing_is_computed() {
    let place = Place::new();
    // Weights that stay in f16 are what full-size models have; products in f16 do what is around them, too.
    let mut launches = Vec::new();
    for (weights, precision) in [("f32", "f32"), ("f16", "f32"), ("f16", "f16")] {
        let model = ["bench", "--host", "--model", &mini_f16(), "--batch", "2"];
        let output = place.run(&[&model[..], &["--weights", weights, "--precision", precision, "--json"]].concat());
        succeeded(&output);
        let host = events(&output.stdout).pop().unwrap();
        assert_eq!((&host["event"], &host["precision"]), (&json!("host"), &json!(precision)));
        steps_are_fused(&host);
        launches.push([&host["denoise_step"], &host["train_step"]["2"]].map(|step| step["launches"].clone()));
    }
    assert!(launches.windows(2).all(|pair| pair[0] == pair[1]), "{launches:?}");
    // No other command finds this device.
    let output = place.run(&["doctor", "--json"]);
    assert!(!text(&output.stdout).contains("noop"), "{}", text(&output.stdout));
}

/// Of the mini model, whatever Burn launches on its own: a kernel that is no longer used shows.
fn steps_are_fused(host: &Value) {
    let forward = ["linear_normed", "linear_normed_geglu", "linear_activated", "group_norm_joined"];
    let both_ways = ["linear_normed_activated", "linear_slope", "group_norm_joined_backward", "layer_norm_backward"];
    for (step, more, most) in
        [(&host["denoise_step"], &["blend"][..], 150), (&host["train_step"]["2"], &both_ways[..], 375)]
    {
        let kernels = step["kernels"].as_object().unwrap();
        for kernel in forward.iter().chain(more) {
            assert!(kernels.contains_key(*kernel), "{kernel} is in no {step}");
        }
        assert!(step["launches"].as_u64().unwrap() <= most, "{step}");
        let sum: u64 = kernels.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(step["launches"].as_u64(), Some(sum), "{step}");
        // The forms of hardware, on whatever machine this is.
        assert!(kernels.contains_key("linear") && !kernels.contains_key("linear_blocks"), "{step}");
        assert!(step["submissions"].as_f64().unwrap() >= 1.0, "{step}");
        if cfg!(target_os = "linux") {
            let times =
                ["all", "building", "handing_over"].map(|part| step["host_us_per_launch"][part].as_f64().unwrap());
            assert!(times.iter().all(|time| *time > 0.0), "{step}");
        }
    }
}

#[test]
fn what_a_step_costs_the_host_is_refused_with_what_has_no_effect_or_no_room() {
    let place = Place::new();
    for arguments in [["--device", "cpu", "bench", "--host"], ["bench", "--host", "--device", "cpu"]] {
        refused(&place.run(&arguments), 2, &["--device", "cannot be used with --host"]);
    }
    refused(&place.run(&["bench", "--host", "--resolution", "101"]), 2, &["--resolution 101", "a multiple of 4"]);
    // What the device is given would be in the processor's memory, of which only Linux says how much is free.
    if cfg!(target_os = "linux") {
        let output =
            place.run(&["bench", "--host", "--batch", "4096", "--resolution", "1024", "--checkpointing", "off"]);
        refused(&output, 8, &["are free", "the device that computes nothing"]);
    }
}
