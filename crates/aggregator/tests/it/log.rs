//! Log lines of a test's thread, as JSON.
//!
//! One subscriber for the whole process: one per test would race for the call sites, each of which
//! remembers whether its first subscriber wanted it.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Records what is logged from now on.
pub(crate) fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(|| Writer)
            .init();
    });
}

/// The lines that this thread has logged since the last call.
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
