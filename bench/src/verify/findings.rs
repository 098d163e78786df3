//! What a verification found.
//!
//! The JSON is a contract, as that of a run: names never change, fields are only added.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::generator::Failure;
use crate::ledger::{Page, Seen, Verdict};
use crate::limits::EXAMPLES_MAX;
use crate::report::count;
use crate::workload::key;

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Findings {
    /// Keys of the ledger.
    pub keys: u64,
    /// Keys that hold one of the writes that they may hold, or nothing where that is possible.
    pub right: u64,
    /// Keys that hold something older than a write that was acknowledged, or nothing.
    pub lost: u64,
    /// Keys that hold what was never written to them, or not so.
    pub foreign: u64,
    /// Keys that could not be read.
    pub unreadable: u64,
    /// Reads that failed for good, by kind.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// The first lost keys.
    pub lost_examples: Vec<Example>,
    /// The first foreign ones.
    pub foreign_examples: Vec<Example>,
    /// The first unreadable ones.
    pub unreadable_examples: Vec<Example>,
}

/// A key that is not right.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Example {
    /// The key.
    pub key: String,
    /// What it may hold: sequences of writes, `absent`, or `before`, which is whatever was there.
    pub expected: Vec<String>,
    /// What it held, or why it could not be read.
    pub got: String,
}

impl Findings {
    /// Of a ledger of so many keys, none of them read.
    #[must_use]
    pub fn new(keys: u64) -> Self {
        Self { keys, ..Self::default() }
    }

    /// How many keys were judged, unreadable ones too.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.right + self.lost + self.foreign + self.unreadable
    }

    /// Whether every key was read and is right.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.right == self.keys
    }

    pub(super) fn judged(&mut self, verdict: Verdict, number: u64, page: Option<&Page>, got: Got) {
        let (count, examples) = match verdict {
            Verdict::Right => {
                self.right += 1;
                return;
            }
            Verdict::Lost => (&mut self.lost, &mut self.lost_examples),
            Verdict::Foreign => (&mut self.foreign, &mut self.foreign_examples),
        };
        *count += 1;
        keep(examples, number, page, got.to_string());
    }

    pub(super) fn unreadable(&mut self, number: u64, page: Option<&Page>, failure: Failure) {
        self.unreadable += 1;
        *self.errors_by_kind.entry(failure.to_string()).or_insert(0) += 1;
        keep(&mut self.unreadable_examples, number, page, failure.to_string());
    }
}

fn keep(examples: &mut Vec<Example>, number: u64, page: Option<&Page>, got: String) {
    if examples.len() < EXAMPLES_MAX {
        let key = String::from_utf8_lossy(&key::key(number)).into_owned();
        examples.push(Example { key, expected: page.map_or_else(Vec::new, Page::expected), got });
    }
}

/// What a read saw, and in how many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Got {
    pub(super) seen: Seen,
    pub(super) bytes: usize,
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, bytes } = *self;
        match seen {
            Seen::Absent => f.write_str("absent"),
            Seen::Value { sequence } => write!(f, "{sequence}"),
            Seen::Bytes { claims: Some(sequence) } => {
                write!(f, "{bytes} bytes that are not those of {sequence}, which they name")
            }
            Seen::Bytes { claims: None } => write!(f, "{bytes} bytes that name no write"),
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>13} of {} keys  lost {}  foreign {}  unreadable {}",
            count(self.read()),
            count(self.keys),
            count(self.lost),
            count(self.foreign),
            count(self.unreadable),
        )
    }
}

/// The findings for people.
#[must_use]
pub fn table(findings: &Findings) -> String {
    let Findings { keys, right, lost, foreign, unreadable, .. } = *findings;
    let mut summary = Table::new();
    summary
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["keys", "right", "lost", "foreign", "unreadable"])
        .add_row([keys, right, lost, foreign, unreadable].map(count));
    for column in summary.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{summary}\n");
    let kinds = [
        ("lost", &findings.lost_examples),
        ("foreign", &findings.foreign_examples),
        ("unreadable", &findings.unreadable_examples),
    ];
    for (kind, examples) in kinds {
        for Example { key, expected, got } in examples {
            let expected = expected.join(" or ");
            text.push_str(&format!("{kind:<11} {key}: expected {expected}; got {got}\n"));
        }
    }
    text
}
