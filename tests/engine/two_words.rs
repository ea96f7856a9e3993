//! Two words that are learned of the same pictures: what each becomes, and that a break, a file of choices or the other word change nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use pseudoword::config::{Kind, Recipe, Span, TrainConfig};
use pseudoword::embedding::Embedding;
use pseudoword::event::Event;
use pseudoword::image::Picture;
use pseudoword::session::Session;
use pseudoword::train::{MakeCaptions, Replay, RunState, TrainInput, TrainJob, TrainPicture};

use crate::fixtures::{cpu, open};

fn pictures(captions: [Option<&str>; 2]) -> TrainInput {
    let read = |(name, caption): (&str, Option<&str>)| {
        let bytes = std::fs::read(format!("{}/examples/peach/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let picture = Picture::decode(name, &bytes).unwrap();
        TrainPicture { picture, caption: caption.map(str::to_owned), mask: None }
    };
    let pictures = ["noto.png", "flat.png"].into_iter().zip(captions).map(read).collect();
    TrainInput { pictures, ..TrainInput::default() }
}

fn bare() -> TrainInput {
    pictures([None, None])
}

fn config() -> TrainConfig {
    TrainConfig {
        token: "<peach>".to_owned(),
        init: Some("apple".to_owned()),
        second_token: Some("<ink>".to_owned()),
        second_init: Some("flat".to_owned()),
        second_vectors: Some(1),
        steps: Some(4),
        batch_size: Some(2),
        eval_size: 2,
        eval_every: 2,
        preview_every: 0,
        ..TrainConfig::default()
    }
}

/// Works until `step` steps are made, or to the end; gives the events.
fn work(job: &mut TrainJob, step: u32) -> Vec<Event> {
    let mut events = Vec::new();
    pollster::block_on(async {
        while job.step() < step {
            let Some(event) = job.next().await.unwrap() else { break };
            events.push(event);
        }
    });
    events
}

fn refused(session: &Session, config: &TrainConfig, input: TrainInput) -> String {
    session.train(config, input).map(drop).unwrap_err().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_run_equals_a_whole_one_bit_for_bit(
        k in 0u32..5, seed in 0u64..1000, direction: bool, alone in 0.0..1.0f64, terms: bool, captioned: bool,
    ) {
        let session = open("bundled", &cpu(), None);
        let config = TrainConfig {
            seed,
            alone,
            recipe: if direction { Recipe::Direction } else { Recipe::Adamw },
            hold_norm: terms.then_some(Span { from: 1, to: 3 }),
            context_weight: Some(if terms { 0.1 } else { 0.0 }),
            ..config()
        };
        let input = || if captioned { pictures([Some("a {} in noto style"), Some("a {}, {2} style")]) } else { bare() };
        let mut whole = session.train(&config, input()).unwrap();
        work(&mut whole, u32::MAX);
        let mut first = session.train(&config, input()).unwrap();
        work(&mut first, k);
        let state = RunState::read(&first.state(), "state").unwrap();
        let mut rest = session.resume(&config, input(), &state).unwrap();
        work(&mut rest, u32::MAX);
        prop_assert_eq!(whole.state(), rest.state());
        prop_assert_eq!(whole.embeddings(), rest.embeddings());
    }
}

#[test]
fn each_word_is_an_embedding_that_is_used_without_the_other() {
    let session = open("bundled", &cpu(), None);
    let mut job = session.train(&config(), bare()).unwrap();
    let begun = job.embeddings();
    let events = work(&mut job, u32::MAX);
    let plan = events.iter().find_map(|event| match event {
        Event::Plan { token, vectors, init, second, .. } => {
            Some((token.clone(), *vectors, init.clone(), second.clone().expect("a second word")))
        }
        _ => None,
    });
    let (token, vectors, init, second) = plan.expect("a plan");
    assert_eq!((token.as_str(), vectors, init.as_str()), ("<peach>", 4, "apple"));
    assert_eq!((second.token.as_str(), second.vectors, second.init.as_str()), ("<ink>", 1, "flat"));
    let [peach, ink] = &job.embeddings()[..] else { panic!("two embeddings") };
    assert_eq!((&job.embedding(), peach.vectors(), ink.vectors()), (peach, 4, 1));
    for (embedding, begun, kind, init, other) in
        [(peach, &begun[0], "object", "apple", "<ink>"), (ink, &begun[1], "style", "flat", "<peach>")]
    {
        assert_ne!(embedding.rows(), begun.rows());
        let fact = |key: &str| embedding.metadata[key].as_str();
        assert_eq!((fact("kind"), fact("init"), fact("learned-with"), fact("steps")), (kind, init, other, "4"));
        let read = Embedding::read(&embedding.to_safetensors(), "x", None).unwrap();
        let mut session = open("bundled", &cpu(), None);
        session.add_embedding(read, "x").unwrap();
        assert_eq!(
            session.tokenizer().prompt(&format!("a {}", embedding.token)).words,
            std::slice::from_ref(&embedding.token)
        );
    }
    // What they start from is what each alone would.
    let ids = |word: &str| session.tokenizer().encode(word)[0] as usize;
    let row = |word: &str| session.model().text().model.token_embedding.row(ids(word));
    assert_eq!(begun[0].rows(), row("apple").repeat(4));
    assert_eq!(begun[1].rows(), row("flat"));
}

/// The captions of a run, and what is in its file of choices.
fn captions(session: &Session, config: &TrainConfig, input: TrainInput) -> (BTreeSet<String>, Vec<u8>, TrainJob) {
    let mut job = session.train(config, TrainInput { record: true, ..input }).unwrap();
    work(&mut job, u32::MAX);
    let bytes = job.record().unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!((metadata["token"].as_str(), metadata["second_token"].as_str()), ("<peach>", "<ink>"));
    let captions: Vec<Vec<String>> = serde_json::from_str(&metadata["captions"]).unwrap();
    (captions.into_iter().flatten().collect(), bytes, job)
}

#[test]
fn sentences_are_those_of_the_captions_the_templates_or_for_both_words() {
    let session = open("bundled", &cpu(), None);
    let given = pictures([Some("a {} in noto style"), Some("a {2} style drawing of a {}")]);
    let (said, bytes, whole) = captions(&session, &config(), given.clone());
    let expected = ["a <ink> style drawing of a <peach>", "a <peach> in noto style"];
    assert_eq!(said, expected.map(str::to_owned).into());
    // What was drawn is repeated by the file.
    let replay = Some(Replay::read(&bytes, "choices").unwrap());
    let mut again = session.train(&config(), TrainInput { replay, ..given }).unwrap();
    work(&mut again, u32::MAX);
    assert_eq!(again.embeddings(), whole.embeddings());
    for (kind, said) in
        [(Kind::Object, "<peach> in the style of <ink>"), (Kind::Style, "<ink> in the style of <peach>")]
    {
        let config = TrainConfig { kind, ..config() };
        let (all, ..) = captions(&session, &config, bare());
        assert!(all.iter().all(|text| text.contains("<peach>") && text.contains("<ink>")), "{all:?}");
        assert!(all.iter().any(|text| text.contains(said)), "{all:?}");
    }
    let templates = Some(vec!["a {} by {2}".to_owned()]);
    let (all, ..) = captions(&session, &config(), TrainInput { templates, ..bare() });
    assert!(all.iter().all(|text| text.starts_with("a <peach> by <ink>")), "{all:?}");
}

#[test]
fn captions_that_are_made_have_the_style_where_the_style_is_named() {
    let session = open("bundled", &cpu(), None);
    let made = |config: &TrainConfig| {
        let input = TrainInput { make_captions: MakeCaptions::Usually, ..bare() };
        captions(&session, config, input).0
    };
    let all = made(&config());
    assert!(all.iter().all(|text| text.starts_with("a <peach>, <ink> style on a ")), "{all:?}");
    let all = made(&TrainConfig {
        kind: Kind::Style,
        init: Some("flat".to_owned()),
        second_init: Some("apple".to_owned()),
        ..config()
    });
    assert!(all.iter().all(|text| text.starts_with("a <ink>, <peach> style on a ")), "{all:?}");
}

#[test]
fn what_two_words_cannot_be_is_refused() {
    let session = open("bundled", &cpu(), None);
    let of = |change: fn(&mut TrainConfig)| {
        let mut config = config();
        change(&mut config);
        refused(&session, &config, bare())
    };
    for (refusal, parts) in [
        (of(|config| config.second_token = Some("<PEACH>".to_owned())), ["second-token", "a name of its own"]),
        (of(|config| config.second_token = Some("apple".to_owned())), ["apple", "vocabulary"]),
        (of(|config| config.second_token = None), ["second-init", "second-token"]),
        (of(|config| (config.second_token, config.second_init) = (None, None)), ["second-vectors", "second-token"]),
        (of(|config| config.second_init = Some("apple bear".to_owned())), ["2 tokens", "second-vectors"]),
        (
            of(|config| config.second_kind = Some(Kind::Object)),
            ["nothing says which is which in noto.png", "second-kind"],
        ),
        (of(|config| config.alone = 1.5), ["alone", "0 to 1"]),
        (of(|config| config.second_vectors = Some(0)), ["second-vectors", "at least 1"]),
    ] {
        assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
    }
    let without = pictures([Some("a {}"), Some("my {}")]);
    let refusal = refused(&session, &config(), without);
    assert!(refusal.contains("no caption has <ink> in it"), "{refusal}");
    // Two things are learned where captions say which is which.
    let things = TrainConfig { second_kind: Some(Kind::Object), second_init: Some("hat".to_owned()), ..config() };
    let told = pictures([Some("a {} under a {2}"), Some("a {} with a {2}")]);
    work(&mut session.train(&things, told).unwrap(), 1);
}

#[test]
fn a_run_of_one_word_is_not_that_of_two() {
    let session = open("bundled", &cpu(), None);
    let one = TrainConfig { second_token: None, second_init: None, second_vectors: None, ..config() };
    let mut job = session.train(&one, bare()).unwrap();
    work(&mut job, 1);
    let state = RunState::read(&job.state(), "state").unwrap();
    let refusal = session.resume(&config(), bare(), &state).map(drop).unwrap_err().to_string();
    assert!(refusal.contains("second-token"), "{refusal}");
    // What is left open of a second word is as the run was begun.
    let mut job = session.train(&config(), bare()).unwrap();
    work(&mut job, 1);
    let state = RunState::read(&job.state(), "state").unwrap();
    let open = TrainConfig { second_vectors: None, ..config() };
    let rest = session.resume(&open, bare(), &state).unwrap();
    assert_eq!(rest.embeddings()[1].vectors(), 1);
}

#[test]
fn two_words_are_tried_together() {
    let session = open("bundled", &cpu(), None);
    let config = TrainConfig { steps: Some(50), eval_every: 0, batch_size: Some(1), ..config() };
    let mut job = session.train(&config, bare()).unwrap();
    let events = work(&mut job, 50);
    assert!(!events.iter().any(|event| matches!(event, Event::Quality(_))));
    pollster::block_on(async { while job.next().await.unwrap().is_some() {} });
    let quality = job.quality().expect("it was tried");
    assert!(quality.text.starts_with("pictures with both words "), "{quality:?}");
    assert_eq!(quality.scenes, 8);
    let qualities: Vec<String> =
        job.embeddings().iter().map(|embedding| embedding.metadata["quality"].clone()).collect();
    assert_eq!(qualities[0], qualities[1]);
}
