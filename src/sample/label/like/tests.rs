use super::*;
use crate::config::{EmptyNegative, Pooling, PromptSyntax, SamplerKind};
use crate::noise::{Noise, Stream};
use crate::sample::{Label, NotDone};
use PictureSettings as Said;

const A1111: &str = "masterpiece, (a cat:1.2),\n<lora:fur:0.8> Steps: 9, Seed: 1\nBREAK easynegative\n\
    Negative prompt: badhand, (blur:1.3)\nworst quality\n\
    Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 3141592653, Size: 512x768, Model hash: 6ce0161689, \
    Model: v1-5-pruned-emaonly, VAE: vae-ft-mse.ckpt, Denoising strength: 0.4, Clip skip: 2, ENSD: 31337, \
    Hires upscale: 2, Hires upscaler: \"Latent, (nearest)\", Variation seed: 7, Variation seed strength: 0.2, \
    Lora hashes: \"fur: 0123456789ab\", TI hashes: \"badhand: aaaaaaaaaaaa, easynegative: bbbbbbbbbbbb\", \
    ControlNet 0: \"preprocessor: canny, weight: 1\", Version: v1.9.4";

fn texts(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(keyword, text)| ((*keyword).to_owned(), (*text).to_owned())).collect()
}

fn parameters(text: &str) -> Said {
    Said::of_texts(&texts(&[("parameters", text)])).unwrap()
}

fn codes(notes: &[LikeNote]) -> Vec<&'static str> {
    notes.iter().map(LikeNote::code).collect()
}

fn applied(said: &Said) -> SampleConfig {
    said.applied_to(&SampleConfig::default(), &|_| false)
}

#[test]
fn what_a1111_writes_is_taken_up() {
    let said = parameters(A1111);
    assert_eq!(said.prompt, "masterpiece, (a cat:1.2),\n<lora:fur:0.8> Steps: 9, Seed: 1\nBREAK easynegative");
    let expected = SampleConfig {
        negative_prompt: "badhand, (blur:1.3)\nworst quality".to_owned(),
        steps: Some(28),
        sampler: Some(SamplerKind::Dpmpp2m),
        karras: true,
        guidance: Some(6.5),
        seed: 3_141_592_653,
        width: Some(512),
        height: Some(768),
        clip_skip: 2,
        ..SampleConfig::default()
    };
    assert_eq!(applied(&said), expected);
    assert_eq!((said.own, said.model.as_str(), said.model_hash.as_str()), (false, "v1-5-pruned-emaonly", "6ce0161689"));
    assert_eq!(said.embeddings[1], ("easynegative".to_owned(), "bbbbbbbbbbbb".to_owned()));
    assert_eq!(
        codes(&said.notes),
        ["other-program", "vae", "hires-fix", "variation-seed", "lora", "controlnet", "others"]
    );
    let notes: Vec<String> = said.notes.iter().map(ToString::to_string).collect();
    for (note, part) in notes.iter().zip([
        "(v1.9.4)",
        "vae-ft-mse.ckpt",
        "Hires upscale: 2, Hires upscaler: Latent, (nearest), Denoising strength: 0.4",
        "Variation seed: 7",
        "fur: 0123456789ab",
        "canny",
        "ENSD: 31337",
    ]) {
        assert!(note.contains(part), "{note}: {part}");
    }
}

#[test]
fn what_newer_and_other_programs_write_is_taken_up() {
    let of = |settings: &str| parameters(&format!("a cat\n{settings}"));
    let said = of("Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1");
    assert!(applied(&said).karras);
    let said = of("Steps: 20, Sampler: DPM++ 2M SDE, Schedule type: Exponential, CFG scale: 7, Seed: 1");
    assert_eq!((applied(&said).sampler, applied(&said).karras), (Some(SamplerKind::EulerAncestral), false));
    assert_eq!(codes(&said.notes), ["other-program", "sampler", "spacing"]);
    let said = of("Steps: 20, Sampler: DDIM, Schedule type: Karras, CFG scale: 7, Seed: 1");
    assert_eq!((applied(&said).karras, codes(&said.notes)), (false, vec!["other-program", "spacing"]));
    // An extension's hashes, and a start from a picture.
    let said = of("Steps: 20, Sampler: Euler a, Seed: 1, Denoising strength: 0.7, \
         Hashes: {\"model\": \"0123456789\", \"embed:bad\": \"0a1b2c3d4e\", \"lora:x\": \"11\"}");
    assert_eq!(said.embeddings, [("bad".to_owned(), "0a1b2c3d4e".to_owned())]);
    assert_eq!(
        (said.model_hash.as_str(), codes(&said.notes)),
        ("0123456789", vec!["other-program", "from-picture", "lora"])
    );
    // What cannot be.
    let said = of("Steps: 0, Sampler: Euler, CFG scale: NaN, Seed: -1, Size: 512, Clip skip: two");
    assert_eq!(applied(&said), SampleConfig { sampler: Some(SamplerKind::Euler), ..SampleConfig::default() });
    assert_eq!(codes(&said.notes), ["other-program", "value", "value", "value", "value", "value"]);
}

/// Whole numbers, one after the other, from a seed.
struct Drawn(Vec<f32>);

impl Drawn {
    fn new(seed: u64) -> Self {
        Self(Noise::new(seed).draws(0, Stream::Latents).normals(400))
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.0.pop().unwrap().to_bits() >> 3) as usize % limit
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 16] = [
            "a cat",
            "\n",
            ", ",
            "Negative prompt: x",
            "Steps: 9, Seed: 1, Size: 8x8",
            "\"",
            "\\",
            "(x:1.2)",
            "\u{1f98a}",
            "caf\u{e9}",
            "\u{c3}\u{a9}",
            "  ",
            "\t",
            "BREAK",
            "<peach>",
            "\r\n",
        ];
        (0..self.below(9)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}

#[test]
fn a_label_is_read_as_it_was_written() {
    for seed in 0..300 {
        let mut drawn = Drawn::new(seed);
        let sampler = SamplerKind::ALL[drawn.below(SamplerKind::ALL.len())];
        let (width, height) = (8 * (1 + drawn.below(512)) as u32, 8 * (1 + drawn.below(512)) as u32);
        let config = SampleConfig {
            negative_prompt: drawn.text(),
            prompt_syntax: PromptSyntax::ALL[drawn.below(4)],
            clip_skip: 1 + drawn.below(3) as u32,
            empty_negative: [None, Some(EmptyNegative::Zeros), Some(EmptyNegative::Encoded)][drawn.below(3)],
            pooling: [Pooling::End, Pooling::Diffusers][drawn.below(2)],
            steps: Some(1 + drawn.below(999) as u32),
            guidance: Some(1.0 + f64::from(drawn.0.pop().unwrap().abs()) + 1e-9),
            sampler: Some(sampler),
            karras: sampler.takes_karras() && drawn.below(2) == 0,
            seed: drawn.below(usize::MAX) as u64 * 0x1_0000_0001,
            width: Some(width),
            height: Some(height),
            ..SampleConfig::default()
        };
        let (prompt, hash) = (drawn.text(), "0123456789abcdef".repeat(4));
        let embeddings = [("<peach>".to_owned(), hash.clone()), ("moon, rabbit: 2".to_owned(), hash.clone())];
        let label = Label {
            prompt: &prompt,
            config: &config,
            seed: Some(config.seed),
            size: (width, height),
            model: "mini, or: not",
            model_hash: Some(&hash),
            embeddings: &embeddings[..drawn.below(3)],
        };
        let written = label.text();
        let file = image::encode_png(&::image::RgbImage::new(1, 1), &written).unwrap();
        let said = Said::read(&file, "own.png").unwrap();
        assert_eq!((&said.prompt, applied(&said)), (&prompt, config.clone()), "{written:?}");
        assert_eq!((said.model.as_str(), &said.model_hash, said.own), ("mini, or: not", &hash, true));
        assert_eq!((said.embeddings.as_slice(), said.notes.as_slice()), (label.embeddings, &[][..]));

        // What other programs read is the same, as far as the form goes.
        let alone = Said::of_texts(&written[..1]).unwrap();
        let expected = SampleConfig { negative_prompt: String::new(), ..config };
        assert_eq!(SampleConfig { negative_prompt: String::new(), ..applied(&alone) }, expected, "{written:?}");
        assert_eq!((alone.model.as_str(), alone.own), ("mini, or: not", true));
        assert!(is_same(&alone.model_hash, &hash) && alone.notes.is_empty(), "{:?}", alone.notes);
    }
}

#[test]
fn what_was_given_by_hand_stays() {
    let said = parameters(A1111);
    let given = SampleConfig { seed: 5, sampler: Some(SamplerKind::Ddim), ..SampleConfig::default() };
    let applied = said.applied_to(&given, &|setting| [Setting::Seed, Setting::Sampler].contains(&setting));
    assert_eq!(
        (applied.seed, applied.sampler, applied.karras, applied.steps),
        (5, Some(SamplerKind::Ddim), false, Some(28))
    );
}

/// A spacing belongs to its sampler.
#[test]
fn with_another_sampler_by_hand_the_spacing_is_gone() {
    let said = parameters("a cat\nSteps: 20, Sampler: Euler, Schedule type: Karras, CFG scale: 7, Seed: 1");
    let given = SampleConfig { sampler: Some(SamplerKind::Dpmpp2m), ..SampleConfig::default() };
    assert!(said.applied_to(&given, &|_| false).karras);
    assert!(!said.applied_to(&given, &|setting| setting == Setting::Sampler).karras);
    let karras = SampleConfig { karras: true, ..given };
    assert!(said.applied_to(&karras, &|setting| [Setting::Sampler, Setting::Karras].contains(&setting)).karras);
}

#[test]
fn pictures_without_settings_say_why() {
    for (given, part, read) in [
        (texts(&[]), "no settings", None),
        (texts(&[("Software", "Some Editor"), ("Title", "a cat")]), "no settings", None),
        (
            texts(&[("prompt", "{\"3\": {\"class_type\": \"KSampler\"}}"), ("workflow", "{\"nodes\": []}")]),
            "ComfyUI",
            Some(false),
        ),
        (texts(&[("invokeai_metadata", "{}")]), "InvokeAI", Some(false)),
        (texts(&[("Software", "NovelAI"), ("Comment", "{}")]), "NovelAI", Some(false)),
        (texts(&[("parameters", "a cat")]), "no line of settings", None),
        (texts(&[("parameters", "{\"sui_image_params\": {}}")]), "not read", Some(false)),
        (
            texts(&[("parameters", "{\"prompt\": \"a cat\", \"steps\": 30}"), ("fooocus_scheme", "fooocus")]),
            "Fooocus",
            Some(false),
        ),
        (texts(&[("parameters", "{\"version\": \"Fooocus v2.5.5\"}")]), "Fooocus", Some(false)),
        (texts(&[("prompt", "a\nb"), ("Software", "pseudoword 0.1.0")]), "sheet", Some(false)),
        (texts(&[("parameters", &"x".repeat(LONGEST + 1))]), "far too much", None),
    ] {
        let said = Said::of_texts(&given).unwrap_err();
        assert!(said.contains(part), "{said}: {part}");
        assert_eq!(Said::are_read_in(&given), read, "{given:?}");
    }
    // A workflow beside settings that are read, which is said.
    let both = texts(&[("parameters", A1111), ("workflow", "{\"nodes\": []}")]);
    assert!(Said::of_texts(&both).unwrap().notes.contains(&LikeNote::Workflow));
    assert_eq!(Said::are_read_in(&both), Some(true));
}

#[test]
fn another_model_and_other_embeddings_are_noticed() {
    let said = parameters(A1111);
    for (name, same) in [("v1-5-pruned-emaonly.safetensors", true), ("V1-5_pruned-emaonly", true), ("mini", false)] {
        assert_eq!(said.about_model(name, Some("00")).is_none(), same, "{name}");
    }
    let hash = |digit: &str| digit.repeat(64);
    let at_hand = |given: &[(&str, &str)]| {
        let given: Vec<_> = given.iter().map(|(token, digit)| ((*token).to_owned(), hash(digit))).collect();
        codes(&said.about_embeddings(&given))
    };
    assert_eq!(at_hand(&[("EasyNegative", "b"), ("badhand", "a")]), [""; 0]);
    assert_eq!(at_hand(&[("badhand", "b")]), ["other-embedding", "renamed-embedding"]);
    assert_eq!(at_hand(&[]), ["no-embedding", "no-embedding"]);

    let own = Said { own: true, model_hash: hash("c"), ..said };
    assert_eq!(own.about_model("another name", Some(&hash("c"))), None);
    let note = own.about_model("v1-5-pruned-emaonly", Some(&hash("d"))).unwrap().to_string();
    assert!(note.contains("cccccccccccc") && note.contains("dddddddddddd"), "{note}");
    let nothing = Said { model: String::new(), model_hash: String::new(), ..own };
    assert_eq!(nothing.about_model("mini", None), None);
    assert_eq!(NotDone::of("Hires prompt"), Some(NotDone::HiresFix));
}
