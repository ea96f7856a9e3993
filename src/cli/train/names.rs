//! What the files in a run's folder are called.

/// The embedding, by the name that diffusers gives it.
pub const EMBEDDING: &str = "learned_embeds.safetensors";
/// The newest state, and the one before.
pub const STATE: &str = "state";
pub const PREVIOUS_STATE: &str = "state.prev";
/// A state that cannot be read is kept under this name, so that the damage can be examined.
pub const UNREADABLE_STATE: &str = "state.damaged";
pub const LOG: &str = "log.jsonl";
pub const LOSS_CURVE: &str = "loss.png";
pub const PREVIEWS: &str = "previews";
pub const PREVIEW_SHEET: &str = "previews.png";
pub const README: &str = "README.txt";
pub const SETTINGS: &str = "settings.json";
pub const LOCK: &str = "run.lock";
pub const REPORT: &str = "report.json";
