//! A log as it lies on the disk, for people who look for what is wrong with it. Nothing is changed.
//!
//! [`list_segment`] shows one file from its first byte to its last, also what is behind the place
//! where its batches end; [`check`] does what a start does up to its first change.

use std::io;
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
    loop {
        let found = scanner.look(offset).await.map_err(|(_, error)| failed("read")(error))?;
        if let Some(why) = stop(&found, expected) {
            end.get_or_insert(ScanEnd { offset, why });
        }
        let (bytes, piece) = match found {
            Found::End => return Ok((file_bytes, end)),
            Found::Batch(label) => {
                expected = Some(Sequence(label.last().0 + 1));
                let entries = Entries::of(scanner.batch(offset, &label));
                (label.padded() as u64, Piece::Batch(label, entries))
            }
            Found::Torn(_) | Found::Foreign => {
                let is_torn = found != Found::Foreign;
                let gap = gap(&mut scanner, offset, is_torn).await;
                let bytes = gap.map_err(|(_, error)| failed("read")(error))?;
                (bytes, if is_torn { Piece::Torn } else { Piece::Foreign })
            }
        };
        if each(Listed { offset, bytes, piece }).is_break() {
            return Ok((file_bytes, end));
        }
        offset += bytes;
    }
}

/// Bytes from `offset` on whose blocks are all torn, or all foreign.
async fn gap<E: Env>(
    scanner: &mut Scanner<'_, E>,
    offset: u64,
    is_torn: bool,
) -> Result<u64, (u64, io::Error)> {
    let mut bytes = ALIGN as u64;
    loop {
        match scanner.look(offset + bytes).await? {
            Found::Torn(_) if is_torn => bytes += ALIGN as u64,
            Found::Foreign if !is_torn => bytes += ALIGN as u64,
            _ => return Ok(bytes),
        }
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
