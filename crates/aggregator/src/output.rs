//! Standard output and standard error that a slow, full or closed reader cannot block or fail.
//!
//! `print!` and `eprint!` panic when a pipe has no reader, and block when its reader is slow. Here a line
//! that cannot be written is lost, and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes queued for a slow reader. Further lines are lost.
const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long the process waits at its end for queued lines.
pub const FLUSH_MAX: Duration = Duration::from_millis(500);

/// Lines of this process that were not written.
static LOST_LINES: AtomicU64 = AtomicU64::new(0);

/// Prints a line to standard output, for commands that end by themselves. Errors are ignored: a reader
/// that closes its pipe has read enough.
#[macro_export]
macro_rules! print_line {
    ($($argument:tt)*) => {
        $crate::output::write_line(std::io::stdout().lock(), format_args!($($argument)*))
    };
}

/// Writes a line. Errors are ignored.
pub fn write_line(mut output: impl Write, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// How many lines were lost since the last call.
pub fn take_lost_lines() -> u64 {
    LOST_LINES.swap(0, Ordering::Relaxed)
}

/// Writes lines in a thread of its own, so that no caller waits for a reader. Clones share it.
#[derive(Clone, Debug)]
pub struct LineWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of `lines`, and of the line that is being written.
    bytes: usize,
}

impl LineWriter {
    /// A writer of standard output.
    ///
    /// # Errors
    ///
    /// If no thread or no descriptor is left.
    pub fn stdout() -> io::Result<Self> {
        Self::to(File::from(io::stdout().as_fd().try_clone_to_owned()?))
    }

    /// A writer of standard error. It does not take the lock of [`io::stderr`], which a write that
    /// blocks would hold for ever.
    ///
    /// # Errors
    ///
    /// As [`stdout`](Self::stdout).
    pub fn stderr() -> io::Result<Self> {
        Self::to(File::from(io::stderr().as_fd().try_clone_to_owned()?))
    }

    fn to(output: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let queued = Arc::clone(&shared);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || queued.write_all_to(output))?;
        Ok(Self { shared })
    }

    /// Queues a line; the line end is added.
    pub fn line(&self, line: std::fmt::Arguments<'_>) {
        self.shared.push(format!("{line}\n").into_bytes());
    }

    /// Waits until the queue is empty, no longer than `limit`.
    pub fn flush_within(&self, limit: Duration) {
        let queue = self.shared.lock();
        // Lines that are still queued then are lost with the process.
        let _ = self.shared.changed.wait_timeout_while(queue, limit, |queue| queue.bytes > 0);
    }
}

/// Each write is a whole line, as the formatter of log lines makes them.
impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn push(&self, line: Vec<u8>) {
        let mut queue = self.lock();
        if queue.bytes + line.len() > QUEUED_BYTES_MAX {
            LOST_LINES.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line);
        self.changed.notify_all();
    }

    /// Writes for as long as the process lives.
    fn write_all_to(&self, mut output: impl Write) {
        loop {
            let line = self.next_line();
            if output.write_all(&line).is_err() {
                LOST_LINES.fetch_add(1, Ordering::Relaxed);
            }
            self.lock().bytes -= line.len();
            self.changed.notify_all();
        }
    }

    fn next_line(&self) -> Vec<u8> {
        let mut queue = self.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                return line;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that holds the lock can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Accepts a write when the test allows it.
    struct Gate {
        open: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(io::Error::other)?;
            self.written.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unread_output_blocks_no_writer_and_keeps_a_bounded_queue() {
        let (let_one_through, open) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let writer = LineWriter::to(Gate { open, written }).unwrap();
        let line = "x".repeat(1024);
        for _ in 0..2 * QUEUED_BYTES_MAX / line.len() {
            writer.line(format_args!("{line}"));
        }
        assert!(writer.shared.lock().bytes <= QUEUED_BYTES_MAX);
        assert!(take_lost_lines() > 1_000, "lost lines are counted");
        writer.flush_within(Duration::ZERO);

        let_one_through.send(()).unwrap();
        assert_eq!(lines.recv().unwrap().len(), line.len() + 1, "whole lines, in order");
        drop(let_one_through);
        // Writing fails from here on: the lines are lost, and the queue is emptied.
        writer.flush_within(Duration::from_secs(30));
        assert_eq!(writer.shared.lock().bytes, 0);
    }
}
