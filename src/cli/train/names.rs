//! What the files in a run's folder are called.

use crate::train::generations::GENERATIONS;

/// The embedding, by the name that diffusers gives it.
pub const EMBEDDING: &str = "learned_embeds.safetensors";
/// The generations of the state, newest first.
pub const STATES: [&str; GENERATIONS] = ["state", "state.prev"];
/// A state that cannot be read is kept under this name, so that the damage can be examined.
pub const UNREADABLE_STATE: &str = "state.damaged";
pub const LOG: &str = "log.jsonl";
pub const LOSS_CURVE: &str = "loss.png";
pub const MASKS: &str = "masks.png";
pub const PREVIEWS: &str = "previews";
pub const PREVIEW_SHEET: &str = "previews.png";
pub const README: &str = "README.txt";
pub const SETTINGS: &str = "settings.json";
pub const LOCK: &str = "run.lock";
/// What came of the run.
pub const REPORT: &str = "report.json";
pub const BUG_REPORT: &str = "bug-report.json";
