//! Command line of the result aggregator: the server, and clients of a running one.

// They panic when nobody reads the output: see `aggregator::output`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod client;
pub mod command;
pub mod dead_letters;
pub mod delivery;
pub mod demo;
mod logging;
pub mod printable;
pub mod replay;
mod signals;
mod traces;
