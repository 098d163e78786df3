//! Fuzz targets: a block, what is around the blocks, and a table of them.

use fastrand::Rng;
use schemas::ids::{NamespaceId, Token};
use zerocopy::IntoBytes;

use super::actors::{Actors, ActorsBuilder};
use super::block::Block;
use super::block_builder::BlockBuilder;
use super::compression;
use super::footer::{FOOTER_BYTES, Footer};
use super::index::BlockAt;
use super::partition::{Partition, PartitionsBuilder, Place};
use super::sample::{Sample, mixed, value, write_table};
use super::top::Top;
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

/// Where in the footer are the bytes of blocks, of partitions, and those of each section.
const DATA_LEN_AT: usize = 80;
const PARTITIONS_LEN_AT: usize = 84;
const SECTION_LENS_AT: [usize; 2] = [88, 96];

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

/// Input: | which 1 | bytes of blocks 4 |, then
/// | keys 4 | first token 8 | partition without its sum |, or
/// | bytes of partitions 4 | list of them |, or
/// | list of actors |
pub(crate) fn sections(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (which, data_len) = (input.u8() % 3, input.u32());
    match which {
        0 => {
            let (keys, first) = (input.u32(), Token(input.u64()));
            let body = input.rest();
            let at = BlockAt { offset: data_len.into(), len: body.len() as u32 + 4 };
            let tokens = TokenRange::new(first, Token(u64::MAX)).expect("nothing is past the last");
            let place = Place { at, tokens, data: 0..data_len, keys };
            Partition::decode(body, &place).map(|it| check_partition(&it, body, data_len))
        }
        1 => {
            let (partitions_len, bytes) = (input.u32(), input.rest());
            let top = Top::decode(bytes, data_len, partitions_len);
            top.map(|it| check_top(&it, bytes, data_len, partitions_len))
        }
        _ => {
            let bytes = input.rest();
            Actors::decode(bytes).map(|actors| check_actors(&actors, bytes))
        }
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

/// Keys are asked for at places that `body` tells.
fn check_partition(partition: &Partition, body: &[u8], data_len: u32) {
    assert!(partition.memory_bytes() <= 4 * body.len() + 256, "bounded by what was read");
    let index = partition.index();
    let mut end = 0;
    for (number, (at, token)) in partition.blocks().enumerate() {
        assert_eq!((at.offset, at), (end, index.block(number)));
        assert!(at.len > 0 && at.len as usize <= BLOCK_BYTES_MAX);
        end += u64::from(at.len);
        assert!(index.lower_bound(token) <= number && number < index.upper_bound(token));
        for bytes in [&b""[..], b"k", &[0xff; 64]] {
            for namespace in [0, 1, u32::MAX].map(NamespaceId) {
                let found = partition.locate(&Key { token, namespace, bytes });
                let found = found.expect("the first block is at or before it");
                assert!(found.offset < u64::from(data_len));
            }
        }
    }
    assert_eq!(end, u64::from(data_len), "blocks follow each other to the end");
    for token in body.chunks(8).take(64).map(|bytes| Input::new(bytes).u64()) {
        for token in [token, token.wrapping_sub(1), !token].map(Token) {
            let key = Key { token, namespace: NamespaceId(1), bytes: b"k" };
            assert!(partition.probe(&key).is_none_or(|it| it.offset < u64::from(data_len)));
        }
    }
}

fn check_top(top: &Top, bytes: &[u8], data_len: u32, partitions_len: u32) {
    assert!(top.memory_bytes() <= 2 * bytes.len() + 64, "memory is bounded by what was read");
    let (mut at, mut data) = (u64::from(data_len), 0);
    let mut before = None;
    for number in 0..top.len() {
        let place = top.place(number);
        assert_eq!((place.at.offset, place.data.start), (at, data), "they follow each other");
        assert!(place.at.len > 0 && place.data.start < place.data.end && place.keys > 0);
        (at, data) = (place.at.end(), place.data.end);
        let (first, last) = (place.tokens.first(), place.tokens.last());
        assert!(before.is_none_or(|before| before < first), "tokens go up");
        before = Some(last);
        assert_eq!((top.find(first), top.find(last)), (Some(number), Some(number)));
        assert_eq!(top.covering(place.tokens), number..number + 1);
        assert_eq!(top.at_offset(place.data.start.into()), number);
        assert_eq!(top.at_offset(place.at.offset), number);
        let some = top.within(number, top.len(), 1000);
        assert!(some.start == number && some.end > number && some.end <= top.len());
    }
    assert_eq!((at, data), (u64::from(data_len) + u64::from(partitions_len), data_len));
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
    let mut at = layout.data_bytes + layout.partitions_bytes;
    for (part, range) in [layout.top, layout.actors].iter().zip(footer.ranges()) {
        assert_eq!(part.offset, at);
        let start = at - layout.data_bytes - layout.partitions_bytes;
        assert_eq!((range.start as u64, range.len() as u64), (start, part.bytes));
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
        let number = table.partition_of(record.key.token);
        let number = number.expect("a scan has what partitions have");
        let block = match table.read_partition(number).await?.probe(&record.key) {
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
    let partitions_len = number(bytes, footer + PARTITIONS_LEN_AT);
    let mut start = data_len + partitions_len;
    for (section, at) in SECTION_LENS_AT.into_iter().enumerate() {
        let end = start + number(bytes, footer + at);
        let Some(part) = bytes.get(start..end).filter(|_| end <= footer) else { break };
        put_sum(bytes, footer + at + 4, checksum(ID.0, start as u64, part));
        let top = Some(&bytes[start..end]).filter(|_| section == 0).and_then(|part| {
            Top::decode(part, u32::try_from(data_len).ok()?, u32::try_from(partitions_len).ok()?)
        });
        top.iter().for_each(|top| sum_partitions(bytes, top));
        start = end;
    }
    let file_len = bytes.len() as u64;
    sum_footer(&mut bytes[footer.saturating_sub(ALIGN - FOOTER_BYTES)..], file_len);
}

/// Makes the sums right of the partitions of `top`, and of the blocks that they lead to.
fn sum_partitions(bytes: &mut [u8], top: &Top) {
    for number in 0..top.len() {
        let place = top.place(number);
        let part = place.at.offset as usize..place.at.end() as usize;
        sum_block(&mut bytes[part.clone()], place.at.offset);
        let Some(body) = part.len().checked_sub(4).map(|len| &bytes[part.start..][..len]) else {
            continue;
        };
        let partition = Partition::decode(body, &place);
        for (at, _) in partition.iter().flat_map(Partition::blocks) {
            sum_block(&mut bytes[at.offset as usize..at.end() as usize], at.offset);
        }
    }
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

/// What a written table is made of: blocks with their places, partitions with theirs, sections,
/// footer.
struct Parts<'a> {
    blocks: Vec<(u64, &'a [u8])>,
    partitions: Vec<(Place, &'a [u8])>,
    sections: [&'a [u8]; 2],
    footer: &'a [u8],
}

fn parts(bytes: &[u8]) -> Parts<'_> {
    let page = &bytes[bytes.len() - ALIGN..];
    let footer = Footer::decode(page, bytes.len() as u64, ID, "").expect("it was written");
    let sections = footer.ranges().map(|range| &bytes[footer.top_at() as usize..][range]);
    let top = Top::decode(sections[0], footer.data_len, footer.partitions_len);
    let top = top.expect("it was written");
    let bytes_at = |at: BlockAt| &bytes[at.offset as usize..at.end() as usize];
    let partition = |place: Place| {
        let bytes = bytes_at(place.at);
        (place, bytes)
    };
    let partitions: Vec<_> = (0..top.len()).map(|it| partition(top.place(it))).collect();
    let mut blocks = Vec::new();
    for (place, bytes) in &partitions {
        let partition = Partition::verify(bytes, ID, place).expect("it was written");
        blocks.extend(partition.blocks().map(|(at, _)| (at.offset, bytes_at(at))));
    }
    let footer = &bytes[bytes.len() - FOOTER_BYTES..];
    Parts { blocks, partitions, sections, footer }
}

const SEEDS: std::ops::Range<u64> = 0..3;

pub(crate) fn block_seeds() -> Vec<Vec<u8>> {
    let tables: Vec<Vec<u8>> = SEEDS.map(written).collect();
    let input = |(offset, block): (u64, &[u8])| {
        let offset = u16::try_from(offset).expect("the tables are small");
        [&[1][..], &offset.to_le_bytes(), block].concat()
    };
    let blocks = || tables.iter().flat_map(|bytes| parts(bytes).blocks);
    let compressed = blocks().map(|(offset, block)| {
        let mut bytes = Vec::new();
        // Also where it is not worth it.
        compression::compress(block, ID, offset, &mut bytes);
        input((offset, &bytes))
    });
    blocks().map(input).chain(compressed).collect()
}

/// A partition without its sum, as an input of [`sections`].
fn partition_seed(place: &Place, body: &[u8], data_len: u32) -> Vec<u8> {
    let numbers = [data_len.to_le_bytes(), place.keys.to_le_bytes()].concat();
    let first = place.tokens.first().0.to_le_bytes();
    [&[0], &numbers[..], &first, body].concat()
}

pub(crate) fn section_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for bytes in SEEDS.map(written) {
        let Parts { partitions, sections: [top, actors], .. } = parts(&bytes);
        for (place, bytes) in &partitions {
            seeds.push(partition_seed(place, &bytes[..bytes.len() - 4], place.data.end));
        }
        let (last, _) = partitions.last().expect("there is one");
        let len: usize = partitions.iter().map(|(_, bytes)| bytes.len()).sum();
        let lens = [last.data.end.to_le_bytes(), (len as u32).to_le_bytes()].concat();
        seeds.push([&[1], &lens[..], top].concat());
        seeds.push([&[2, 0, 0, 0, 0], actors].concat());
    }
    // As large as a few blocks, and several partitions, of which one has no filter.
    let key = |token| Key { token: Token(token), namespace: NamespaceId(1), bytes: b"key" };
    let mut builder = PartitionsBuilder::default();
    for number in 0..4 {
        let offset = number as u32 * BLOCK_BYTES_TARGET as u32;
        builder.push_block(&key(number / 2), offset, number % 2 == 1);
        builder.push_key(&key(number / 2));
        if number % 2 == 1 {
            builder.end_partition().expect("it is small");
        }
    }
    let data_len = 4 * BLOCK_BYTES_TARGET as u32;
    let mut entries = builder.entries().to_vec();
    let len: u32 = entries.iter().map(|it| it.len.get()).sum();
    let lens = [data_len.to_le_bytes(), len.to_le_bytes()].concat();
    seeds.push([&[1], &lens[..], entries.as_bytes()].concat());
    entries[0].unfiltered = entries[0].keys;
    seeds.push([&[1], &lens[..], entries.as_bytes()].concat());
    let top = Top::decode(entries.as_bytes(), data_len, len).expect("the builder made it");
    let (place, body) = (top.place(0), builder.body(0));
    seeds.push(partition_seed(&place, body, data_len / 2));
    let index_len = Input::new(body).u32() as usize;
    let no_filter = [&body[..8 + index_len], &[0; 20]].concat();
    seeds.push(partition_seed(&place, &no_filter, data_len / 2));
    seeds
}

pub(crate) fn footer_seeds() -> Vec<Vec<u8>> {
    let input = |bytes: Vec<u8>| {
        let pages = (bytes.len() / ALIGN - 1) as u8;
        [&[1, pages][..], parts(&bytes).footer].concat()
    };
    SEEDS.map(written).map(input).collect()
}

pub(crate) fn table_seeds() -> Vec<Vec<u8>> {
    let input = |bytes: Vec<u8>| {
        let Parts { blocks, partitions, sections, footer } = parts(&bytes);
        let blocks = blocks.iter().map(|(_, block)| *block);
        let partitions = partitions.iter().map(|(_, partition)| *partition);
        let all: Vec<&[u8]> = blocks.chain(partitions).chain(sections).chain([footer]).collect();
        [&[1], &all.concat()[..]].concat()
    };
    SEEDS.map(written).map(input).collect()
}
