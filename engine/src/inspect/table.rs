//! All of a table: each partition and block, and what they, footer and manifest say of each other.

use super::finding::Finding;
use crate::env::Env;
use crate::limits::BLOCK_FINDINGS_MAX;
use crate::record::Key;
use crate::sstable::{Block, BlockAt, Partition, Properties, Table};

/// What was read of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Its blocks.
    pub blocks: u64,
    /// Their records.
    pub records: u64,
}

/// The greatest key so far, owned.
type Place = (u64, u32, Vec<u8>);

fn place(key: &Key<'_>) -> Place {
    (key.token.0, key.namespace.0, key.bytes.to_vec())
}

/// Reads all blocks of `table`, all of which can be seen, and gives `found` what is wrong with it.
/// `read` is told the bytes of each block.
pub async fn check_table<E: Env>(
    table: &Table<E>,
    found: &mut dyn FnMut(Finding),
    read: &mut dyn FnMut(u64),
) -> Checked {
    let mut checked = Checked::default();
    let mut sum: Option<Properties> = None;
    let mut before: Option<Place> = None;
    let mut damaged = 0;
    let mut found_some = |finding: Finding| {
        damaged += 1;
        if damaged <= BLOCK_FINDINGS_MAX {
            found(finding);
        }
    };
    for number in 0..table.partitions() {
        let at = table.partition_at(number);
        read(at.len.into());
        let partition = match table.read_partition(number).await {
            Ok(partition) => partition,
            Err(error) => {
                found_some(Finding { offset: at.offset, ..error.into() });
                continue;
            }
        };
        for (at, _) in partition.blocks() {
            read(at.len.into());
            checked.blocks += 1;
            let block = match table.read_block(at).await {
                Ok(block) => block,
                Err(error) => {
                    found_some(Finding { offset: at.offset, ..error.into() });
                    continue;
                }
            };
            if let Some(what) = contradiction(table, (number, &partition), at, &block, &before) {
                found_some(Finding::new(table.path(), at.offset, what));
                continue;
            }
            checked.records += block.len() as u64;
            before = block.iter().last().map(|record| place(&record.key));
            for record in block.iter() {
                let own = Properties::of(&record);
                sum = Some(sum.map_or(own, |sum| sum.and(own)));
            }
        }
    }
    let path = table.path();
    if damaged > BLOCK_FINDINGS_MAX {
        found(Finding::new(path, 0, format!("{damaged} of its blocks and partitions are damaged")));
    } else if damaged == 0 && sum.as_ref() != Some(table.properties()) {
        let what = "the footer's properties are not those of the records";
        found(Finding::new(path, table.layout().footer_at, what));
    }
    checked
}

/// What is wrong with a block that is sound by itself.
fn contradiction<E: Env>(
    table: &Table<E>,
    (number, partition): (usize, &Partition),
    at: BlockAt,
    block: &Block,
    before: &Option<Place>,
) -> Option<&'static str> {
    let first = block.record(0).key;
    let is_before =
        |it: &Place| (it.0, it.1, &*it.2) < (first.token.0, first.namespace.0, first.bytes);
    if before.as_ref().is_some_and(|it| !is_before(it)) {
        return Some("block out of order");
    }
    for record in block.iter() {
        if table.partition_of(record.key.token) != Some(number) {
            return Some("the list of partitions looks for a record of the block elsewhere");
        }
        if partition.locate(&record.key) != Some(at) {
            return Some("the index looks for a record of the block elsewhere");
        }
        if !partition.may_contain(&record.key) {
            return Some("the filter denies a record of the block");
        }
    }
    None
}
