//! Prompts in every language against a second implementation of the same rules (`tests/fixtures/reference/languages.py`).

use pseudoword::config::{PromptSyntax, option_name};
use pseudoword::text::language::{Part, parse};
use serde_json::Value;

use crate::fixtures::path;

/// A part as the fixture has it: `[text, weight]`, `[number of a word, weight]`, or null for the end of a stretch.
fn is_part(part: &Part, expected: &Value) -> bool {
    let weighs = |weight: f32| {
        let wanted = expected[1].as_f64().unwrap_or(f64::NAN);
        // A product may be rounded in another order.
        (f64::from(weight) - wanted).abs() <= 2e-7 * wanted.abs()
    };
    match part {
        Part::Text { text, weight, .. } => expected[0].as_str() == Some(text) && weighs(*weight),
        Part::Word { word, weight, .. } => expected[0].as_u64() == Some(*word as u64) && weighs(*weight),
        Part::Break { .. } => expected.is_null(),
    }
}

#[test]
fn prompts_are_taken_apart_as_the_programs_do() {
    let file: Value = serde_json::from_slice(&std::fs::read(path("languages.json")).unwrap()).unwrap();
    let words: Vec<&str> = file["words"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let prompts = file["prompts"].as_array().unwrap();
    assert!(prompts.len() >= 300 && words.len() >= 9);
    for prompt in prompts {
        let text = prompt["text"].as_str().unwrap();
        for syntax in PromptSyntax::ALL {
            let expected = prompt[option_name(&syntax)].as_array().unwrap();
            let parts = parse(text, syntax, &words).parts;
            let same = parts.len() == expected.len() && parts.iter().zip(expected).all(|(a, b)| is_part(a, b));
            assert!(same, "{syntax:?}: {text:?}\n{parts:#?}\nexpected {}", Value::from(expected.clone()));
        }
    }
}
