//! The server without its process: each module on the real parts that it needs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod apply;
mod clocks;
mod dead_letters;
mod http;
mod publish;
