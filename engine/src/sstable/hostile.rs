//! Tables whose sums are right and whose content is not: somebody made them, or a bug did. They
//! are refused or read without harm; nothing in them makes a reader panic or allocate much.

use fastrand::Rng;
use schemas::ids::{NamespaceId, Token};

use super::footer::{FOOTER_BYTES, Footer};
use super::sample::{Sample, mixed, value, write_table};
use super::*;
use crate::env::sim::{Sim, SimDisk, SimEnv};
use crate::env::{ALIGN, Env};
use crate::integrity::checksum;

const ID: FileId = FileId(1);
const PATH: &str = "shard/0000000000000001.sst";

/// A table on a disk, and what is needed to make its sums right again.
struct Target {
    disk: SimDisk,
    bytes: Vec<u8>,
    blocks: Vec<BlockAt>,
    partitions: Vec<BlockAt>,
    samples: Vec<Sample>,
}

impl Target {
    fn new(samples: Vec<Sample>) -> Self {
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        let (blocks, partitions) = sim.block_on(async {
            env.create_dir("shard").await.unwrap();
            write_table(&env, "shard", ID, &samples).await;
            let table = Table::open(&env, "shard", ID, TokenRange::ALL).await.unwrap();
            let mut blocks = Vec::new();
            for number in 0..table.partitions() {
                let partition = table.read_partition(number).await.unwrap();
                blocks.extend(partition.blocks().map(|(at, _)| at));
            }
            let partitions = (0..table.partitions()).map(|it| table.partition_at(it));
            (blocks, partitions.collect())
        });
        let bytes = disk.bytes(PATH).unwrap();
        Self { disk, bytes, blocks, partitions, samples }
    }

    /// Puts `bytes`, with the sums that belong to them, on the disk and reads all of it.
    fn read(&self, mut bytes: Vec<u8>) -> Result<usize, TableError> {
        self.sum_up(&mut bytes);
        self.disk.put(PATH, &bytes);
        let sim = Sim::new(1);
        let env = sim.env(&self.disk);
        sim.block_on(read_all(&env, &self.samples))
    }

    fn sum_up(&self, bytes: &mut [u8]) {
        for at in self.blocks.iter().chain(&self.partitions) {
            let end = (at.offset + u64::from(at.len)) as usize;
            let sum = checksum(ID.0, at.offset, &bytes[at.offset as usize..end - 4]);
            bytes[end - 4..end].copy_from_slice(&sum.to_le_bytes());
        }
        let len = bytes.len();
        // The sections are where they were, whatever the footer now says of them.
        let page = &self.bytes[len - ALIGN..];
        let footer = Footer::decode(page, len as u64, ID, PATH).unwrap();
        let start = footer.top_at() as usize;
        let sections = len - FOOTER_BYTES + 72 + 8 + 4 + 4;
        for (number, range) in footer.ranges().into_iter().enumerate() {
            let at = start + range.start;
            let sum = checksum(ID.0, at as u64, &bytes[at..start + range.end]);
            let place = sections + number * 8 + 4;
            bytes[place..place + 4].copy_from_slice(&sum.to_le_bytes());
        }
        let offset = len - FOOTER_BYTES;
        let sum = checksum(0, offset as u64, &bytes[offset..len - 12]);
        bytes[len - 12..len - 8].copy_from_slice(&sum.to_le_bytes());
    }
}

async fn read_all(env: &SimEnv, samples: &[Sample]) -> Result<usize, TableError> {
    let table = Table::open(env, "shard", ID, TokenRange::ALL).await?;
    let mut found = 0;
    for sample in samples.iter().step_by(samples.len() / 10) {
        let key = sample.key();
        let Some(number) = table.partition_of(key.token) else { continue };
        let partition = table.read_partition(number).await;
        let Some(at) = partition.ok().and_then(|it| it.probe(&key)) else { continue };
        if let Ok(block) = table.read_block(at).await {
            found += block.find(&key).map_or(0, |record| record.value.len());
            found += block.iter().map(|record| record.key.bytes.len()).sum::<usize>();
        }
    }
    let mut scan = TableScan::new(env, &table, TokenRange::ALL).await?;
    let mut before = None;
    while let Some(record) = scan.current() {
        found += record.value.len();
        let place = Sample::of(&record).place();
        assert!(before.is_none_or(|before| before < place), "a scan goes up");
        before = Some(place);
        scan.advance().await?;
    }
    Ok(found)
}

/// Records with small numbers, so that a changed bit often makes another sound one, and a run of
/// keys of one token, so that the index has ties.
fn samples() -> Vec<Sample> {
    let mut samples = mixed(&mut Rng::with_seed(3), 60);
    samples.retain(|it| it.value.len() < 500 && it.key.len() < 100);
    for number in 0..30u8 {
        let mut sample = value(&[number], 1, 300);
        (sample.token, sample.namespace) = (Token(1 << 63), NamespaceId(1));
        samples.push(sample);
    }
    samples.sort_by_key(Sample::place);
    samples.dedup_by_key(|it| it.place());
    samples
}

#[test]
fn the_sums_are_made_right_again() {
    let target = Target::new(samples());
    let mut summed = target.bytes.clone();
    target.sum_up(&mut summed);
    assert_eq!(summed, target.bytes);
    assert!(target.read(summed).unwrap() > 0);
}

#[test]
fn what_is_between_the_blocks_and_the_end_does_no_harm() {
    let target = Target::new(samples());
    let mut rng = Rng::with_seed(1);
    let data_end = target.blocks.iter().map(|it| it.offset + u64::from(it.len)).max().unwrap();
    let (mut refused, mut read) = (0, 0);
    for at in data_end as usize..target.bytes.len() {
        // Most zeros are padding, whose change is refused at once.
        let zeros = target.bytes[at] == 0 && at % 16 != 0;
        for changed in [rng.u8(..), target.bytes[at].wrapping_add(1)].into_iter().skip(zeros.into())
        {
            let mut bytes = target.bytes.clone();
            bytes[at] = changed;
            *(if target.read(bytes).is_ok() { &mut read } else { &mut refused }) += 1;
        }
    }
    assert!(refused > 300 && read > 300, "{refused} refused, {read} read");
}

/// The index and each block are sound, and contradict each other: a merge relies on the order.
#[test]
fn blocks_that_go_back_are_refused_by_a_scan() {
    let target = Target::new(samples());
    let block = target.blocks[1];
    let mut bytes = target.bytes.clone();
    let entries_at = (block.offset + u64::from(block.len)) as usize - 10;
    let entries = usize::from(u16::from_le_bytes([bytes[entries_at], bytes[entries_at + 1]]));
    let tokens_at = entries_at + 10 - 32 - 10 * entries;
    bytes[tokens_at..tokens_at + 8].copy_from_slice(&target.samples[0].token.0.to_le_bytes());
    match target.read(bytes) {
        Err(TableError::Corrupt(it)) => {
            assert_eq!((it.offset, it.what), (block.offset, "block out of order"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_in_the_blocks_does_no_harm() {
    let target = Target::new(samples());
    let mut rng = Rng::with_seed(2);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..2000 {
        let mut bytes = target.bytes.clone();
        let block = rng.choice(&target.blocks).unwrap();
        for _ in 0..rng.usize(1..4) {
            // Mostly the numbers at the end of a block, which say where everything is.
            let from_end = if rng.bool() { rng.u32(..32) } else { rng.u32(..block.len) };
            let at = block.offset as usize + (block.len - 1 - from_end) as usize;
            bytes[at] = if rng.bool() { rng.u8(..) } else { bytes[at].wrapping_add(1) };
        }
        *(if target.read(bytes).is_ok() { &mut read } else { &mut refused }) += 1;
    }
    assert!(refused > 300 && read > 300, "{refused} refused, {read} read");
}
