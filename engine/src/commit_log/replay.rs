//! The scan of a log: every batch once, in order, until [`replay_case`] says that it ends.

use super::LogError;
use super::Sequence;
use super::format::{Entries, Kind, Label, segment_name};
use super::recovery::{LogFile, ReplayReport};
use super::replay_case::{self, Case, Stop};
use super::scanner::{Found, Scanner};
use super::segments::path;
use crate::env::{ALIGN, Env};
use crate::integrity::Corrupt;

/// A block of the log: which file, and the byte in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct At {
    file: usize,
    offset: u64,
}

/// Batches that nobody misses.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    /// Up to here they are in tables.
    pub(super) flushed: Sequence,
    /// First and last of those that repairs have given up.
    pub(super) given_up: Vec<(Sequence, Sequence)>,
}

impl Settled {
    /// The first sequence from `expected` on that is not settled.
    fn missing(&self, expected: Sequence) -> Sequence {
        let mut missing = expected.max(Sequence(self.flushed.0 + 1));
        // Each of them can push it on once.
        for _ in &self.given_up {
            for (first, last) in &self.given_up {
                if (first..=last).contains(&&missing) {
                    missing = Sequence(last.0 + 1);
                }
            }
        }
        missing
    }
}

/// Valid batches behind the place where a scan stopped.
struct Behind {
    first: Option<(Sequence, At)>,
    durable: Sequence,
}

/// A scan.
pub(super) struct Replay<'a, E: Env, A> {
    pub(super) env: &'a E,
    pub(super) dir: &'a str,
    pub(super) files: &'a mut [LogFile<E::File>],
    pub(super) settled: Settled,
    pub(super) repair: bool,
    /// Is given each entry that is not flushed.
    pub(super) apply: A,
    /// The sequence that should come.
    pub(super) expected: Sequence,
    /// The last batch taken was a seal, in this file.
    pub(super) sealed_in: Option<usize>,
    pub(super) report: ReplayReport,
    /// Ids of segments in which something acknowledged is missing.
    pub(super) damaged: Vec<u64>,
}

impl<'a, E: Env, A: FnMut(Sequence, &[u8])> Replay<'a, E, A> {
    /// Replays the log.
    ///
    /// # Errors
    /// The disk's, and [`LogError::Damaged`] unless it is to be repaired.
    pub(super) async fn run(&mut self) -> Result<(), LogError> {
        let mut at = At { file: 0, offset: 0 };
        while at.file < self.files.len() {
            let torn = self.take_batches(&mut at).await?;
            let missing = self.settled.missing(self.expected);
            let next = (at.file + 1..self.files.len()).find(|&file| self.begins(file).is_some());
            let next_segment = next.and_then(|file| self.begins(file));
            let behind = match next_segment {
                Some(first) if first <= missing => Behind { first: None, durable: Sequence(0) },
                _ => self.look_behind(at, missing).await?,
            };
            let stop = Stop {
                missing,
                torn,
                next_segment,
                behind: behind.first.map(|(sequence, _)| sequence),
                durable_behind: behind.durable,
            };
            let case = replay_case::decide(&stop);
            tracing::debug!(?case, ?stop, ?at, "a scan of the commit log stopped");
            at = match (case, behind.first) {
                (Case::NextSegment, _) => At { file: next.unwrap_or(at.file), offset: 0 },
                (Case::Resume, Some((_, place))) => place,
                (Case::Damaged, Some((sequence, place))) => {
                    self.damage(at, torn, missing, sequence, place)?;
                    place
                }
                _ => break,
            };
        }
        Ok(())
    }

    /// Takes batches from `at` on as long as they follow each other, and moves `at` behind them.
    /// Returns whether it stopped at bytes of a batch that cannot be used.
    async fn take_batches(&mut self, at: &mut At) -> Result<bool, LogError> {
        let ceiling = self.ceiling(at.file);
        let mut scanner = self.scanner(at.file);
        loop {
            let found = scanner.look(at.offset).await.map_err(|e| self.unreadable(at.file, e))?;
            let label = match found {
                Found::Batch(label) => label,
                Found::Torn(_) => return Ok(true),
                Found::Foreign | Found::End => return Ok(false),
            };
            let missing = self.settled.missing(self.expected);
            let follows = (self.expected..=missing).contains(&label.sequence);
            if !follows || label.sequence >= ceiling {
                return Ok(true);
            }
            let bytes = scanner.batch(at.offset, &label);
            self.take(at.file, &label, bytes);
            at.offset += label.padded() as u64;
        }
    }

    fn take(&mut self, file: usize, label: &Label, bytes: &[u8]) {
        self.expected = Sequence(label.last().0 + 1);
        self.sealed_in = (label.kind == Kind::Seal).then_some(file);
        if label.kind == Kind::Seal {
            return;
        }
        self.files[file].last = label.sequence;
        if label.kind == Kind::Entries && label.sequence > self.settled.flushed {
            self.report.batches += 1;
            self.report.entries += u64::from(label.entries);
            Entries::of(bytes).for_each(|entry| (self.apply)(label.sequence, entry));
        }
    }

    /// Looks for valid batches from `from` on, to the end of the log or until they decide.
    async fn look_behind(&mut self, from: At, missing: Sequence) -> Result<Behind, LogError> {
        let mut behind = Behind { first: None, durable: Sequence(0) };
        let mut dropped = 0;
        for file in from.file..self.files.len() {
            let mut offset = if file == from.file { from.offset } else { 0 };
            let ceiling = self.ceiling(file);
            let mut scanner = self.scanner(file);
            loop {
                let found = scanner.look(offset).await.map_err(|e| self.unreadable(file, e))?;
                let label = match found {
                    Found::End => break,
                    Found::Foreign => {
                        offset += ALIGN as u64;
                        continue;
                    }
                    Found::Torn(bytes) => {
                        dropped += bytes;
                        offset += ALIGN as u64;
                        continue;
                    }
                    Found::Batch(label) => label,
                };
                let at = At { file, offset };
                offset += label.padded() as u64;
                if label.sequence < self.expected || label.sequence >= ceiling {
                    continue;
                }
                dropped += label.padded() as u64;
                behind.first.get_or_insert((label.sequence, at));
                behind.durable = behind.durable.max(label.durable_upto);
                let resumes = behind.first.is_some_and(|(sequence, _)| sequence <= missing);
                if resumes || behind.durable >= missing {
                    return Ok(behind);
                }
            }
        }
        // Nothing behind decides: all of it is dropped.
        self.report.tail_bytes_dropped += dropped;
        Ok(behind)
    }

    /// Acknowledged batches from `missing` to the one before `sequence`, which is at `place`, are
    /// not where the scan stopped, at `at`.
    fn damage(
        &mut self,
        at: At,
        torn: bool,
        missing: Sequence,
        sequence: Sequence,
        place: At,
    ) -> Result<(), LogError> {
        // Where a later segment does not begin with a batch, that is the one that is damaged.
        let is_later = !torn && place.file > at.file && place.offset > 0;
        let at = if is_later { At { file: place.file, offset: 0 } } else { at };
        let lost = (missing, Sequence(sequence.0 - 1));
        if !self.repair {
            let what = if torn { "a batch is damaged" } else { "batches are missing" };
            let file = self.path(at.file);
            return Err(LogError::Damaged {
                at: Corrupt { file, offset: at.offset, what },
                lost: Some(lost),
            });
        }
        self.settled.given_up.push(lost);
        self.report.given_up.push(lost);
        self.damaged.push(self.files[at.file].id);
        Ok(())
    }

    /// The sequence at the beginning of a file, if a batch is there.
    fn begins(&self, file: usize) -> Option<Sequence> {
        self.files[file].begins
    }

    /// The least sequence that a later file begins with: from there on `file` does not count.
    fn ceiling(&self, file: usize) -> Sequence {
        let later = self.files[file + 1..].iter().filter_map(|file| file.begins);
        later.min().unwrap_or(Sequence(u64::MAX))
    }

    fn scanner(&self, file: usize) -> Scanner<'a, E> {
        self.files[file].scanner(self.env, self.repair)
    }

    fn path(&self, file: usize) -> String {
        path(self.dir, &segment_name(self.files[file].id))
    }

    fn unreadable(&self, file: usize, (offset, source): (u64, std::io::Error)) -> LogError {
        tracing::error!(offset, "a segment cannot be read");
        LogError::Io { what: "read", file: self.path(file), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_flushed_or_given_up_is_not_missing() {
        let pair = |first, last| (Sequence(first), Sequence(last));
        let settled = Settled {
            flushed: Sequence(10),
            given_up: vec![pair(20, 25), pair(11, 12), pair(13, 13)],
        };
        for (expected, missing) in [(0, 14), (5, 14), (14, 14), (19, 19), (20, 26), (26, 26)] {
            assert_eq!(settled.missing(Sequence(expected)), Sequence(missing));
        }
    }
}
