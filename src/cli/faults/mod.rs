//! What interrupts a command: signals, bugs, and the failures that tests ask for.

pub(super) mod interrupt;
pub(super) mod on_demand;
pub mod panics;
