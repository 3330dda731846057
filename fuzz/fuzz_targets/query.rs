//! A query of any bytes is answered 200 or with the problem that it has.

#![no_main]

use fuzz::{ANSWER_MAX, KEY, answer_to, status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &[u8]| {
    let mut request = b"GET /internal/v1/batches/user/teacher?".to_vec();
    // What ends the line of the request is not part of a query.
    request.extend(query.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | b'#')));
    request.extend_from_slice(b" HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n");
    let credentials = format!("X-Internal-API-Key: {KEY}\r\nX-Service-ID: bff-teacher-service\r\n");
    request.extend_from_slice(credentials.as_bytes());
    request.extend_from_slice(b"\r\n");
    let answer = answer_to(&request, ANSWER_MAX);
    let status = status(&answer).expect("an answer");
    assert!(matches!(status, 200 | 400 | 409 | 414 | 422 | 431), "{status}");
});
