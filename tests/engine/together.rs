//! Words whose steps share passes, beside the same words alone: on every device, and with two text encoders.

use pseudoword::config::TrainConfig;
use pseudoword::event::Event;
use pseudoword::image::Picture;
use pseudoword::session::ListedWord;
use pseudoword::train::{Pace, TrainInput, TrainPicture};

use crate::fixtures::{Place, cpu, gpu, open};

/// A word of its own: others have more vectors, other rates of sharing, or fewer steps.
fn word(number: u32) -> ListedWord {
    let bytes = std::fs::read(format!("{}/examples/peach/flat.png", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let picture = Picture::decode("flat.png", &bytes).unwrap();
    let pictures = vec![TrainPicture { picture, caption: None, mask: None }];
    let config = TrainConfig {
        token: format!("<w{number}>"),
        init: Some("apple".to_owned()),
        seed: number.into(),
        vectors: Some(1 + number % 2),
        steps: Some(2 + number % 2),
        batch_size: Some(1 + number % 2),
        gradient_accumulation: Some(2),
        snr_gamma: (number == 2).then_some(5.0),
        context_weight: (number == 1).then_some(0.2),
        resolution: Some(64),
        eval_every: 0,
        eval_size: 1,
        preview_every: 0,
        ..TrainConfig::default()
    };
    (config, TrainInput { pictures, ..TrainInput::default() }).into()
}

/// The losses of the steps of words, and their rows.
fn learned(
    model: &str,
    place: &Place,
    words: impl Iterator<Item = ListedWord>,
    pace: Pace,
) -> Vec<(Vec<f64>, Vec<f32>)> {
    let session = open(model, place, None);
    let mut list = session.train_list(words.map(Ok), pace);
    let mut learned = vec![(Vec::new(), Vec::new()); 3];
    while let Some((index, event)) = pollster::block_on(list.next()) {
        match event.unwrap() {
            Event::Step { loss, .. } => learned[index].0.push(loss),
            Event::Done { .. } => {
                let embedding = list.job(index).unwrap().embedding();
                learned[index].1 = embedding.encoders.into_iter().flat_map(|vectors| vectors.rows).collect();
            }
            _ => {}
        }
    }
    learned
}

/// Whether words are with shared passes what they are without.
fn compare(model: &str, place: &Place, words: &[ListedWord]) {
    let again = || words.iter().map(|word| (word.config.clone(), word.input.clone()).into());
    let (alone, together) = (learned(model, place, again(), Pace::of(1)), learned(model, place, again(), Pace::of(3)));
    for ((word, alone), together) in words.iter().zip(&alone).zip(&together) {
        let steps = word.config.steps() as usize;
        assert_eq!((alone.0.len(), together.0.len()), (steps, steps));
        let off = alone.0.iter().zip(&together.0).map(|(a, b)| (a - b).abs() / a).fold(0.0, f64::max);
        let turned = alone.1.iter().zip(&together.1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let what = format!("{} {model} {}: loss {off:.1e}, rows {turned:.1e}", place.name, word.config.token);
        println!("{what}");
        assert!(off < 0.1 * f64::from(place.tolerance), "{what}");
        // AdamW makes a step of the whole rate out of a gradient that is as small as its rounding.
        assert!(alone.1.len() == together.1.len() && turned < 2e-3, "{what}");
    }
}

#[test]
fn words_that_share_passes_are_what_each_is_alone() {
    for model in ["tiny-sd1", "tiny-sdxl"] {
        compare(model, &cpu(), &[0, 1, 2].map(word));
    }
}

/// Two words of one step: GPUs here are programs, which take minutes to compile kernels for more.
#[test]
fn words_that_share_passes_on_a_gpu_are_what_each_is_alone() {
    let (place, _turn) = gpu();
    let short = |number| {
        let mut word = word(number);
        (word.config.steps, word.config.gradient_accumulation) = (Some(1), None);
        word
    };
    compare("tiny-sd1", &place, &[0, 2].map(short));
}
