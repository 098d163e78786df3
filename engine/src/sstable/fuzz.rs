//! Fuzz targets: a block, what is around the blocks, and a table of them.

use fastrand::Rng;
use schemas::ids::{NamespaceId, Token};

use super::actors::{Actors, ActorsBuilder};
use super::block::Block;
use super::block_builder::BlockBuilder;
use super::compression;
use super::filter::{Filter, FilterBuilder};
use super::footer::{FOOTER_BYTES, Footer};
use super::index::{Index, IndexBuilder};
use super::sample::{Sample, mixed, value, write_table};
use super::{FileId, Table, TableError, TableScan, TokenRange};
use crate::env::sim::{Sim, SimDisk, SimEnv};
use crate::env::{ALIGN, Env};
use crate::fuzz::{Input, bit};
use crate::inspect::check_table;
use crate::integrity::checksum;
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_BYTES_TARGET};
use crate::record::{Key, Record};

const ID: FileId = FileId(1);
const DIR: &str = "shard";

/// Where in the footer are the bytes of blocks, and those of each section.
const DATA_LEN_AT: usize = 80;
const SECTION_LENS_AT: [usize; 3] = [84, 92, 100];

/// Input: | sums 1 | offset 2 | block |
pub(crate) fn block(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (sums, offset) = (bit(input.u8(), 0), u64::from(input.u16()));
    let mut bytes = input.rest().to_vec();
    if sums {
        sum_block(&mut bytes, offset);
    }
    let mut actors = ActorsBuilder::default();
    for node in 1..=8 {
        actors.index_of(super::sample::actor(node)).expect("there is room");
    }
    let Ok(block) = Block::verify(&bytes, ID, offset, &actors.so_far()) else { return false };
    let mut before = None;
    let mut builder = BlockBuilder::default();
    for (index, record) in block.iter().enumerate() {
        assert!(before.is_none_or(|before| before < record.key), "keys go up");
        before = Some(record.key);
        check_find(&block, index, &record);
        let actor = actors.index_of(record.version.dot.actor).expect("it is in the list");
        builder.push(&record, actor);
    }
    let mut again = Vec::new();
    builder.finish(ID, offset, &mut again);
    let plain =
        compression::decompress(&bytes).map_or(bytes.len(), |it| it.map_or(0, |it| it.len()));
    assert!(again.len() <= plain, "the builder packs no worse");
    let again = Block::verify(&again, ID, offset, &actors.so_far()).expect("the builder made it");
    assert!(again.iter().eq(block.iter()), "what is written is what is read");
    true
}

fn check_find(block: &Block, index: usize, record: &Record<'_>) {
    let Key { token, namespace, bytes } = record.key;
    assert_eq!(block.find(&record.key).as_ref(), Some(record));
    assert_eq!(block.position(&record.key), Some(index));
    assert!(block.lower_bound(token) <= index);
    // Beside it there is nothing, or what was asked for.
    let beside = [
        Key { token, namespace, bytes: &bytes[..bytes.len() - 1] },
        Key { token, namespace: NamespaceId(namespace.0 ^ 1), bytes },
        Key { token: Token(token.0 ^ 1), namespace, bytes },
    ];
    for key in beside {
        assert!(block.find(&key).is_none_or(|found| found.key == key));
    }
}

/// Input: | which 1 | bytes of blocks 4 | index, list of actors or filter |
pub(crate) fn sections(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (which, data_len, bytes) = (input.u8() % 3, input.u32(), input.rest());
    match which {
        0 => Index::decode(bytes, data_len).map(|index| check_index(&index, bytes, data_len)),
        1 => Actors::decode(bytes).map(|actors| check_actors(&actors, bytes)),
        _ => Filter::decode(bytes.into()).map(|filter| check_filter(&filter, bytes, data_len)),
    }
    .is_some()
}

fn check_actors(actors: &Actors, bytes: &[u8]) {
    let mut builder = ActorsBuilder::default();
    let mut index = 0;
    while let Some(actor) = actors.get(index) {
        builder.index_of(actor);
        index += 1;
    }
    assert_eq!(bytes.len() as u64, index * 12);
    assert!(builder.bytes().len() <= bytes.len(), "each actor is written once");
}

/// Keys are asked for at places that `bytes` tell.
fn check_filter(filter: &Filter, bytes: &[u8], namespace: u32) {
    assert!(filter.memory_bytes() <= 2 * bytes.len() + 64);
    for token in bytes.chunks(8).take(64).map(|bytes| Input::new(bytes).u64()) {
        for token in [token, token.wrapping_sub(1), !token].map(Token) {
            let namespace = NamespaceId(namespace);
            filter.may_contain(&Key { token, namespace, bytes: b"k" });
        }
    }
}

fn check_index(index: &Index, bytes: &[u8], data_len: u32) {
    assert!(index.memory_bytes() <= 4 * bytes.len() + 64, "memory is bounded by what was read");
    let mut end = 0;
    for (number, (at, token)) in index.blocks().enumerate() {
        assert_eq!((at.offset, at), (end, index.block(number)));
        assert!(at.len > 0 && at.len as usize <= BLOCK_BYTES_MAX);
        end += u64::from(at.len);
        assert!(index.lower_bound(token) <= number && number < index.upper_bound(token));
        for key in [&b""[..], b"k", &[0xff; 64]] {
            for namespace in [0, 1, u32::MAX].map(NamespaceId) {
                let found = index.locate(&Key { token, namespace, bytes: key });
                let found = found.expect("the first block is at or before it");
                assert!(found.offset < u64::from(data_len));
            }
        }
    }
    assert_eq!(end, u64::from(data_len), "blocks follow each other to the end");
}

/// Input: | sums 1 | pages before the last 1 | what the last page ends with |
pub(crate) fn footer(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (sums, pages, end) = (bit(input.u8(), 0), input.u8(), input.rest());
    let mut page = [0; ALIGN];
    let end = &end[..end.len().min(ALIGN)];
    page[ALIGN - end.len()..].copy_from_slice(end);
    let file_len = (u64::from(pages) + 1) * ALIGN as u64;
    if sums {
        sum_footer(&mut page, file_len);
    }
    let Ok(footer) = Footer::decode(&page, file_len, ID, "table") else { return false };
    let layout = footer.layout(file_len);
    assert!(footer.encode(layout.footer_at) == page[ALIGN - FOOTER_BYTES..], "written as read");
    let mut at = layout.data_bytes;
    for (part, range) in [layout.index, layout.actors, layout.filter].iter().zip(footer.ranges()) {
        assert_eq!(part.offset, at);
        assert_eq!((range.start as u64, range.len() as u64), (at - layout.data_bytes, part.bytes));
        at += part.bytes;
    }
    assert!(at == footer.end() && at <= layout.footer_at);
    assert!(layout.footer_at - at < ALIGN as u64, "nothing but padding is between");
    true
}

/// Input: | sums 1 | a table without the zeros before its footer |
pub(crate) fn table(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (sums, packed) = (bit(input.u8(), 0), input.rest());
    let (body, footer) = packed.split_at(packed.len().saturating_sub(FOOTER_BYTES));
    let mut bytes = body.to_vec();
    bytes.resize(packed.len().next_multiple_of(ALIGN) - footer.len(), 0);
    bytes.extend_from_slice(footer);
    if sums {
        sum_table(&mut bytes);
    }
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let read = sim.block_on(async {
        env.create_dir(DIR).await.expect("the disk works");
        disk.put(&format!("{DIR}/{}", ID.file_name()), &bytes);
        read_all(&env).await
    });
    if let Err(error) = &read {
        assert!(error.to_string().contains(&ID.file_name()), "{error} names the file");
    }
    read.is_ok()
}

async fn read_all(env: &SimEnv) -> Result<(), TableError> {
    let table = Table::open(env, DIR, ID, TokenRange::ALL).await?;
    let mut findings = 0;
    let checked = check_table(&table, &mut |_| findings += 1, &mut |_| {}).await;
    let mut scan = TableScan::new(env, &table, TokenRange::ALL).await?;
    let (mut before, mut records) = (None, 0);
    while let Some(record) = scan.current() {
        let sample = Sample::of(&record);
        assert!(before.is_none_or(|before| before < sample.place()), "a scan goes up");
        before = Some(sample.place());
        records += 1;
        let found = table.may_contain(&record.key).then(|| table.locate(&record.key)).flatten();
        let block = match found {
            Some(at) => Some(table.read_block(at).await?),
            None => None,
        };
        let found = block.as_ref().and_then(|block| block.find(&record.key));
        assert!(findings > 0 || found == Some(record), "of a sound table each record is found");
        scan.advance().await?;
    }
    assert!(findings > 0 || records == checked.records, "of a sound table all is scanned");
    Ok(())
}

fn put_sum(bytes: &mut [u8], at: usize, sum: u32) {
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fn number(bytes: &[u8], at: usize) -> usize {
    Input::new(&bytes[at..]).u32() as usize
}

fn sum_block(bytes: &mut [u8], offset: u64) {
    if let Some(at) = bytes.len().checked_sub(4) {
        put_sum(bytes, at, checksum(ID.0, offset, &bytes[..at]));
    }
}

/// `page` is the last of a file of `file_len` bytes.
fn sum_footer(page: &mut [u8], file_len: u64) {
    let footer_len = number(page, page.len() - 20);
    if let Some(start) = page.len().checked_sub(footer_len).filter(|_| footer_len >= 12) {
        let at = page.len() - 12;
        put_sum(page, at, checksum(0, file_len - footer_len as u64, &page[start..at]));
    }
}

/// Makes all sums right that the lengths in the footer lead to.
fn sum_table(bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(FOOTER_BYTES) else { return };
    let data_len = number(bytes, footer + DATA_LEN_AT);
    let mut start = data_len;
    for (section, at) in SECTION_LENS_AT.into_iter().enumerate() {
        let end = start + number(bytes, footer + at);
        let Some(part) = bytes.get(start..end).filter(|_| end <= footer) else { break };
        let sum = checksum(ID.0, start as u64, part);
        let index = Some(part).filter(|_| section == 0);
        let index = index.and_then(|part| Index::decode(part, u32::try_from(data_len).ok()?));
        put_sum(bytes, footer + at + 4, sum);
        for (at, _) in index.iter().flat_map(Index::blocks) {
            let end = at.offset + u64::from(at.len);
            sum_block(&mut bytes[at.offset as usize..end as usize], at.offset);
        }
        start = end;
    }
    let file_len = bytes.len() as u64;
    sum_footer(&mut bytes[footer.saturating_sub(ALIGN - FOOTER_BYTES)..], file_len);
}

/// A few records with small numbers, so that a changed bit often makes another sound one, and a run
/// of keys of one token, so that the index has ties.
fn samples(seed: u64) -> Vec<Sample> {
    let mut samples = mixed(&mut Rng::with_seed(seed), 12);
    samples.retain(|it| it.value.len() < 500 && it.key.len() < 100);
    for number in 0..12 * seed as u8 {
        let mut sample = value(&[number], 1, 400);
        (sample.token, sample.namespace) = (Token(1 << 63), NamespaceId(1));
        samples.push(sample);
    }
    samples.sort_by_key(Sample::place);
    samples.dedup_by_key(|it| it.place());
    samples
}

fn written(seed: u64) -> Vec<u8> {
    let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
    let env = sim.env(&disk);
    sim.block_on(async {
        env.create_dir(DIR).await.expect("the disk works");
        write_table(&env, DIR, ID, &samples(seed)).await;
    });
    disk.bytes(&format!("{DIR}/{}", ID.file_name())).expect("it was written")
}

/// What a written table is made of: blocks with their places, sections, footer.
type Parts<'a> = (Vec<(u64, &'a [u8])>, [&'a [u8]; 3], &'a [u8]);

fn parts(bytes: &[u8]) -> Parts<'_> {
    let (body, end) = bytes.split_at(bytes.len() - FOOTER_BYTES);
    let page = &bytes[bytes.len() - ALIGN..];
    let footer = Footer::decode(page, bytes.len() as u64, ID, "").expect("it was written");
    let (blocks, rest) = body.split_at(footer.data_len as usize);
    let sections = footer.ranges().map(|range| &rest[range]);
    let index = Index::decode(sections[0], footer.data_len).expect("it was written");
    let bytes_of = |at: u64, len: u32| &blocks[at as usize..at as usize + len as usize];
    let blocks = index.blocks().map(|(at, _)| (at.offset, bytes_of(at.offset, at.len))).collect();
    (blocks, sections, end)
}

const SEEDS: std::ops::Range<u64> = 0..3;

pub(crate) fn block_seeds() -> Vec<Vec<u8>> {
    let tables: Vec<Vec<u8>> = SEEDS.map(written).collect();
    let input = |(offset, block): (u64, &[u8])| {
        let offset = u16::try_from(offset).expect("the tables are small");
        [&[1][..], &offset.to_le_bytes(), block].concat()
    };
    let blocks = || tables.iter().flat_map(|bytes| parts(bytes).0);
    let compressed = blocks().map(|(offset, block)| {
        let mut bytes = Vec::new();
        // Also where it is not worth it.
        compression::compress(block, ID, offset, &mut bytes);
        input((offset, &bytes))
    });
    blocks().map(input).chain(compressed).collect()
}

pub(crate) fn section_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for bytes in SEEDS.map(written) {
        let (blocks, sections, _) = parts(&bytes);
        let data_len: usize = blocks.iter().map(|(_, block)| block.len()).sum();
        for (which, section) in sections.into_iter().enumerate() {
            seeds.push([&[which as u8], &(data_len as u32).to_le_bytes()[..], section].concat());
        }
    }
    // As large as a few blocks, and a partition that has no filter.
    let mut index = IndexBuilder::default();
    let key = |token| Key { token: Token(token), namespace: NamespaceId(1), bytes: b"key" };
    for number in 0..4 {
        let offset = number as u32 * BLOCK_BYTES_TARGET as u32;
        index.push(&key(number / 2), offset, number % 2 == 1);
    }
    let data_len = 4 * BLOCK_BYTES_TARGET as u32;
    seeds.push([&[0], &data_len.to_le_bytes()[..], &index.encode()].concat());
    let mut filter = FilterBuilder::default();
    for token in 10..30 {
        filter.push(&key(token));
    }
    let no_filter = [&9u64.to_le_bytes()[..], &[1, 0, 0, 0], &[0; 24]].concat();
    seeds.push([&[2, 0, 0, 0, 0], &no_filter[..], &filter.finish()].concat());
    seeds
}

pub(crate) fn footer_seeds() -> Vec<Vec<u8>> {
    let input = |bytes: Vec<u8>| {
        let pages = (bytes.len() / ALIGN - 1) as u8;
        [&[1, pages][..], parts(&bytes).2].concat()
    };
    SEEDS.map(written).map(input).collect()
}

pub(crate) fn table_seeds() -> Vec<Vec<u8>> {
    let input = |bytes: Vec<u8>| {
        let (blocks, sections, footer) = parts(&bytes);
        let blocks = blocks.iter().map(|(_, block)| *block);
        let all: Vec<&[u8]> = blocks.chain(sections).chain([footer]).collect();
        [&[1], &all.concat()[..]].concat()
    };
    SEEDS.map(written).map(input).collect()
}
