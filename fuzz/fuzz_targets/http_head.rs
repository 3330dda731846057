//! Any bytes on a connection are answered below 500 at first, or not at all.

#![no_main]

use std::time::Duration;

use fuzz::{answer_to, status};
use libfuzzer_sys::fuzz_target;

/// A head that is not complete is waited for no longer.
const QUIET: Duration = Duration::from_millis(50);

fuzz_target!(|bytes: &[u8]| {
    let answer = answer_to(bytes, QUIET);
    if !answer.is_empty() {
        let status = status(&answer).expect("an answer of HTTP");
        assert!(status < 500, "{status}");
    }
});
