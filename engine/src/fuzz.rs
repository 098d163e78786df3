//! What a fuzzer drives: targets that take any bytes, have a decoder of ours read them, and check
//! what it promises. None panics, whatever the bytes; one that does has found something.
//!
//! - Decoders are the real ones; what a target adds makes files of short inputs, and looks at what
//!   came out.
//! - A sum would stand in a fuzzer's way. So the first byte of an input says whether the sums of
//!   what is made of it are made right: both the check and what is behind it are reached.
//! - Zeros that pad a file to whole pages are not in inputs: short ones are mutated better.
//!
//! This module is there in tests, which replay the corpora, and where `cfg(fuzzing)` is set, as it
//! is by `tests/fuzz/run`.

#[cfg(test)]
mod tests;

use crate::{commit_log, data_dir, manifest, scan, snapshot, sstable, vnode};

/// A decoder and what it is held to.
pub struct Target {
    /// Its name, and that of the directory of its corpus.
    pub name: &'static str,
    /// Reads an input, and says whether it was sound.
    ///
    /// # Panics
    /// If the decoder breaks a promise.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that encoders made, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "block", run: sstable::fuzz::block, seeds: sstable::fuzz::block_seeds },
    Target { name: "sections", run: sstable::fuzz::sections, seeds: sstable::fuzz::section_seeds },
    Target { name: "footer", run: sstable::fuzz::footer, seeds: sstable::fuzz::footer_seeds },
    Target { name: "table", run: sstable::fuzz::table, seeds: sstable::fuzz::table_seeds },
    Target { name: "log", run: commit_log::fuzz::log, seeds: commit_log::fuzz::seeds },
    Target { name: "manifest", run: manifest::fuzz::manifest, seeds: manifest::fuzz::seeds },
    Target { name: "clocks", run: vnode::fuzz::clocks, seeds: vnode::fuzz::seeds },
    Target { name: "node", run: data_dir::fuzz::node, seeds: data_dir::fuzz::seeds },
    Target { name: "snapshot", run: snapshot::fuzz::snapshot, seeds: snapshot::fuzz::seeds },
    Target { name: "cursor", run: scan::fuzz::cursor, seeds: scan::fuzz::seeds },
];

/// An input, read from its front. Past its end there are zeros.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `len` bytes, or what is left.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.number(1) as u8
    }

    pub(crate) fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.number(8)
    }

    fn number(&mut self, bytes: usize) -> u64 {
        let mut number = [0; 8];
        let taken = self.take(bytes);
        number[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(number)
    }
}

/// Whether bit `bit` of `byte` is set.
pub(crate) fn bit(byte: u8, bit: u8) -> bool {
    byte >> bit & 1 == 1
}
