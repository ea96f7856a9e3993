//! How far a run is.

use serde::{Deserialize, Serialize};

/// What a run has done so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Steps made or skipped.
    pub step: u32,
    /// Steps skipped: in total, and since the last one that was made.
    pub skipped: u32,
    pub skipped_in_a_row: u32,
    /// The numbers of those among the last ones.
    #[serde(default)]
    pub recently_skipped: Vec<u32>,
    /// The last step after which an evaluation and a preview were made.
    pub evaluated: Option<u32>,
    pub previewed: Option<u32>,
    /// Times that the learning rate was halved.
    #[serde(default)]
    pub halvings: u32,
}
