//! Codecs: laws that hold for each of them, changed types, nesting, compression, ids.

mod fields;
mod ids;
mod laws;
mod nesting;
mod values;
mod zstd;
