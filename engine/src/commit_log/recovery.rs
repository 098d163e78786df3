//! Start of a log: list, replay, and a new segment to go on in.

use std::io;

use super::format::{
    self, ENTRY_HEADER_BYTES, Entries, HEADER_BYTES, Kind, Label, Place, TEMPORARY, aside_id,
    aside_name, number, segment_id, segment_name,
};
use super::log::CommitLog;
use super::pending::Pending;
use super::replay::{Replay, Settled};
use super::scanner::{Found, Scanner};
use super::segments::{Segment, Segments, path, remove_if_there};
use super::{LogConfig, LogError, LogId, Sequence};
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Env, File, Open};
use crate::integrity::Corrupt;

/// What a replay found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplayReport {
    /// Batches applied.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// The last batch there is; appends go on behind it.
    pub last: Sequence,
    /// Bytes at the end that were written and not acknowledged, and are gone.
    pub tail_bytes_dropped: u64,
    /// First and last of acknowledged batches that this repair has given up.
    pub given_up: Vec<(Sequence, Sequence)>,
}

/// A segment as it was found.
pub(super) struct LogFile<F> {
    pub(super) id: u64,
    pub(super) file: F,
    pub(super) bytes: u64,
    /// The sequence at its beginning, if a batch is there.
    pub(super) begins: Option<Sequence>,
    /// The last batch of it that was replayed and has a number of its own.
    pub(super) last: Sequence,
    /// A repair keeps its bytes under another name.
    pub(super) set_aside: bool,
}

impl<F: File> LogFile<F> {
    pub(super) fn scanner<'a, E: Env<File = F>>(
        &self,
        env: &'a E,
        skip_unreadable: bool,
    ) -> Scanner<'a, E> {
        Scanner::new(env, self.file.clone(), self.id, self.bytes, skip_unreadable)
    }
}

impl<E: Env> CommitLog<E> {
    /// Opens log `id` in directory `dir`, which exists, and gives `apply` every entry that is not
    /// at or below `flushed`, with the sequence of its batch, in order.
    ///
    /// # Errors
    /// [`LogError`]. Nothing on disk was changed, except where the disk refused a change.
    pub async fn open(
        env: E,
        dir: &str,
        id: LogId,
        config: LogConfig,
        flushed: Sequence,
        apply: impl FnMut(Sequence, &[u8]),
    ) -> Result<(Self, ReplayReport), LogError> {
        config.check();
        let start = Start { env: &env, dir, id, config: &config };
        let Replayed { mut files, next_number, settled, sealed_in, damaged, mut next, mut report } =
            start.replay(flushed, apply).await?;
        // From here on the disk is changed.
        start.set_aside(&mut files, &damaged).await?;
        let (bytes, spares_max) = (config.segment_bytes, config.spare_segments);
        let segments = Segments::new(env.clone(), dir, id, bytes, spares_max, next_number);
        let (held, sealed) = start.keep(files, &segments, flushed, sealed_in).await?;
        start.prepare(&segments).await?;
        let mut pending_first = Vec::new();
        if !report.given_up.is_empty() {
            let segment = start.write_repair(&segments, next, &settled.given_up).await?;
            pending_first.push((segment, next));
            next.0 += 1;
            start.prepare(&segments).await?;
        }
        segments.start();
        report.last = Sequence(next.0 - 1);
        let mut pending = Pending::new(&config, next);
        for (segment, last) in held.into_iter().chain(pending_first) {
            pending.hold(segment, last);
        }
        let log = Self::new(env.clone(), dir, &config, segments, pending, report.last, sealed);
        Ok((log, report))
    }
}

/// The steps of an opening.
pub(super) struct Start<'a, E> {
    pub(super) env: &'a E,
    pub(super) dir: &'a str,
    pub(super) id: LogId,
    pub(super) config: &'a LogConfig,
}

/// A log that was replayed, and not changed.
pub(super) struct Replayed<F> {
    files: Vec<LogFile<F>>,
    next_number: u64,
    settled: Settled,
    /// The file whose last batch is a seal that nothing follows.
    sealed_in: Option<usize>,
    /// Ids of segments in which something acknowledged is missing.
    damaged: Vec<u64>,
    /// The sequence of the batch to come.
    next: Sequence,
    pub(super) report: ReplayReport,
}

impl<E: Env> Start<'_, E> {
    fn failed(&self, what: &'static str, name: &str) -> impl FnOnce(io::Error) -> LogError {
        let file = path(self.dir, name);
        move |source| LogError::Io { what, file, source }
    }

    /// Gives `apply` all entries above `flushed`. Changes nothing.
    pub(super) async fn replay(
        &self,
        flushed: Sequence,
        apply: impl FnMut(Sequence, &[u8]),
    ) -> Result<Replayed<E::File>, LogError> {
        let (mut files, next_number) = self.list().await?;
        let given_up = self.read_beginnings(&mut files).await?;
        let mut replay = Replay {
            env: self.env,
            dir: self.dir,
            files: &mut files,
            settled: Settled { flushed, given_up },
            repair: self.config.repair,
            apply,
            expected: Sequence(0),
            sealed_in: None,
            report: ReplayReport::default(),
            damaged: Vec::new(),
        };
        replay.run().await?;
        let (settled, sealed_in, damaged) = (replay.settled, replay.sealed_in, replay.damaged);
        let next = replay.expected.max(Sequence(flushed.0 + 1));
        let report = ReplayReport { last: Sequence(next.0 - 1), ..replay.report };
        Ok(Replayed { files, next_number, settled, sealed_in, damaged, next, report })
    }

    /// The segments, by id, and a number greater than any there was.
    async fn list(&self) -> Result<(Vec<LogFile<E::File>>, u64), LogError> {
        let names = self.env.list(self.dir).await.map_err(self.failed("list", ""))?;
        let aside: Vec<u64> = names.iter().filter_map(|name| aside_id(name)).collect();
        let ids: Vec<u64> = names.iter().filter_map(|name| segment_id(name)).collect();
        let own = ids.iter().chain(&aside).filter(|id| LogId::of(**id) == self.id);
        let next_number = own.map(|id| u64::from(number(*id)) + 1).max().unwrap_or(1);
        let mut files = Vec::new();
        for id in ids {
            let name = segment_name(id);
            if LogId::of(id) != self.id {
                let (file, what) = (path(self.dir, &name), "the file is of another log");
                return Err(LogError::Damaged {
                    at: Corrupt { file, offset: 0, what },
                    lost: None,
                });
            }
            let file = self.env.open(&path(self.dir, &name), Open::ReadWrite).await;
            let file = file.map_err(self.failed("open", &name))?;
            let bytes = file.size().await.map_err(self.failed("open", &name))?;
            files.push(LogFile {
                id,
                file,
                bytes,
                begins: None,
                last: Sequence(0),
                set_aside: aside.contains(&id),
            });
        }
        Ok((files, next_number))
    }

    /// Reads the first batch of each segment. Returns what repairs have given up.
    async fn read_beginnings(
        &self,
        files: &mut [LogFile<E::File>],
    ) -> Result<Vec<(Sequence, Sequence)>, LogError> {
        let ids: Vec<u64> = files.iter().map(|file| file.id).collect();
        let mut given_up = Vec::new();
        for file in files {
            let name = segment_name(file.id);
            let mut scanner = file.scanner(self.env, self.config.repair);
            let found = scanner.look(0).await.map_err(|(_, e)| self.failed("read", &name)(e))?;
            let mut made_bytes = file.bytes.max(ALIGN as u64).next_multiple_of(ALIGN as u64);
            let mut is_misplaced = false;
            if let Found::Batch(label) = found {
                made_bytes = made_bytes.max(u64::from(label.segment_blocks) * ALIGN as u64);
                file.begins = Some(label.sequence);
                if label.kind == Kind::Repair {
                    given_up.extend(Entries::of(scanner.batch(0, &label)).filter_map(decode_pair));
                }
            } else if found != Found::End {
                let other = scanner.other_segment().await;
                let other = other.map_err(|(_, e)| self.failed("read", &name)(e))?;
                // Segments are used again by renaming, under greater ids only: what a file held
                // before is of a lesser id that no file has any more.
                is_misplaced = other.is_some_and(|other| {
                    other > file.id || ids.contains(&other) || LogId::of(other) != self.id
                });
            }
            if self.config.repair {
                continue;
            }
            let what = if file.bytes < made_bytes {
                "the file is shorter than it was made"
            } else if is_misplaced {
                "the file is another segment than its name says"
            } else {
                continue;
            };
            let offset = file.bytes % made_bytes;
            let at = Corrupt { file: path(self.dir, &name), offset, what };
            return Err(LogError::Damaged { at, lost: None });
        }
        Ok(given_up)
    }

    /// Keeps the segments `damaged` under another name.
    async fn set_aside(
        &self,
        files: &mut [LogFile<E::File>],
        damaged: &[u64],
    ) -> Result<(), LogError> {
        for file in files.iter_mut().filter(|file| damaged.contains(&file.id)) {
            let name = segment_name(file.id);
            if !std::mem::replace(&mut file.set_aside, true) {
                let (from, to) = (path(self.dir, &name), path(self.dir, &aside_name(file.id)));
                self.env.link(&from, &to).await.map_err(self.failed("keep a link to", &name))?;
                self.env.sync_dir(self.dir).await.map_err(self.failed("sync", ""))?;
            }
        }
        Ok(())
    }

    /// Parts the segments in those whose batches are still needed, which are synced and returned
    /// with their last batch, and those to be used again. Also says whether the last batch that
    /// is kept is followed by a seal.
    async fn keep(
        &self,
        files: Vec<LogFile<E::File>>,
        segments: &Segments<E>,
        flushed: Sequence,
        sealed_in: Option<usize>,
    ) -> Result<(Vec<(Segment<E::File>, Sequence)>, bool), LogError> {
        let is_needed = |file: &LogFile<E::File>| file.last > flushed;
        let first = files.iter().position(is_needed).unwrap_or(files.len());
        let last = files.iter().rposition(is_needed);
        let mut held = Vec::new();
        let mut free = Vec::new();
        for (index, file) in files.into_iter().enumerate() {
            let LogFile { id, file, bytes, last: last_batch, set_aside, .. } = file;
            let segment = Segment { id, file, bytes, reusable: !set_aside };
            if index >= first && last.is_some_and(|last| index <= last) {
                // After a crash of the process alone it may be read and yet not be durable.
                let synced = segment.file.sync().await;
                synced.map_err(self.failed("sync", &segment_name(id)))?;
                held.push((segment, last_batch));
            } else {
                free.push(segment);
            }
        }
        let temporary = path(self.dir, TEMPORARY);
        let removed = remove_if_there(self.env, &temporary).await;
        removed.map_err(self.failed("remove", TEMPORARY))?;
        segments.release_all(free);
        Ok((held, last.is_none() || last == sealed_in))
    }

    /// Has a segment ready, unless the disk is full.
    async fn prepare(&self, segments: &Segments<E>) -> Result<(), LogError> {
        segments.prepare().await;
        match segments.failure() {
            None => Ok(()),
            Some(failure) => {
                let source = io::Error::new(failure.source.kind(), failure.source.to_string());
                Err(LogError::Io { what: failure.what, file: failure.file, source })
            }
        }
    }

    /// Writes down, in a segment of its own, what repairs have given up, as batch `sequence`.
    async fn write_repair(
        &self,
        segments: &Segments<E>,
        sequence: Sequence,
        given_up: &[(Sequence, Sequence)],
    ) -> Result<Segment<E::File>, LogError> {
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        let segment = segments.take().ok_or_else(full).map_err(self.failed("repair", ""))?;
        let entry_bytes = ENTRY_HEADER_BYTES + PAIR_BYTES;
        let length = HEADER_BYTES + given_up.len() * entry_bytes;
        let mut buf = AlignedBuf::zeroed(length.next_multiple_of(ALIGN));
        for (&pair, entry) in given_up.iter().zip(buf[HEADER_BYTES..].chunks_mut(entry_bytes)) {
            format::begin_entry(entry, PAIR_BYTES);
            entry[ENTRY_HEADER_BYTES..].copy_from_slice(&encode_pair(pair));
        }
        let label = Label {
            sequence,
            durable_upto: Sequence(sequence.0 - 1),
            kind: Kind::Repair,
            segment_blocks: (segment.bytes / ALIGN as u64) as u32,
            entries: given_up.len() as u32,
            length,
        };
        format::finish(Place { segment: segment.id, offset: 0 }, &label, &mut buf[..length]);
        let name = segment_name(segment.id);
        segment.file.write_at(0, buf).await.map_err(self.failed("write", &name))?;
        segment.file.sync().await.map_err(self.failed("sync", &name))?;
        Ok(segment)
    }
}

const PAIR_BYTES: usize = 16;

fn encode_pair((first, last): (Sequence, Sequence)) -> [u8; PAIR_BYTES] {
    (u128::from(first.0) | u128::from(last.0) << 64).to_le_bytes()
}

pub(super) fn decode_pair(entry: &[u8]) -> Option<(Sequence, Sequence)> {
    let pair = u128::from_le_bytes(entry.try_into().ok()?);
    let (first, last) = (pair as u64, (pair >> 64) as u64);
    (first <= last && last < u64::MAX).then_some((Sequence(first), Sequence(last)))
}
