//! Commit logs: segments piece by piece, and what a start would make of them.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use engine::commit_log::{
    self, BatchKind, BatchLabel, Entries, Listed, LogId, Piece, Sequence, aside_id, given_up,
    list_segment, segment_id,
};
use engine::data_dir::shard_of;
use engine::env::Env as _;
use engine::inspect::{Finding, ReadOnly, Shards, now};
use engine::manifest::Manifest;
use engine::record::{Mark, Record};
use serde_json::{Value, json};

use super::record;
use super::told::{Told, sentence};
use crate::cli::Lines;

/// Shows the segment `path`, or all segments of a shard or of a data directory.
///
/// # Errors
/// The directory is in use or cannot be listed, or the output cannot be written.
pub(super) fn show<W: Write>(path: &Path, lines: Lines, told: &mut Told<W>) -> anyhow::Result<()> {
    let shards = Shards::of(path).map_err(sentence)?;
    let env = ReadOnly::new(&*shards.root);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let (Some(id), [dir]) = (segment_id(name).or(aside_id(name)), &*shards.dirs) {
        return Ok(segment(&env, &format!("{dir}/{name}"), id, lines, told)?);
    }
    for dir in &shards.dirs {
        for name in now(env.list(dir))? {
            if let Some(id) = segment_id(&name) {
                segment(&env, &format!("{dir}/{name}"), id, lines, told)?;
            }
        }
        replay(&env, dir, told)?;
    }
    Ok(())
}

fn segment<W: Write>(
    env: &ReadOnly,
    path: &str,
    id: u64,
    lines: Lines,
    told: &mut Told<W>,
) -> io::Result<()> {
    told.tell(
        || format!("{path}: segment\n\n       offset       bytes  batch\n"),
        || json!({ "segment": { "file": path, "id": format!("{id:016x}") } }),
    )?;
    let mut left = lines.limit.unwrap_or(u64::MAX);
    let mut failure = None;
    let listed = now(list_segment(env, path, id, |listed| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        match piece(&listed, lines, &mut left, told) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }));
    if let Some(error) = failure {
        return Err(error);
    }
    match listed {
        Ok((bytes, Some(end))) => told.tell(
            || format!("  of {bytes} bytes, a scan ends at byte {}: {}\n\n", end.offset, end.why),
            || json!({ "scan_end": { "file": path, "offset": end.offset, "why": end.why } }),
        ),
        Ok((_, None)) => told.tell(|| "  and so on\n\n".to_owned(), || json!({ "cut": path })),
        Err(error) => told.found(&error.into()),
    }
}

fn piece<W: Write>(
    listed: &Listed<'_>,
    lines: Lines,
    left: &mut u64,
    told: &mut Told<W>,
) -> io::Result<()> {
    let Listed { offset, bytes, piece } = listed;
    let (label, entries) = match piece {
        Piece::Batch(label, entries) => (label, entries.clone()),
        Piece::Torn => return gap(*offset, *bytes, "torn or damaged", told),
        Piece::Foreign => return gap(*offset, *bytes, "foreign", told),
    };
    let BatchLabel { sequence, durable_upto, kind, entries: count, length, .. } = label;
    let kind = kind_name(*kind);
    told.tell(
        || {
            format!(
                "  {offset:>11} {bytes:>11}  {sequence} {kind}, durable up to {durable_upto}, \
                 entries {count}, length {length}\n"
            )
        },
        || {
            json!({ "batch": {
                "offset": offset,
                "bytes": bytes,
                "sequence": sequence.0,
                "durable_upto": durable_upto.0,
                "kind": kind,
                "entries": count,
                "length": length,
                "segment_blocks": label.segment_blocks,
            }})
        },
    )?;
    if lines.records {
        return rows(label, entries, left, told);
    }
    *left -= 1;
    Ok(())
}

fn gap<W: Write>(offset: u64, bytes: u64, what: &str, told: &mut Told<W>) -> io::Result<()> {
    told.tell(
        || format!("  {offset:>11} {bytes:>11}  {what}\n"),
        || json!({ "gap": { "offset": offset, "bytes": bytes, "what": what } }),
    )
}

fn rows<W: Write>(
    label: &BatchLabel,
    entries: Entries<'_>,
    left: &mut u64,
    told: &mut Told<W>,
) -> io::Result<()> {
    for entry in entries.take(usize::try_from(*left).unwrap_or(usize::MAX)) {
        *left -= 1;
        let pair = given_up(entry).filter(|_| label.kind == BatchKind::Repair);
        let row = Record::from_row(entry).filter(|_| label.kind == BatchKind::Entries);
        match (pair, row) {
            (Some((first, last)), _) => told.tell(
                || format!("    given up: batches {first} to {last}\n"),
                || json!({ "given_up": { "first": first.0, "last": last.0 } }),
            )?,
            (None, Some(row)) => told.tell(|| record::text(&row), || record::json(&row))?,
            (None, None) if let Some(mark) = Mark::from_row(entry) => {
                let (vnode, what) = match mark {
                    Mark::Join(vnode, clock) => {
                        (vnode, format!("joins dots of {} actors", clock.actors().len()))
                    }
                    Mark::Clear(vnode, last) => (
                        vnode,
                        format!("and those up to {} are cleared: records were lost", last.0),
                    ),
                };
                told.tell(
                    || format!("    clock of vnode {} {what}\n", vnode.0),
                    || json!({ "clock": { "vnode": vnode.0, "what": what } }),
                )?;
            }
            (None, None) => {
                told.note_damage();
                told.tell(
                    || format!("    {} bytes that are no record\n", entry.len()),
                    || json!({ "no_record": { "bytes": entry.len() } }),
                )?;
            }
        }
    }
    Ok(())
}

fn kind_name(kind: BatchKind) -> &'static str {
    match kind {
        BatchKind::Entries => "entries",
        BatchKind::Seal => "seal",
        BatchKind::Repair => "repair",
    }
}

/// Says what a start would replay of the log in `dir`.
fn replay<W: Write>(env: &ReadOnly, dir: &str, told: &mut Told<W>) -> io::Result<()> {
    let Some((generation, shard)) = shard_of(dir) else {
        let what = "which log it is cannot be told: that is no name of a shard's directory";
        return told.found(&Finding { file: dir.to_owned(), offset: 0, what: what.to_owned() });
    };
    let flushed = match now(Manifest::find(env, dir)) {
        Ok(version) => Sequence(version.flushed()),
        Err(error) => return told.found(&error.into()),
    };
    let log = LogId::new(generation, shard);
    match now(commit_log::check(env, dir, log, flushed, |_, _| {})) {
        Ok(report) => told.tell(
            || {
                format!(
                    "{dir}: flushed up to {flushed}; replayed at a start: batches {}, entries {}, \
                     up to {}; bytes dropped {}\n\n",
                    report.batches, report.entries, report.last, report.tail_bytes_dropped
                )
            },
            || replay_json(dir, flushed, &report),
        ),
        Err(error) => told.found(&error.into()),
    }
}

fn replay_json(dir: &str, flushed: Sequence, report: &commit_log::ReplayReport) -> Value {
    json!({ "replay": {
        "dir": dir,
        "flushed": flushed.0,
        "batches": report.batches,
        "entries": report.entries,
        "last": report.last.0,
        "tail_bytes_dropped": report.tail_bytes_dropped,
    }})
}
