//! Sources against a server that plays the Hub: after every case there is either a verified file or a clear error and a
//! part that can be resumed, never a wrong file under a final name.

#![cfg(all(feature = "native", unix))]
#![allow(clippy::unwrap_used, reason = "a failure in a test is the report")]

mod any;
mod broken;
mod hub;
mod play;
mod processes;
mod program;
mod server;
mod web;
