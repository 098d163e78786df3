//! A table: what `engine/FORMAT.md` draws of it, with the numbers of this one.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use engine::inspect::{Finding, ReadOnly, now};
use engine::sstable::{
    Block, BlockAt, FileId, Layout, Properties, TABLE_FORMAT, Table, TokenRange,
};
use serde_json::{Value, json};

use super::record;
use super::told::{Told, stamp, token, tokens};
use crate::cli::Lines;

type File = Table<ReadOnly>;

/// Shows the table `file`.
///
/// # Errors
/// The output cannot be written.
pub(super) fn show<W: Write>(file: &Path, lines: Lines, told: &mut Told<W>) -> anyhow::Result<()> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = FileId::from_file_name(name).context("a table's name tells its id")?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = dir.to_str().with_context(|| format!("{} is no UTF-8", dir.display()))?;
    let env = ReadOnly::new("");
    match now(File::open(&env, dir, id, TokenRange::ALL)) {
        Ok(table) => {
            told.tell(|| head_text(&table), || head_json(&table))?;
            blocks(&table, lines, told)?;
        }
        Err(error) => told.found(&error.into())?,
    }
    Ok(())
}

/// The parts behind the blocks: name, offset, bytes, sum.
fn parts(layout: &Layout) -> [(&'static str, u64, u64, Option<u32>); 6] {
    let Layout { data_bytes, partitions_bytes, top, actors, footer_at, footer_bytes } = *layout;
    let end = actors.offset + actors.bytes;
    [
        ("blocks", 0, data_bytes, None),
        ("partitions", data_bytes, partitions_bytes, None),
        ("top", top.offset, top.bytes, Some(top.sum)),
        ("actors", actors.offset, actors.bytes, Some(actors.sum)),
        ("zeros", end, footer_at - end, None),
        ("footer", footer_at, footer_bytes, None),
    ]
}

fn head_text(table: &File) -> String {
    let p = table.properties();
    let mut text = format!(
        "{}: table {}, {} bytes, format {TABLE_FORMAT}\n",
        table.path(),
        table.id(),
        table.file_bytes()
    );
    text += &format!(
        "  records {}, tombstones {}, expiring {}, bytes of keys and values {}\n",
        p.records, p.tombstones, p.expiring, p.raw_bytes
    );
    text += &format!("  tokens {}\n", tokens(p.tokens));
    text += &format!("  stamps {} to {}\n", stamp(p.hlc_min.0), stamp(p.hlc_max.0));
    if p.expiring > 0 {
        text += &format!("  the last of those that expire does at {}\n", p.expires_max_ms);
    }
    text += &format!("  partitions {}\n", table.partitions());
    text += &format!("  keys that pass the filters unseen {}\n\n", table.unfiltered_keys());
    text += "  section         offset       bytes       sum\n";
    for (name, offset, bytes, sum) in parts(&table.layout()) {
        let sum = sum.map_or_else(|| "-".to_owned(), |sum| format!("{sum:08x}"));
        text += &format!("  {name:<10} {offset:>11} {bytes:>11}  {sum:>8}\n");
    }
    text + "\n    block      offset       bytes  first token       records\n"
}

fn head_json(table: &File) -> Value {
    let Properties { records, tombstones, expiring, raw_bytes, tokens, .. } = *table.properties();
    let p = table.properties();
    let sections = parts(&table.layout()).map(|(name, offset, bytes, sum)| {
        let sum = sum.map(|sum| format!("{sum:08x}"));
        json!({ "name": name, "offset": offset, "bytes": bytes, "sum": sum })
    });
    json!({ "table": {
        "file": table.path(),
        "id": table.id().to_string(),
        "bytes": table.file_bytes(),
        "format": TABLE_FORMAT,
        "records": records,
        "tombstones": tombstones,
        "expiring": expiring,
        "raw_bytes": raw_bytes,
        "token_first": token(tokens.first().0),
        "token_last": token(tokens.last().0),
        "stamp_min": stamp(p.hlc_min.0),
        "stamp_max": stamp(p.hlc_max.0),
        "expires_max_ms": p.expires_max_ms,
        "partitions": table.partitions(),
        "unfiltered_keys": table.unfiltered_keys(),
        "sections": sections,
    }})
}

/// Shows the blocks, and their records if they are wanted, up to the limit.
fn blocks<W: Write>(table: &File, lines: Lines, told: &mut Told<W>) -> anyhow::Result<()> {
    let mut left = lines.limit.unwrap_or(u64::MAX);
    let mut number = 0;
    for partition in 0..table.partitions() {
        let partition = match now(table.read_partition(partition)) {
            Ok(partition) => partition,
            Err(error) => {
                let offset = table.partition_at(partition).offset;
                told.found(&Finding { offset, ..error.into() })?;
                continue;
            }
        };
        for (at, first) in partition.blocks() {
            if left == 0 {
                return Ok(());
            }
            left -= block(table, (number, at, first.0), lines.records.then_some(left), told)?;
            number += 1;
        }
    }
    Ok(())
}

/// Shows a block, and of its records as many as are wanted. Says how many lines that took.
fn block<W: Write>(
    table: &File,
    (number, at, first): (u64, BlockAt, u64),
    records_max: Option<u64>,
    told: &mut Told<W>,
) -> anyhow::Result<u64> {
    let block = match now(table.read_block(at)) {
        Ok(block) => Some(block),
        Err(error) => {
            told.found(&Finding { offset: at.offset, ..error.into() })?;
            None
        }
    };
    let records = block.as_ref().map(Block::len);
    told.tell(
        || {
            let (offset, len, first) = (at.offset, at.len, token(first));
            let records = records.map_or_else(|| "damaged".to_owned(), |it| it.to_string());
            format!("  {number:>7} {offset:>11} {len:>11}  {first} {records:>8}\n")
        },
        || {
            json!({ "block": {
                "number": number,
                "offset": at.offset,
                "bytes": at.len,
                "first_token": token(first),
                "records": records,
            }})
        },
    )?;
    let Some(records_max) = records_max else { return Ok(1) };
    let wanted = usize::try_from(records_max).unwrap_or(usize::MAX);
    let mut shown = 0;
    for record in block.iter().flat_map(Block::iter).take(wanted) {
        told.tell(|| record::text(&record), || record::json(&record))?;
        shown += 1;
    }
    Ok(shown)
}
