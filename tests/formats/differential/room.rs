//! The module that reads embedding files, on its own.

#[path = "../../../src/base"]
pub mod base {
    pub mod text;
}
#[path = "../../../src/embedding/mod.rs"]
pub mod embedding;
