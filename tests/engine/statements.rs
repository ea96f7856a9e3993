//! What a single file says about itself, against what its base and the user say; and what there is in it beside a model.

use std::rc::Rc;

use pseudoword::checkpoint::{self, Checkpoint, Options};
use pseudoword::error::Kind;
use pseudoword::event::{Event, WarningCode};
use pseudoword::model::ModelConfig;
use pseudoword::schedule::PredictionType::{self, Epsilon, VPrediction};
use pseudoword::source::{Memory, Source, read_text};
use pseudoword::weights::Storage;
use serde_json::{Map, Value, json};

use crate::checkpoints::{assembled, outputs, session, with_base};
use crate::fixtures::{cpu, open};

/// The tiny model's file, with its header changed.
fn edited(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    let bytes = assembled("tiny-sd1");
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
