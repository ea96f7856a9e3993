//! What a single file says about itself, against what its base and the user say; and what there is in it beside a model.

use std::rc::Rc;

use pseudoword::checkpoint::{self, Checkpoint, Options};
use pseudoword::error::Kind;
use pseudoword::event::{Event, WarningCode};
use pseudoword::model::{ModelConfig, OpenedModel};
use pseudoword::schedule::PredictionType::{self, Epsilon, VPrediction};
use pseudoword::schedule::{NoiseSchedule, TimestepSpacing};
use pseudoword::source::{Memory, Source, read_text};
use pseudoword::weights::Storage;
use serde_json::{Map, Value, json};

use crate::checkpoints::{assembled, outputs, session, single, with_base};
use crate::fixtures::{cpu, open};

/// The tiny model's file, with its header changed.
fn edited(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    edited_of("tiny-sd1", change)
}

/// The file of a small model, with its header changed.
fn edited_of(model: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    let bytes = assembled(model);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let text = Value::Object(header).to_string();
    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &bytes[8 + length..]].concat()
}

fn metadata(entries: Value) -> Vec<u8> {
    edited(|header| drop(header.insert("__metadata__".to_owned(), entries)))
}

/// A file among others, opened: what it predicts, and what is said.
fn opened(file: Vec<u8>, beside: &[(&str, &str)], options: &Options) -> (Checkpoint, PredictionType, Vec<String>) {
    let mut memory = Memory::new("somewhere");
    memory.insert("tiny.safetensors", file);
    for (name, text) in beside {
        memory.insert(*name, text.as_bytes().to_vec());
    }
    let checkpoint = pollster::block_on(Checkpoint::open(Rc::new(memory), "tiny.safetensors", options)).unwrap();
    let config = pollster::block_on(ModelConfig::read(&checkpoint)).unwrap();
    let notes = checkpoint.notes().iter().map(|note| note.replace('\u{2060}', "")).collect();
    (checkpoint, config.scheduler.prediction_type, notes)
}

/// The tiny model as a base whose schedule says what is predicted.
fn base(prediction: &str) -> Options {
    let folder = with_base("tiny-sd1").base.unwrap();
    let mut memory = Memory::new("the-base");
    for path in ["text_encoder/config.json", "unet/config.json", "vae/config.json", "scheduler/scheduler_config.json"] {
        let mut text = pollster::block_on(read_text(&*folder, path)).unwrap().unwrap();
        if path.starts_with("scheduler") {
            let mut fields: Map<String, Value> = serde_json::from_str(&text).unwrap();
            fields.insert("prediction_type".to_owned(), prediction.into());
            text = Value::Object(fields).to_string();
        }
        memory.insert(path, text.into_bytes());
    }
    for path in ["tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/special_tokens_map.json"] {
        if let Some(text) = pollster::block_on(read_text(&*folder, path)).unwrap() {
            memory.insert(path, text.into_bytes());
        }
    }
    Options { base: Some(Rc::new(memory)), prediction: None }
}

fn asking(options: Options, prediction: PredictionType) -> Options {
    Options { prediction: Some(prediction), ..options }
}

fn mark(name: &'static str) -> impl FnOnce(&mut Map<String, Value>) {
    |header| drop(header.insert(name.to_owned(), json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})))
}

/// The file of a small model with both marks of a model that predicts velocities and was trained to zero terminal SNR, as NoobAI's are.
pub(crate) fn with_both_marks(model: &str) -> Vec<u8> {
    edited_of(model, |header| ["v_pred", "ztsnr"].into_iter().for_each(|name| mark(name)(header)))
}

#[test]
fn what_a_file_says_of_itself_counts_wherever_it_says_it() {
    let spec = |what: &str| metadata(json!({"modelspec.prediction_type": what}));
    let architecture = |what: &str| metadata(json!({"modelspec.architecture": what}));
    let yaml = ("tiny.yaml", "model:\n  params:\n    parameterization: \"v\"\n    timesteps: 1000\n");
    let json = ("tiny.json", r#"{"prediction_type": "v_prediction"}"#);
    let silent = || with_base("tiny-sd1");
    for (file, beside, options, expected, note) in [
        (assembled("tiny-sd1"), vec![], silent(), Epsilon, ""),
        (spec("v"), vec![], silent(), VPrediction, ""),
        (spec("epsilon"), vec![], base("v_prediction"), Epsilon, "the base the-base says the velocity"),
        (architecture("stable-diffusion-v2-768-v"), vec![], silent(), VPrediction, ""),
        (edited(mark("v_pred")), vec![], silent(), VPrediction, ""),
        (assembled("tiny-sd1"), vec![yaml], silent(), VPrediction, ""),
        (assembled("tiny-sd1"), vec![json], silent(), VPrediction, ""),
        (spec("V"), vec![], silent(), VPrediction, ""),
        (spec("vpred"), vec![], silent(), VPrediction, ""),
        (
            spec("x0"),
            vec![],
            silent(),
            Epsilon,
            "(modelspec.prediction_type) says that it predicts \"x0\", which is not known",
        ),
        (spec(""), vec![], silent(), Epsilon, ""),
        (assembled("tiny-sd1"), vec![("tiny.YAML", yaml.1)], silent(), VPrediction, ""),
        (assembled("tiny-sd1"), vec![("Tiny.yaml", yaml.1)], silent(), Epsilon, ""),
        (assembled("tiny-sd1"), vec![("tiny.yaml", "\u{feff}parameterization: V\n")], silent(), VPrediction, ""),
        (
            assembled("tiny-sd1"),
            vec![("tiny.yaml", "parameterization: flow\n")],
            silent(),
            Epsilon,
            "predicts \"flow\"",
        ),
        (assembled("tiny-sd1"), vec![("tiny.yaml", "parameterization: null\n")], silent(), Epsilon, ""),
        // Not beside this file.
        (assembled("tiny-sd1"), vec![("other.yaml", yaml.1)], silent(), Epsilon, ""),
        (assembled("tiny-sd1"), vec![], base("v_prediction"), VPrediction, ""),
        // A statement against another.
        (
            spec("epsilon"),
            vec![yaml],
            silent(),
            Epsilon,
            "tiny.yaml beside it (parameterization) that it predicts the velocity",
        ),
        // The user has the last word, and hears about it.
        (spec("v"), vec![], asking(silent(), Epsilon), Epsilon, "but `prediction-type` counts"),
        (spec("v"), vec![], asking(silent(), VPrediction), VPrediction, ""),
        (assembled("tiny-sd1"), vec![yaml], asking(silent(), Epsilon), Epsilon, "tiny.yaml beside it"),
        (assembled("tiny-sd1"), vec![], asking(base("epsilon"), VPrediction), VPrediction, "the base the-base says"),
    ] {
        let (_, prediction, notes) = opened(file, &beside, &options);
        assert_eq!(prediction, expected, "{notes:?}");
        assert_eq!(notes.len(), usize::from(!note.is_empty()), "{notes:?}");
        assert!(notes.iter().all(|text| text.contains(note)), "{note}: {notes:?}");
    }
}

#[test]
fn what_cannot_be_done_as_a_file_says_is_said() {
    let trained = |size: &str| metadata(json!({"modelspec.resolution": size}));
    let spec = |fields: Value| metadata(fields);
    for (file, beside, note) in [
        (
            edited(mark("ztsnr")),
            vec![],
            "a mark among its weights (ztsnr) says that it was trained to zero terminal SNR",
        ),
        (spec(json!({"ss_zero_terminal_snr": "True"})), vec![], "ss_zero_terminal_snr"),
        (spec(json!({"ss_zero_terminal_snr": "False"})), vec![], ""),
        (assembled("tiny-sd1"), vec![("tiny.yaml", "model: {params: {scale_factor: 0.13}}")], "scale_factor 0.13"),
        (assembled("tiny-sd1"), vec![("tiny.vae.pt", "PK")], "tiny.vae.pt lies beside it and is not used"),
        (trained("768x768"), vec![], "trained on 768 x 768 pixels, the base"),
        (trained("odd"), vec![], ""),
    ] {
        let (_, _, notes) = opened(file, &beside, &with_base("tiny-sd1"));
        assert_eq!(notes.len(), usize::from(!note.is_empty()), "{note}: {notes:?}");
        assert!(notes.iter().all(|text| text.contains(note)), "{note}: {notes:?}");
    }
}

/// The tiny model's file with more tensors of f32.
fn with_numbers(more: &[(&str, &[f32])]) -> Vec<u8> {
    let bytes = assembled("tiny-sd1");
    let end = bytes.len() - 8 - u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut data = Vec::new();
    let file = edited(|header| {
        for (name, values) in more {
            let start = end + data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let about = json!({"dtype": "F32", "shape": [values.len()], "data_offsets": [start, end + data.len()]});
            header.insert((*name).to_owned(), about);
        }
    });
    [file, data].concat()
}

#[test]
fn numbers_in_a_file_are_worth_a_word_if_others_are_used() {
    let config = pollster::block_on(ModelConfig::read(&*with_base("tiny-sd1").base.unwrap())).unwrap();
    let used = NoiseSchedule::new(&config.scheduler).alphas_cumprod().to_vec();
    let last = *used.last().unwrap();
    let to_nothing: Vec<f32> = used.iter().map(|value| (value - last).max(0.0)).collect();
    let betas: Vec<f32> = (0..used.len()).map(|step| 0.01 * step as f32 / used.len() as f32).collect();
    for (more, note) in [
        (vec![("alphas_cumprod", &used[..])], ""),
        (vec![("scale_factor", &[config.vae.scaling_factor as f32][..])], ""),
        (vec![("scale_factor", &[0.13025])], "scale_factor 0.13025 among its weights, which is not used"),
        (vec![("betas", &betas)], "the noise schedule among its weights (betas) is another"),
        (
            vec![("alphas_cumprod", &to_nothing)],
            "(alphas_cumprod), which leaves no signal at last, says that it was trained",
        ),
        (vec![("model_ema.decay", &[0.9999])], ""),
        (vec![("model_ema.diffusion_modelout2bias", &[0.0; 4])], "averages of the U-Net's weights"),
    ] {
        let (_, _, notes) = opened(with_numbers(&more), &[], &with_base("tiny-sd1"));
        assert_eq!(notes.len(), usize::from(!note.is_empty()), "{note}: {notes:?}");
        assert!(notes.iter().all(|text| text.contains(note)), "{note}: {notes:?}");
    }
}

#[test]
fn a_file_with_only_the_averages_of_its_unet_is_named() {
    let averages = edited(|header| {
        let names: Vec<String> = header.keys().filter(|name| name.starts_with("model.diff")).cloned().collect();
        for name in names {
            let entry = header.remove(&name).unwrap();
            header.insert(format!("model_ema.{}", name["model.".len()..].replace('.', "")), entry);
        }
    });
    let mut memory = Memory::new("somewhere");
    memory.insert("tiny.safetensors", averages);
    let error = pollster::block_on(Checkpoint::open(Rc::new(memory), "tiny.safetensors", &with_base("tiny-sd1")));
    let said = error.err().unwrap().to_string();
    assert!(said.contains("only the averages (EMA)"), "{said}");
}

/// The tiny model as a base, without files whose paths begin with `without` and with one more.
fn other_base(without: &str, path: &str, text: &str) -> Options {
    let Options { base, .. } = base("epsilon");
    let mut memory = Memory::new("the-base");
    let all = [
        "text_encoder/config.json",
        "unet/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
    ];
    for path in all.into_iter().filter(|path| !path.starts_with(without)) {
        if let Some(text) = pollster::block_on(read_text(&**base.as_ref().unwrap(), path)).unwrap() {
            memory.insert(path, text.into_bytes());
        }
    }
    memory.insert(path, text.as_bytes().to_vec());
    Options { base: Some(Rc::new(memory)), prediction: None }
}

#[test]
fn what_is_wrong_in_a_base_is_said_of_the_base() {
    let read = |options: &Options| {
        let mut memory = Memory::new("somewhere");
        memory.insert("tiny.safetensors", assembled("tiny-sd1"));
        let file = pollster::block_on(Checkpoint::open(Rc::new(memory), "tiny.safetensors", options)).unwrap();
        let notes = file.notes().join("\n");
        (notes, pollster::block_on(OpenedModel::read(Rc::new(file))).err().unwrap().to_string())
    };
    let (_, said) = read(&other_base("vae", "vae/config.json", "{"));
    assert!(said.contains("the-base/vae/config.json") && !said.contains("somewhere"), "{said}");
    let (_, said) = read(&other_base("tokenizer/vocab", "tokenizer/vocab.json", "[]"));
    assert!(said.contains("the-base/tokenizer/vocab.json") && !said.contains("somewhere"), "{said}");
    let (notes, said) = read(&other_base("tokenizer", "tokenizer/merges.txt", ""));
    assert!(notes.contains("the base the-base has no tokenizer") && notes.contains("CLIP's"), "{notes}");
    assert!(said.contains("CLIP's tokenizer in this program (the base the-base has none)"), "{said}");
}

#[test]
fn zero_terminal_snr_is_obeyed_by_a_model_of_velocities_whoever_says_it() {
    let schedule = r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "rescale_betas_zero_snr": true"#;
    let of_noise = || other_base("scheduler", "scheduler/scheduler_config.json", &format!("{schedule}}}"));
    for (file, by) in [(assembled("tiny-sd1"), "the base the-base (rescale"), (edited(mark("ztsnr")), "a mark among")] {
        let (_, _, notes) = opened(file, &[], &of_noise());
        assert!(notes.len() == 1 && notes[0].starts_with(by), "{notes:?}");
        assert!(
            notes[0].contains("zero terminal SNR, which goes only with") && notes[0].contains("predicts the noise")
        );
    }
    let both = with_both_marks("tiny-sd1");
    let of_velocity = format!("{schedule}, \"prediction_type\": \"v_prediction\", \"timestep_spacing\": \"leading\"}}");
    let of_velocity = || other_base("scheduler", "scheduler/scheduler_config.json", &of_velocity);
    for (file, options, spacing) in [
        (both.clone(), with_base("tiny-sd1"), TimestepSpacing::Trailing),
        (edited(mark("ztsnr")), asking(with_base("tiny-sd1"), VPrediction), TimestepSpacing::Trailing),
        // A base that asks for it itself says how it is walked.
        (assembled("tiny-sd1"), of_velocity(), TimestepSpacing::Leading),
        (both, of_velocity(), TimestepSpacing::Leading),
    ] {
        let (file, prediction, notes) = opened(file, &[], &options);
        assert_eq!((prediction, notes.as_slice()), (VPrediction, &[][..]));
        let config = pollster::block_on(ModelConfig::read(&file)).unwrap().scheduler;
        assert_eq!((config.rescale_betas_zero_snr, config.timestep_spacing), (true, Some(spacing)));
        assert_eq!(NoiseSchedule::new(&config).alphas_cumprod().last(), Some(&0.0));
    }
}

#[test]
fn a_base_of_another_architecture_is_refused() {
    for (model, base, said) in [
        ("tiny-sdxl", "tiny-sd1", "tiny-sd1 has one text encoder: this file has SDXL's two"),
        ("tiny-sd1", "tiny-sdxl", "tiny-sdxl has SDXL's two text encoders: this file has one"),
    ] {
        let error = single(model, &with_base(base)).err().unwrap();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_file_beside_the_model_that_cannot_be_read_is_named() {
    let utf16: Vec<u8> = "\u{feff}parameterization: v".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, why) in [(utf16, "is not UTF-8 text"), (vec![b' '; (1 << 20) + 1], "is too long")] {
        let mut memory = Memory::new("somewhere");
        memory.insert("tiny.safetensors", assembled("tiny-sd1"));
        memory.insert("tiny.yaml", bytes);
        let file = pollster::block_on(Checkpoint::open(Rc::new(memory), "tiny.safetensors", &with_base("tiny-sd1")));
        let notes = file.unwrap().notes().to_vec();
        assert!(notes.len() == 1 && notes[0].contains(&format!("tiny.yaml beside it {why}")), "{notes:?}");
    }
}

#[test]
fn a_file_wrapped_in_a_name_and_one_with_traces_of_a_merge_compute_what_the_folder_computes() {
    let expected = outputs(&open("tiny-sd1", &cpu(), Some(Storage::AsFile)));
    let wrapped = edited(|header| {
        let names: Vec<String> = header.keys().cloned().collect();
        for name in names {
            let entry = header.remove(&name).unwrap();
            header.insert(format!("state_dict.{name}"), entry);
        }
    });
    let merged = edited(|header| {
        for name in ["lora_unet_mid_block.lora_up.weight", "control_model.zero_convs.0.0.weight", "motion_modules.x"] {
            mark("")(header);
            let nothing = header.remove("").unwrap();
            header.insert(name.to_owned(), nothing);
        }
    });
    for (file, notes) in [(wrapped, 0), (merged, 1)] {
        let (checkpoint, _, said) = opened(file, &[], &with_base("tiny-sd1"));
        assert_eq!(said.len(), notes, "{said:?}");
        assert!(
            said.iter().all(|text| text.contains("3 weights are not part of the model and are not used")),
            "{said:?}"
        );
        assert_eq!(outputs(&session(checkpoint, Storage::AsFile).unwrap()), expected);
    }
}

#[test]
fn a_weight_that_is_no_number_is_named_as_the_file_names_it() {
    let mut bytes = assembled("tiny-sd1");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let from = header["model.diffusion_model.out.2.bias"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[8 + length + from..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let (checkpoint, ..) = opened(bytes, &[], &with_base("tiny-sd1"));
    let error = session(checkpoint, Storage::AsFile).err().unwrap();
    assert_eq!(error.kind(), Kind::Input);
    let said = error.to_string();
    assert!(said.starts_with("somewhere/tiny.safetensors cannot be used"), "{said}");
    assert!(said.contains("model.diffusion_model.out.2.bias: 1 of 4"), "{said}");
}

#[test]
fn what_is_said_of_a_file_is_a_warning_with_a_code() {
    let mut memory = Memory::new("somewhere");
    memory.insert("tiny.safetensors", edited(mark("ztsnr")));
    let mut events = Vec::new();
    let file: Rc<dyn Source> = Rc::new(memory);
    let (options, mut keep) = (with_base("tiny-sd1"), |event| events.push(event));
    assert!(pollster::block_on(checkpoint::open(file, "tiny.safetensors", &options, &mut keep)).is_ok());
    assert!(matches!(&events[..], [Event::Warning { code: WarningCode::Checkpoint, .. }]), "{events:?}");
}
