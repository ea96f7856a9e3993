//! What interrupts a command: signals and bugs.

pub(super) mod interrupt;
pub mod panics;
