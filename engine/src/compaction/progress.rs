//! [`Progress`]: how far a job has come, and the edits that say so. Pure.
//!
//! A job works in the order of tokens. What it has passed is in its outputs and is seen there; what
//! it has not is still seen in its inputs, whose visible ranges begin later with each edit.

use schemas::ids::Token;

use super::picker::Choice;
use crate::manifest::{Hole, TableEntry, VersionEdit};
use crate::sstable::{FileId, TableInfo, TokenRange};

/// How far a job has come.
pub(super) struct Progress {
    /// The inputs as the version names them, those that are used up left out.
    inputs: Vec<TableEntry>,
    output_level: u8,
    /// Of what moment the outputs' records are.
    as_of: FileId,
    /// Whether inputs above the output's level lose what was passed to holes, and keep the rest.
    is_part: bool,
    /// The tokens still to come; `None` at the end.
    left: Option<TokenRange>,
}

impl Progress {
    /// The beginning of a job.
    pub(super) fn new(inputs: Vec<TableEntry>, choice: &Choice, as_of: FileId) -> Self {
        let hull = inputs.iter().map(|it| it.visible).reduce(TokenRange::hull);
        let (output_level, is_part) = (choice.output_level, choice.part.is_some());
        Self { inputs, output_level, as_of, is_part, left: choice.part.or(hull) }
    }

    /// Whether all tokens were passed.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_none()
    }

    /// Passes all tokens up to `upto`, whose records are in `output`: the edit that says so.
    pub(super) fn pass(&mut self, upto: Token, output: Option<&TableInfo>) -> VersionEdit {
        let left = self.left.expect("there are tokens left");
        let mut edit = VersionEdit::default();
        let (output_level, is_part) = (self.output_level, self.is_part);
        self.inputs.retain_mut(|input| {
            if input.visible.first() > upto || is_part && input.level != output_level {
                return true;
            }
            edit.dropped.push(input.id);
            let seen = |it: &TokenRange| it.overlaps(input.properties.tokens);
            let Some(visible) = input.visible.after(upto).filter(seen) else { return false };
            input.visible = visible;
            edit.added.push(*input);
            true
        });
        let upto = upto.min(left.last());
        let visible = TokenRange::new(left.first(), upto).expect("a token was passed");
        if is_part {
            edit.holes.push(Hole { tokens: visible, before: self.as_of });
        }
        if let Some(output) = output {
            let entry = TableEntry::new(output, self.output_level, visible);
            edit.added.push(TableEntry { as_of: self.as_of, ..entry });
        }
        self.left = left.after(upto);
        edit
    }

    /// Passes all tokens that are left.
    pub(super) fn pass_all(&mut self, output: Option<&TableInfo>) -> VersionEdit {
        self.pass(Token(u64::MAX), output)
    }
}
