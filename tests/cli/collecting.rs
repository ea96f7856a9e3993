//! One table and one sheet of many runs.

use std::fs;

use serde_json::Value;

use crate::place::{Place, events, peach, refused, succeeded, text, tiny};

#[test]
fn runs_are_collected_into_a_table_and_a_sheet() {
    let place = Place::new();
    let (model, pictures) = (tiny(), peach());
    let list = format!(
        "model = '{model}'\nsteps = 2\nbatch-size = 1\neval-size = 2\npreview-every = 1\npreview-steps = 2\ncaptions = 'off'\ninit = 'apple'\n\
         pictures = ['{pictures}']\n[[word]]\ntoken = '<a>'\n[[word]]\ntoken = '<b>'\nseed = 5\nsecond-token = '<s>'\nsecond-kind = 'style'\n"
    );
    place.file("words.toml", list.as_bytes());
    succeeded(&place.run(&["train", "--batch", "words.toml"]));
    // What is no run is passed over.
    place.file("runs/other/settings.json", b"{\"key\": 1}");
    let output = place.run(&["collect", "runs", "--json"]);
    succeeded(&output);
    let saved: Vec<String> =
        events(&output.stdout).iter().map(|event| event["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(saved, ["collected.csv", "collected.png"]);
    let mut table = csv_rows(&fs::read_to_string(place.path("collected.csv")).unwrap());
    let head = table.remove(0);
    let cell = |row: usize, column: &str| table[row][head.iter().position(|name| name == column).unwrap()].clone();
    assert_eq!(table.len(), 2);
    assert_eq!([cell(0, "token"), cell(1, "token"), cell(1, "second_token")], ["<a>", "<b>", "<s>"]);
    assert_eq!([cell(0, "steps"), cell(0, "finished"), cell(1, "seed")], ["2", "true", "5"]);
    let report: Value = serde_json::from_slice(&fs::read(place.path("runs/a/report.json")).unwrap()).unwrap();
    assert_eq!(cell(0, "loss_first").parse::<f64>().unwrap(), report["losses"]["training"][0][1].as_f64().unwrap());
    // Six pictures a row: four that are learned from, and two previews.
    let sheet = image::open(place.path("collected.png")).unwrap();
    assert!(sheet.width() > 6 * 16 && sheet.height() > 2 * 16, "{sheet:?}");

    refused(&place.run(&["collect", "runs"]), 2, &["collected.csv exists already", "--overwrite"]);
    refused(&place.run(&["collect", "runs", "--out", "x.txt"]), 2, &[".csv or .json"]);
    fs::create_dir_all(place.path("runs/broken")).unwrap();
    fs::write(place.path("runs/broken/settings.json"), "{").unwrap();
    let output = place.run(&["collect", "runs", "--out", "whole.csv"]);
    succeeded(&output);
    assert!(
        text(&output.stderr).contains("runs/broken/settings.json has no settings of a run in it"),
        "{}",
        text(&output.stderr)
    );
    refused(&place.run(&["collect", "runs/other"]), 2, &["no run in runs/other"]);
    refused(&place.run(&["collect", "nowhere"]), 7, &["nowhere"]);
    let output = place.run(&["collect", "runs/b-s", "--out", "one.json", "--no-sheet"]);
    succeeded(&output);
    assert_eq!(text(&output.stdout), "one.json\n");
    let rows: Vec<Value> = serde_json::from_slice(&fs::read(place.path("one.json")).unwrap()).unwrap();
    assert_eq!(
        (rows.len(), &rows[0]["settings"]["seed"], rows[0]["sha256"].as_array().unwrap().len()),
        (1, &5.into(), 2)
    );
    assert!(!place.path("one.png").exists());
}

/// Cells without quotes in them, which is all that this table has.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"').to_owned()).collect()).collect()
}
