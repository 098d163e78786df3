//! What an import or export did: every record is in it, as moved or as left out.

use std::time::Duration;

use kvclient::Bytes;
use serde::Serialize;

use crate::encoding::to_hex;
use crate::entry::{Outcome, Problem};
use crate::limits::PROBLEMS_LISTED_MAX;

/// The counts of a transfer.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) records: u64,
    /// Bytes of their values.
    pub(crate) bytes: u64,
    refused: u64,
    skipped: u64,
    failed: u64,
    pub(crate) empty_directories: u64,
    problems: Vec<Problem>,
    /// Why it ended early.
    pub(crate) ended: Option<String>,
    pub(crate) took: Duration,
    /// The key up to which, in the order of the source, all has arrived.
    pub(crate) last_of_whole: Option<Bytes>,
    /// What a snapshot had, of all that was to be restored.
    pub(crate) source: Option<SourceRead>,
}

/// What was read of a source, to be held against what has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct SourceRead {
    pub(crate) records: u64,
    /// Bytes of their values.
    pub(crate) bytes: u64,
}

/// The summary as JSON.
#[derive(Debug, Serialize)]
struct Json<'a> {
    verb: &'a str,
    /// Whether everything there was has arrived.
    complete: bool,
    records: u64,
    bytes: u64,
    refused: u64,
    skipped: u64,
    failed: u64,
    empty_directories: u64,
    ended_early: Option<&'a str>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<SourceRead>,
    #[serde(skip_serializing_if = "Option::is_none")]
    go_on_after_hex: Option<String>,
    problems: Vec<JsonProblem<'a>>,
    problems_not_listed: u64,
}

#[derive(Debug, Serialize)]
struct JsonProblem<'a> {
    outcome: Outcome,
    what: &'a str,
    why: &'a str,
}

impl Summary {
    /// A record arrived.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
    }

    /// Something did not.
    pub(crate) fn left_out(&mut self, problem: Problem) {
        *match problem.outcome {
            Outcome::Refused => &mut self.refused,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Failed => &mut self.failed,
        } += 1;
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(problem);
        }
    }

    /// Whether everything there was has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.problem_count() == 0 && self.ended.is_none() && self.has_all_of_source()
    }

    fn problem_count(&self) -> u64 {
        self.refused + self.skipped + self.failed
    }

    /// For people. `verb` is what was done: `imported`.
    pub(crate) fn text(&self, verb: &str) -> String {
        let seconds = self.took.as_secs_f64();
        let rate = if seconds > 0.0 { self.records as f64 / seconds } else { 0.0 };
        let mut text = format!(
            "{verb} {} records, {} bytes of values, in {seconds:.1} s ({rate:.0}/s)\n",
            self.records, self.bytes
        );
        if self.problem_count() > 0 {
            text += &format!(
                "left out {}: {} refused, {} skipped, {} failed\n",
                self.problem_count(),
                self.refused,
                self.skipped,
                self.failed
            );
        }
        if self.empty_directories > 0 {
            text += &format!("{} empty directories have no key\n", self.empty_directories);
        }
        if let Some(ended) = &self.ended {
            text += &format!("ended early: {ended}\n");
        }
        if let Some(SourceRead { records, bytes }) = self.source {
            let all =
                if self.has_all_of_source() { "all of it is there" } else { "not all arrived" };
            text += &format!("read {records} records, {bytes} bytes of values: {all}\n");
        }
        if let Some(hex) = self.go_on_after() {
            text += &format!("to go on where it ended: --hex --after {hex}\n");
        }
        text
    }

    /// Whether as much has arrived as was read.
    fn has_all_of_source(&self) -> bool {
        let arrived = SourceRead { records: self.records, bytes: self.bytes };
        self.source.is_none_or(|source| source == arrived)
    }

    /// Where a restore that is not complete goes on.
    fn go_on_after(&self) -> Option<String> {
        let last = self.last_of_whole.as_ref()?;
        (self.source.is_some() && !self.is_complete()).then(|| to_hex(last))
    }

    /// For programs.
    pub(crate) fn json(&self, verb: &str) -> String {
        let listed = self.problems.iter().map(|problem| JsonProblem {
            outcome: problem.outcome,
            what: &problem.what,
            why: &problem.why,
        });
        let json = Json {
            verb,
            complete: self.is_complete(),
            records: self.records,
            bytes: self.bytes,
            refused: self.refused,
            skipped: self.skipped,
            failed: self.failed,
            empty_directories: self.empty_directories,
            ended_early: self.ended.as_deref(),
            seconds: (self.took.as_secs_f64() * 1e3).round() / 1e3,
            read: self.source,
            go_on_after_hex: self.go_on_after(),
            problems: listed.collect(),
            problems_not_listed: self.problem_count() - self.problems.len() as u64,
        };
        serde_json::to_string_pretty(&json).expect("strings and numbers are JSON") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_counted_even_where_the_list_ends() {
        let mut summary = Summary::default();
        assert!(summary.is_complete());
        (0..3).for_each(|_| summary.moved(10));
        let problem = Problem::new(Outcome::Refused, "a", "too large");
        (0..PROBLEMS_LISTED_MAX + 5).for_each(|_| summary.left_out(problem.clone()));
        summary.left_out(Problem::new(Outcome::Skipped, "b", "a symbolic link"));
        summary.took = Duration::from_millis(1_500);
        assert!(!summary.is_complete());
        let json: serde_json::Value = serde_json::from_str(&summary.json("import")).unwrap();
        for (name, value) in [
            ("records", 3),
            ("bytes", 30),
            ("refused", PROBLEMS_LISTED_MAX as u64 + 5),
            ("skipped", 1),
            ("problems_not_listed", 6),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
        assert_eq!(json["problems"][0]["why"], "too large");
        assert_eq!(
            summary.text("imported"),
            "imported 3 records, 30 bytes of values, in 1.5 s (2/s)\n\
             left out 10006: 10005 refused, 1 skipped, 0 failed\n"
        );
    }

    #[test]
    fn a_restore_is_complete_when_all_that_was_read_has_arrived() {
        let source = Some(SourceRead { records: 2, bytes: 20 });
        let last_of_whole = Some(Bytes::from("k\n"));
        let mut summary = Summary { source, last_of_whole, ..Summary::default() };
        summary.moved(10);
        assert!(!summary.is_complete());
        let text = summary.text("restored");
        assert!(text.contains("read 2 records, 20 bytes of values: not all arrived\n"), "{text}");
        assert!(text.ends_with("to go on where it ended: --hex --after 6b0a\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&summary.json("restore")).unwrap();
        assert_eq!(
            (&json["read"]["records"], &json["go_on_after_hex"]),
            (&2.into(), &"6b0a".into())
        );
        summary.moved(10);
        assert!(summary.is_complete());
        assert!(summary.text("restored").ends_with("20 bytes of values: all of it is there\n"));
        let json: serde_json::Value = serde_json::from_str(&summary.json("restore")).unwrap();
        assert!(json.get("go_on_after_hex").is_none());
    }

    #[test]
    fn a_transfer_that_ended_early_is_not_complete() {
        let summary = Summary { ended: Some("interrupted".to_owned()), ..Summary::default() };
        assert!(!summary.is_complete());
        assert!(summary.text("exported").ends_with("ended early: interrupted\n"));
    }
}
