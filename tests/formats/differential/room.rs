//! The module that reads embedding files, on its own.

#[path = "../../../src/embedding/mod.rs"]
pub mod embedding;
