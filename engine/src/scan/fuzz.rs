//! Fuzz target: the place where a scan goes on, as a client sends it.
//!
//! ```text
//! input: | how 1 | the body of a scan's frame |
//!        | how 1 | namespace 1 | token 1 | distance 8 | token 1 | distance 8 | records 1 | key |
//! how:   bit 0 the second form: places near those of records, bit 1 pages of few bytes
//! ```

use std::collections::BTreeSet;

use schemas::consistency::Consistency;
use schemas::frame;
use schemas::header::Header;
use schemas::ids::{NamespaceId, ShardId, Token};
use schemas::limits::{FRAME_BYTES_MAX, SCAN_PAGE_BYTES_MAX, SCAN_RECORDS_MAX};
use schemas::message::{self, Scan};

use super::{MemtableRows, Page, ScanPlace, ScanRequest, open_runs, page};
use crate::env::Env;
use crate::env::sim::{Sim, SimDisk, SimEnv};
use crate::fuzz::{Input, bit};
use crate::memtable::Memtable;
use crate::record::{Kind, lww};
use crate::sstable::sample::{Place, Sample, value, write_table};
use crate::sstable::{FileId, Table, TokenRange};

const NOW_MS: u64 = 1000;
/// More than the pages of a scan of all there is, a record each.
const PAGES_MAX: usize = 2 * RECORDS as usize;
const RECORDS: u64 = 40;

thread_local! {
    /// What is scanned is the same for all inputs: it is made once.
    static SCANNED: Scanned = Scanned::new();
}

/// A memtable and a table, and what they hold.
struct Scanned {
    sim: Sim,
    env: SimEnv,
    memtable: Memtable,
    table: Table<SimEnv>,
    samples: Vec<Sample>,
}

impl Scanned {
    fn new() -> Self {
        let samples: Vec<Sample> = (0..RECORDS).map(sample).collect();
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        let mut memtable = Memtable::new((Token(0), Token(u64::MAX)), 4096, lww);
        let mut in_table: Vec<Sample> = samples.clone();
        in_table.retain(is_in_table);
        in_table.sort_by_key(Sample::place);
        for sample in samples.iter().filter(|sample| is_in_memtable(sample)) {
            memtable.put(&sample.record());
        }
        let id = FileId::new(1, ShardId(0), 1);
        let table = sim.block_on(async {
            env.create_dir("shard").await.expect("the disk works");
            write_table(&env, "shard", id, &in_table).await;
            Table::open(&env, "shard", id, TokenRange::ALL).await.expect("it was written")
        });
        let is_there = |it: &Sample| is_in_memtable(it) || is_in_table(it);
        let samples = samples.into_iter().filter(is_there).collect();
        Self { sim, env, memtable, table, samples }
    }

    fn page(&self, request: &ScanRequest) -> Page {
        let rows = vec![MemtableRows::copy(&self.memtable, &request.first(), request.to)];
        let tables = vec![vec![self.table.clone()]];
        let page = async {
            let runs = open_runs(&self.env, request.tokens(), tables).await?;
            page(&self.env, request, rows, runs, lww).await
        };
        self.sim.block_on(page).expect("the disk works").0
    }

    /// What a scan has to give.
    fn expected(&self, request: &ScanRequest) -> Vec<Place> {
        let first = request.first();
        let is_wanted = |sample: &&Sample| {
            let key = sample.key();
            key.namespace == request.namespace
                && key > first
                && key.token <= request.to
                && !sample.record().is_dead(NOW_MS)
        };
        let places: BTreeSet<Place> =
            self.samples.iter().filter(is_wanted).map(Sample::place).collect();
        places.into_iter().collect()
    }
}

fn is_in_memtable(sample: &Sample) -> bool {
    sample.version.hlc.0.is_multiple_of(2)
}

fn is_in_table(sample: &Sample) -> bool {
    !sample.version.hlc.0.is_multiple_of(3)
}

/// Record `number`: some share a token, some are of another namespace, some are dead.
fn sample(number: u64) -> Sample {
    let mut sample = value(&[b'k', number as u8 % 7], number + 1, number as usize % 50);
    sample.key.extend((0..number % 3).map(|_| 0xff));
    sample.token = token(number / 3);
    sample.namespace = NamespaceId(1 + u32::from(number.is_multiple_of(5)));
    if number.is_multiple_of(11) {
        sample.kind = Kind::Tombstone;
        sample.value.clear();
    }
    sample
}

/// Token `number` of those that records have: the first and the last there are among them.
fn token(number: u64) -> Token {
    Token(match number % 14 {
        0 => 0,
        13 => u64::MAX,
        number => number << 59,
    })
}

/// Reads an input.
pub(crate) fn cursor(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let how = input.u8();
    let bytes_max = if bit(how, 1) { 200 } else { SCAN_PAGE_BYTES_MAX };
    let mut frame = Vec::new();
    if bit(how, 0) {
        near_scan(&mut input, &mut frame);
    }
    let body = match frame::read(&frame, FRAME_BYTES_MAX) {
        Ok(Some((frame, _))) => frame.body,
        _ => input.rest(),
    };
    let Ok(scan) = Scan::decode(body) else { return false };
    let mut again = Vec::new();
    scan.encode(&Header::request(1), &mut again);
    let (again, _) = frame::read(&again, FRAME_BYTES_MAX).expect("sound").expect("whole");
    assert_eq!(Scan::decode(again.body), Ok(scan));
    assert!((1..=SCAN_RECORDS_MAX).contains(&scan.records_max));
    let request = ScanRequest {
        namespace: scan.namespace,
        from: ScanPlace { token: scan.from.token, after_key: scan.from.after_key.into() },
        to: scan.to,
        records_max: scan.records_max,
        bytes_max,
        now_ms: NOW_MS,
    };
    SCANNED.with(|scanned| check_scan(scanned, request));
    true
}

/// Follows a scan to its end, page by page.
fn check_scan(scanned: &Scanned, mut request: ScanRequest) {
    let expected = scanned.expected(&request);
    let mut found: Vec<Place> = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = scanned.page(&request);
        assert!(page.rows.len() <= request.records_max);
        assert!(page.rows.bytes() <= request.bytes_max || page.rows.len() == 1);
        found.extend(page.rows.iter().map(|record| Sample::of(&record).place()));
        let Some(next) = page.next else {
            assert!(found == expected, "each record once, in order");
            return;
        };
        let place = |place: &ScanPlace| (place.token, place.after_key.clone());
        assert!(place(&next) > place(&request.from), "a page goes on");
        request.from = next;
    }
    panic!("a scan has an end");
}

/// The frame of a scan that begins and ends near tokens that are there.
fn near_scan(input: &mut Input<'_>, frame: &mut Vec<u8>) {
    let namespace = NamespaceId(input.u8().into());
    let mut near = || {
        let place = token(input.u8().into());
        Token(place.0.wrapping_add(input.u64()))
    };
    let (from, to) = (near(), near());
    let records_max = input.u8().into();
    let after_key = input.rest();
    let scan = Scan {
        namespace,
        consistency: Consistency::ONE,
        key_only: false,
        from: message::ScanPlace { token: from, after_key },
        to,
        records_max,
    };
    scan.encode(&Header::request(1), frame);
}

/// Inputs that encoders made, to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let near = |namespace: u8, from: u8, to: u8, records: u8, key: &[u8]| {
        let near = |token: u8| [&[token][..], &[0; 8]].concat();
        [&[namespace], &near(from)[..], &near(to), &[records], key].concat()
    };
    let scans = [near(1, 0, 13, 3, b""), near(2, 3, 9, 1, b"k\x02"), near(1, 13, 13, 0, b"k")];
    let mut seeds = Vec::new();
    for scan in &scans {
        let mut frame = Vec::new();
        near_scan(&mut Input::new(scan), &mut frame);
        let (frame, _) = frame::read(&frame, FRAME_BYTES_MAX).expect("sound").expect("whole");
        for how in [0, 2] {
            seeds.push([&[how], frame.body].concat());
            seeds.push([&[how | 1], &scan[..]].concat());
        }
    }
    seeds
}
