//! Log lines of a test's thread, as JSON.
//!
//! One subscriber for the whole process: one per test would race for the call sites, each of which
//! remembers whether its first subscriber wanted it.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Once;

use tracing::Level;
use tracing_subscriber::filter::DynFilterFn;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

thread_local! {
    static RECORDS: Cell<bool> = const { Cell::new(false) };
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Records what this thread logs from now on, for [`take`]. Other threads log nothing.
pub fn record() {
    start(FmtSpan::NONE);
}

/// As [`record`], with a line for each span when it ends. The first call in a process decides whether there
/// are such lines.
pub fn record_spans() {
    start(FmtSpan::CLOSE);
}

fn start(spans: FmtSpan) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Dynamic: asked at each place again, since the answer differs from thread to thread.
        let is_recorded =
            DynFilterFn::new(|place, _| *place.level() <= Level::DEBUG && RECORDS.get());
        let lines = fmt::layer().json().with_span_events(spans).with_writer(|| Writer);
        tracing_subscriber::registry().with(lines.with_filter(is_recorded)).init();
    });
    RECORDS.set(true);
}

/// The lines that this thread has logged since the last call.
pub fn take() -> String {
    let lines = LINES.with_borrow_mut(std::mem::take);
    String::from_utf8_lossy(&lines).into_owned()
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
