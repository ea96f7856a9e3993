//! A reader for the pickles that `torch.save` writes, which runs nothing.
//!
//! A pickle is a program for a small stack machine, and Python's machine can call anything. This one cannot call: a
//! name is looked up in the fixed table of [`global`], and what a "call" of such a name means is a `match` arm that
//! builds plain values. Sources: CPython `pickletools.py`; `torch/_weights_only_unpickler.py` for the opcodes that
//! are needed.
//!
//! Values live in an [`Arena`](value::Arena) and are never copied, so that a pickle which refers to one value a
//! million times costs a million small references. What has been put into another value is frozen: cycles cannot be
//! built.

pub mod global;
mod input;
mod machine;
mod opcode;
mod reduce;
pub mod value;

pub use machine::{Unpickled, unpickle};
