//! What a test's thread has logged, as lines of JSON.
//!
//! One subscriber for the whole process: one per test would race for the places that log, each of
//! which remembers whether the first to pass it wanted its lines.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged from now on.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(|| Writer)
            .init();
    });
}

/// What this thread has logged since the last call.
pub(crate) fn take() -> String {
    let lines = LINES.with_borrow_mut(std::mem::take);
    String::from_utf8(lines).unwrap()
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
