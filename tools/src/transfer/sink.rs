//! Where an export's records go.

use std::io::Write;

use anyhow::Context as _;

use crate::entry::{Entry, Problem};
use crate::format::Format;
use crate::tree::TreeWriter;

/// Takes records.
pub(crate) trait Sink: Send {
    /// Takes one.
    ///
    /// # Errors
    /// The inner one: this record was left out, the next may not be. The outer one: none will be
    /// taken.
    fn write(&mut self, entry: &Entry) -> anyhow::Result<Result<(), Problem>>;

    /// All records were written.
    ///
    /// # Errors
    /// What was written cannot be kept.
    fn finish(&mut self) -> anyhow::Result<()>;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn write(&mut self, entry: &Entry) -> anyhow::Result<Result<(), Problem>> {
        (**self).write(entry)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        (**self).finish()
    }
}

impl Sink for TreeWriter {
    fn write(&mut self, entry: &Entry) -> anyhow::Result<Result<(), Problem>> {
        Self::write(self, entry)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Lines of a file.
#[derive(Debug)]
pub(crate) struct LineSink<W, F> {
    output: W,
    format: F,
    line: Vec<u8>,
}

impl<W: Write, F: Format> LineSink<W, F> {
    pub(crate) fn new(output: W, format: F) -> Self {
        Self { output, format, line: Vec::new() }
    }
}

impl<W: Write + Send, F: Format + Send> Sink for LineSink<W, F> {
    fn write(&mut self, entry: &Entry) -> anyhow::Result<Result<(), Problem>> {
        self.line.clear();
        self.format.write(entry, &mut self.line);
        self.output.write_all(&self.line).context("cannot write the output")?;
        Ok(Ok(()))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.output.flush().context("cannot write the output")
    }
}
