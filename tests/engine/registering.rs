//! Words of other programs in the tokenizer and the text encoder: what diffusers' own tests expect of its loader
//! (`tests/pipelines/test_pipelines.py`, `test_text_inversion_download` and its neighbours).

use pseudoword::Error;
use pseudoword::config::SampleConfig;
use pseudoword::embedding::{Embedding, Layout, write};
use pseudoword::session::Session;

use crate::fixtures::{cpu, open};

const WIDTH: usize = 24;

/// A word whose vectors have one value each.
fn word(token: &str, values: &[f32]) -> Embedding {
    let rows = values.iter().flat_map(|value| [*value; WIDTH]).collect();
    Embedding::new(token, WIDTH, rows)
}

/// The same after a trip through a file.
fn through(word: &Embedding, layout: Layout) -> Embedding {
    let bytes = write(word, layout).unwrap();
    Embedding::read(&bytes, "file", (layout == Layout::Kohya).then_some(&word.token)).unwrap()
}

/// The ids of a prompt, without start, end and padding.
fn ids(session: &Session, prompt: &str) -> Vec<u32> {
    let prompt = session.tokenizer().prompt(prompt);
    prompt.first().ids[1..=prompt.length].to_vec()
}

fn sum(session: &Session, row: u32) -> f32 {
    let row = row as usize - session.model().config.text().vocab_size;
    session.rows().values[row * WIDTH..][..WIDTH].iter().sum()
}

#[test]
fn words_of_every_format_get_ids_and_rows_in_order() {
    let mut session = open("tiny-sd1", &cpu(), None);
    let n = session.model().config.text().vocab_size as u32;
    let words = [
        ("<*>", vec![1.0], Layout::Bin),
        ("<**>", vec![2.0], Layout::Safetensors),
        ("<***>", vec![3.0, 4.0, 5.0], Layout::Bin),
        ("<****>", vec![3.0, 4.0, 5.0], Layout::A1111),
        ("<kohya>", vec![6.0, 7.0], Layout::Kohya),
    ];
    let mut next = n;
    for (token, values, layout) in &words {
        session.add_embedding(through(&word(token, values), *layout), token).unwrap();
        let expected: Vec<u32> = (next..next + values.len() as u32).collect();
        assert_eq!(ids(&session, token), expected, "{token}");
        for (id, value) in expected.iter().zip(values) {
            assert_eq!(sum(&session, *id), value * WIDTH as f32, "{token}");
        }
        next += values.len() as u32;
    }
    // A word of several vectors is all of them, each time, whatever stands beside it.
    assert_eq!(ids(&session, "<***> <***>"), [n + 2, n + 3, n + 4, n + 2, n + 3, n + 4]);
    assert_eq!(
        ids(&session, "<***>,<*>"),
        [&[n + 2, n + 3, n + 4][..], &session.tokenizer().encode(","), &[n]].concat()
    );
    assert_eq!(session.tokenizer().words().count(), words.len());

    let config = SampleConfig { steps: Some(1), width: Some(16), height: Some(16), ..SampleConfig::default() };
    let mut job = session.sample("<*> <**> <***> <****> <kohya>", &config).unwrap();
    pollster::block_on(async { while job.next().await.unwrap().is_some() {} });
    assert_eq!(job.take_pictures().len(), 1);
}

#[test]
fn forgetting_a_word_leaves_the_others_and_no_trace() {
    let mut session = open("tiny-sd1", &cpu(), None);
    let n = session.model().config.text().vocab_size as u32;
    let plain = ids(&session, "a <one> <two>");
    for _ in 0..2 {
        for (token, values) in [("<one>", &[1.0, 2.0][..]), ("<two>", &[3.0]), ("<three>", &[4.0, 5.0])] {
            session.add_embedding(word(token, values), token).unwrap();
        }
        assert_eq!(session.remove_embedding("<ONE>").unwrap().rows(), word("", &[1.0, 2.0]).rows());
        assert!(session.remove_embedding("<one>").is_none());
        assert_eq!(ids(&session, "<three> <two>"), [n + 1, n + 2, n]);
        assert_eq!([n, n + 1, n + 2].map(|id| sum(&session, id) / WIDTH as f32), [3.0, 4.0, 5.0]);
        assert!(session.remove_embedding("<three>").is_some() && session.remove_embedding("<two>").is_some());
        assert_eq!(ids(&session, "a <one> <two>"), plain);
        assert_eq!((session.rows().count(), session.embeddings().len()), (0, 0));
    }
}

#[test]
fn names_that_collide_are_refused_and_nothing_changes() {
    let mut session = open("tiny-sd1", &cpu(), None);
    session.add_embedding(word("<a>", &[1.0, 2.0]), "first").unwrap();
    // diffusers calls the second vector of `<a>` so; here it has no name, and a word may have that one.
    session.add_embedding(word("<a>_1", &[3.0]), "second").unwrap();
    let n = session.model().config.text().vocab_size as u32;
    assert_eq!(ids(&session, "<a>_1 <a>"), [n + 2, n, n + 1]);
    for token in ["<a>", "<A>", "a", "<|endoftext|>"] {
        let error = session.add_embedding(word(token, &[9.0]), "third").unwrap_err();
        assert!(matches!(&error, Error::TokenTaken { .. }), "{token}: {error}");
    }
    let error = session.add_embedding(word("two\nlines", &[9.0]), "fourth").unwrap_err();
    assert!(matches!(&error, Error::BadToken { .. }), "{error}");
    assert_eq!(session.rows().count(), 3);
}

#[test]
fn a_word_of_another_family_is_refused_with_both_widths_and_families() {
    let mut session = open("bundled", &cpu(), None);
    let sd2 = Embedding::new("<x>", 1024, vec![0.5; 1024]);
    let message = session.add_embedding(sd2, "style.pt").unwrap_err().to_string();
    for part in ["style.pt", "Stable Diffusion 2.x", "1024", "pseudoword's mini model", "128"] {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}
