//! The formats room on its own.

#[path = "../../../src/embedding/mod.rs"]
pub mod embedding;
