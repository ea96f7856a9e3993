//! What came of the run that left an embedding, where a run's folder is described: from its `report.json`.

use std::path::Path;

use serde_json::Value;

use crate::base::files;
use crate::cli::train::REPORT;

/// The report in a folder; none if there is none, or it cannot be read: then there is nothing to say.
pub(super) fn read(folder: &str) -> Option<Value> {
    let folder = Path::new(folder);
    let bytes = folder.is_dir().then(|| files::read(&folder.join(REPORT)).ok()).flatten()?;
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
        assert_eq!(read(name), None);
        for (content, is) in [("{\"steps\": 3}", true), ("[]", false), ("{", false)] {
            std::fs::write(folder.path().join(REPORT), content).unwrap();
            assert_eq!(read(name).is_some(), is, "{content}");
        }
        assert_eq!(read("sd-concepts-library/nowhere"), None);
    }
}
