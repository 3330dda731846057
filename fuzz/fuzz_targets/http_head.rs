//! Any bytes on a connection are answered below 500 at first, or not at all.

#![no_main]

use fuzz::{answer_to, status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let answer = answer_to(bytes);
    if !answer.is_empty() {
        let status = status(&answer).expect("an answer of HTTP");
        assert!(status < 500, "{status}");
    }
});
