//! Outlet that writes records as lines of a file, which `replay` reads.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use simulate::SimulatedRecord;

use crate::delivery::summary::Receipt;

/// Size of the write buffer.
const BUFFER_BYTES: usize = 256 * 1024;

pub(super) struct FileOutlet {
    file: BufWriter<Box<dyn Write + Send>>,
    sent: u64,
    flushed: u64,
}

impl FileOutlet {
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let file: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(path).with_context(|| format!("create {}", path.display()))?)
        };
        Ok(Self { file: BufWriter::with_capacity(BUFFER_BYTES, file), sent: 0, flushed: 0 })
    }

    pub(super) fn send(&mut self, record: &SimulatedRecord) -> anyhow::Result<()> {
        let written = self.file.write_all(&record.bytes).and_then(|()| self.file.write_all(b"\n"));
        self.sent += 1;
        written.context("write the file")
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.file.flush().context("write the file")?;
        self.flushed = self.sent;
        Ok(())
    }

    pub(super) fn into_receipt(self) -> Receipt {
        // Without a flush: lines that are not confirmed need not be written.
        drop(self.file.into_parts());
        Receipt { acknowledged: self.flushed, ..Receipt::default() }
    }
}

impl fmt::Debug for FileOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOutlet").field("sent", &self.sent).finish_non_exhaustive()
    }
}
