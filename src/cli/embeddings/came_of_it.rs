//! What came of the run that left an embedding, where a run's folder or a file in it is described: from its `report.json`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::files;
use crate::cli::train::REPORT;

/// What endings the embeddings of a run have.
const ENDINGS: [&str; 3] = ["safetensors", "bin", "pt"];

/// The report of the run that a word is from, in a folder or beside a file; none if there is none, or it cannot be read: then there
/// is nothing to say.
pub(super) fn read(place: &str, token: Option<&str>) -> Option<Value> {
    let place = Path::new(place);
    if place.is_dir() {
        return in_folder(place);
    }
    // Beside a file there may be the report of another word.
    let report = in_folder(place.parent().filter(|_| place.is_file())?)?;
    [&report["token"], &report["second"]["token"]].contains(&&Value::from(token?)).then_some(report)
}

/// What is described where a place is named: of a run that learned two words the file of each.
pub(super) fn files_of(place: &str) -> Vec<String> {
    let folder = Path::new(place);
    let of_two = folder.is_dir() && in_folder(folder).is_some_and(|report| report["second"].is_object());
    let entries = of_two.then(|| std::fs::read_dir(folder).ok()).flatten().into_iter().flatten().flatten();
    let is_embedding =
        |path: &PathBuf| path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_embedding).collect();
    found.sort();
    let found: Vec<String> = found.iter().filter_map(|path| path.to_str()).map(str::to_owned).collect();
    if found.is_empty() { vec![place.to_owned()] } else { found }
}

fn in_folder(folder: &Path) -> Option<Value> {
    let bytes = files::read(&folder.join(REPORT)).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// The same in lines.
pub(super) fn lines(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // Runs that are too short to be tried have a verdict by their losses.
    let from = if report["quality"].is_object() { &report["quality"] } else { &report["verdict"] };
    let mut lines: Vec<String> =
        text(&from["text"]).map(|text| format!("  how good      {text}")).into_iter().collect();
    lines.extend(text(&from["advice"]).map(|advice| format!("  advice        {advice}")));
    let state = |state: &Value| {
        let [score, error] = [&state["score"], &state["error"]].map(Value::as_f64);
        Some(format!("{:.2} +- {:.2} after step {}", score?, error?, state["step"].as_u64()?))
    };
    let states: Vec<String> = from["states"].as_array().into_iter().flatten().filter_map(state).collect();
    lines.extend((states.len() > 1).then(|| format!("  states        {}", states.join(", "))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_found_is_told_and_what_is_not_there_is_left_out() {
        let tried = |step: u32| json!({"step": step, "score": 0.512, "error": 0.04});
        let quality = json!({"text": "it does", "advice": "go on", "states": [tried(300), tried(150)]});
        let told = lines(&json!({"quality": quality, "verdict": {"text": "the loss"}}));
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].ends_with("it does") && told[1].ends_with("go on"), "{told:?}");
        assert!(told[2].ends_with("0.51 +- 0.04 after step 300, 0.51 +- 0.04 after step 150"), "{told:?}");
        assert_eq!(lines(&json!({"quality": null, "verdict": {"text": "the loss"}})), ["  how good      the loss"]);
        assert!(lines(&json!({})).is_empty() && lines(&json!({"quality": 3, "verdict": [1]})).is_empty());
    }

    #[test]
    fn only_a_folder_with_a_report_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().to_str().unwrap();
        assert_eq!(read(name, Some("<a>")), None);
        for (content, is) in [("{\"steps\": 3}", true), ("[]", false), ("{", false)] {
            std::fs::write(folder.path().join(REPORT), content).unwrap();
            assert_eq!(read(name, Some("<a>")).is_some(), is, "{content}");
        }
        assert_eq!(read("sd-concepts-library/nowhere", None), None);
    }

    #[test]
    fn a_file_has_the_report_beside_it_if_that_is_of_its_word_and_a_folder_of_two_words_has_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for name in ["ink.safetensors", "fox.safetensors", "log.jsonl"] {
            std::fs::write(path(name), "").unwrap();
        }
        let report = |report: Value| std::fs::write(path(REPORT), report.to_string()).unwrap();
        report(json!({"token": "<fox>"}));
        let has = |token: &str| read(&path("ink.safetensors"), Some(token)).is_some();
        assert!(has("<fox>") && !has("<ink>"));
        assert_eq!(files_of(&path("")), [path("")]);
        report(json!({"token": "<fox>", "second": {"token": "<ink>"}}));
        assert!(has("<fox>") && has("<ink>") && !has("<cat>"));
        assert_eq!(files_of(&path("")), [path("fox.safetensors"), path("ink.safetensors")]);
        assert_eq!(files_of("owner/name"), ["owner/name"]);
    }
}
