//! [`Told`]: where things go that are shown, each as text or as a JSON object.

use std::io::{self, Write};

use engine::data_dir::DirError;
use engine::inspect::Finding;
use engine::sstable::TokenRange;
use serde_json::{Value, json};

/// Things that are shown, and whether any was damaged.
pub(crate) struct Told<W> {
    out: W,
    json: bool,
    damaged: bool,
}

impl<W: Write> Told<W> {
    pub(crate) fn new(out: W, json: bool) -> Self {
        Self { out, json, damaged: false }
    }

    /// Shows a thing: as text, any number of whole lines, or as JSON, one.
    pub(crate) fn tell(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        if self.json {
            writeln!(self.out, "{}", json())
        } else {
            self.out.write_all(text().as_bytes())
        }
    }

    /// Shows what is damaged: as text on stderr, after what came before it.
    pub(crate) fn found(&mut self, finding: &Finding) -> io::Result<()> {
        self.damaged = true;
        if self.json {
            return writeln!(self.out, "{}", json!({ "finding": finding_json(finding) }));
        }
        self.out.flush()?;
        eprintln!("damaged: {finding}");
        Ok(())
    }

    /// Notes damage that is told elsewhere.
    pub(crate) fn note_damage(&mut self) {
        self.damaged = true;
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Ends; whether nothing was damaged.
    pub(crate) fn finish(mut self) -> io::Result<bool> {
        self.out.flush()?;
        Ok(!self.damaged)
    }
}

/// The error as the one sentence that it is: its source is in it.
pub(crate) fn sentence(error: DirError) -> anyhow::Error {
    anyhow::Error::msg(error.to_string())
}

pub(crate) fn finding_json(finding: &Finding) -> Value {
    let Finding { file, offset, what } = finding;
    json!({ "file": file, "offset": offset, "what": what })
}

/// A token, as text in JSON too: not every reader of JSON keeps 64 bits of a number.
pub(crate) fn token(token: u64) -> String {
    format!("{token:016x}")
}

/// From the first to the last token of a range.
pub(crate) fn tokens(range: TokenRange) -> String {
    format!("{} to {}", token(range.first().0), token(range.last().0))
}

/// A stamp of a hybrid logical clock: Unix milliseconds and the counter within them.
pub(crate) fn stamp(hlc: u64) -> String {
    format!("{}.{}", hlc >> 16, hlc & 0xffff)
}
