//! A log as it lies on the disk, for people who look for what is wrong with it. Nothing is changed.
//!
//! [`list_segment`] shows one file from its first byte to its last, also what is behind the place
//! where its batches end; [`check`] does what a start does up to its first change.

use std::ops::ControlFlow;

use super::format::{Entries, Label};
use super::recovery::{self, ReplayReport, Start};
use super::scanner::{Found, Scanner};
use super::{LogConfig, LogError, LogId, Sequence};
use crate::env::{ALIGN, Env, File, Open};

/// A piece of a segment.
#[derive(Clone, Debug)]
pub enum Piece<'a> {
    /// A whole batch.
    Batch(Label, Entries<'a>),
    /// Bytes of this segment that are no whole batch: torn, or damaged.
    Torn,
    /// Zeros, or what another segment left when the file was used again.
    Foreign,
}

/// A piece of a segment and its place.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes, a multiple of [`ALIGN`].
    pub bytes: u64,
    /// What is there.
    pub piece: Piece<'a>,
}

/// Where the batches of a segment end that follow each other from its first byte on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanEnd {
    /// The first byte behind them.
    pub offset: u64,
    /// What is there instead of the next.
    pub why: &'static str,
}

/// Gives `each` the segment `id`, the file at `path`, piece by piece, until it breaks off. Returns
/// the file's length and where a scan of it ends; `None` where `each` broke off before.
///
/// # Errors
/// The disk's.
pub async fn list_segment<E: Env>(
    env: &E,
    path: &str,
    id: u64,
    mut each: impl FnMut(Listed<'_>) -> ControlFlow<()>,
) -> Result<(u64, Option<ScanEnd>), LogError> {
    let failed = |what| {
        let file = path.to_owned();
        move |source| LogError::Io { what, file, source }
    };
    let file = env.open(path, Open::Read).await.map_err(failed("open"))?;
    let file_bytes = file.size().await.map_err(failed("open"))?;
    let mut scanner = Scanner::new(env, file, id, file_bytes, false);
    let (mut offset, mut expected) = (0, None);
    let mut end: Option<ScanEnd> = None;
    // Blocks that are no batch, side by side.
    let mut gap: Option<Listed<'static>> = None;
    loop {
        let found = scanner.look(offset).await.map_err(|(_, error)| failed("read")(error))?;
        let why = stop(&found, expected);
        if let Some(why) = why {
            end.get_or_insert(ScanEnd { offset, why });
        }
        let piece = match found {
            Found::Torn(_) => Piece::Torn,
            Found::Foreign => Piece::Foreign,
            Found::Batch(_) | Found::End => {
                if gap.take().is_some_and(|gap| each(gap).is_break()) {
                    return Ok((file_bytes, end));
                }
                let Found::Batch(label) = found else { return Ok((file_bytes, end)) };
                expected = Some(Sequence(label.last().0 + 1));
                let entries = Entries::of(scanner.batch(offset, &label));
                let (bytes, piece) = (label.padded() as u64, Piece::Batch(label, entries));
                if each(Listed { offset, bytes, piece }).is_break() {
                    return Ok((file_bytes, end));
                }
                offset += bytes;
                continue;
            }
        };
        let bytes = ALIGN as u64;
        let is_torn = matches!(piece, Piece::Torn);
        match gap.as_mut().filter(|gap| matches!(gap.piece, Piece::Torn) == is_torn) {
            Some(gap) => gap.bytes += bytes,
            None => {
                let before = gap.replace(Listed { offset, bytes, piece });
                if before.is_some_and(|gap| each(gap).is_break()) {
                    return Ok((file_bytes, end));
                }
            }
        }
        offset += bytes;
    }
}

/// Why a scan ends at what was found where batch `expected` should be.
fn stop(found: &Found, expected: Option<Sequence>) -> Option<&'static str> {
    match found {
        Found::End => Some("the file ends"),
        Found::Torn(_) => Some("a batch that is torn or damaged"),
        Found::Foreign => Some("no batch of this segment"),
        Found::Batch(label) => expected
            .is_some_and(|expected| expected != label.sequence)
            .then_some("a batch that does not follow the one before"),
    }
}

/// Replays log `id` of directory `dir` as a start does, and changes nothing: `apply` is given every
/// entry of a batch above `flushed`.
///
/// # Errors
/// [`LogError`]: a start would end with it.
pub async fn check<E: Env>(
    env: &E,
    dir: &str,
    id: LogId,
    flushed: Sequence,
    apply: impl FnMut(Sequence, &[u8]),
) -> Result<ReplayReport, LogError> {
    let start = Start { env, dir, id, config: &LogConfig::default() };
    Ok(start.replay(flushed, apply).await?.report)
}

/// First and last of the batches that an entry of a repair has given up; `None` if it tells none.
#[must_use]
pub fn given_up(entry: &[u8]) -> Option<(Sequence, Sequence)> {
    recovery::decode_pair(entry)
}
