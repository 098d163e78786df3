//! All of a table: each block, and what index, filter, footer and manifest say of it.

use super::finding::Finding;
use crate::env::Env;
use crate::limits::BLOCK_FINDINGS_MAX;
use crate::record::Key;
use crate::sstable::{Block, BlockAt, Properties, Table};

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
    for (at, _) in table.blocks() {
        read(at.len.into());
        checked.blocks += 1;
        let sound = match table.read_block(at).await {
            Ok(block) => match contradiction(table, at, &block, before.as_ref()) {
                Some(what) => Err(Finding::new(table.path(), at.offset, what)),
                None => Ok(block),
            },
            Err(error) => Err(Finding { offset: at.offset, ..error.into() }),
        };
        match sound {
            Ok(block) => {
                checked.records += block.len() as u64;
                before = block.iter().last().map(|record| place(&record.key));
                for record in block.iter() {
                    let own = Properties::of(&record);
                    sum = Some(sum.map_or(own, |sum| sum.and(own)));
                }
            }
            Err(finding) => {
                damaged += 1;
                if damaged <= BLOCK_FINDINGS_MAX {
                    found(finding);
                }
            }
        }
    }
    let path = table.path();
    if damaged > BLOCK_FINDINGS_MAX {
        found(Finding::new(path, 0, format!("{damaged} of {} blocks are damaged", checked.blocks)));
    } else if damaged == 0 && sum.as_ref() != Some(table.properties()) {
        let what = "the footer's properties are not those of the records";
        found(Finding::new(path, table.layout().footer_at, what));
    }
    checked
}

/// What is wrong with a block that is sound by itself.
fn contradiction<E: Env>(
    table: &Table<E>,
    at: BlockAt,
    block: &Block,
    before: Option<&Place>,
) -> Option<&'static str> {
    let first = block.record(0).key;
    let is_before =
        |it: &Place| (it.0, it.1, &*it.2) < (first.token.0, first.namespace.0, first.bytes);
    if before.is_some_and(|it| !is_before(it)) {
        return Some("block out of order");
    }
    for record in block.iter() {
        if table.locate(&record.key) != Some(at) {
            return Some("the index looks for a record of the block elsewhere");
        }
        if !table.may_contain(&record.key) {
            return Some("the filter denies a record of the block");
        }
    }
    None
}
