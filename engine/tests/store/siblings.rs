//! Records that merge into a third, through everything that merges them: memtables, frozen ones,
//! cached blocks, blocks from the disk, compactions, scans, replay.
//!
//! The merge here is the union of sets of numbers, each write bringing one: what a key shows is
//! every write that was ever acknowledged for it, or a place forgot one. A set whose numbers are
//! all cleared, by a number above them, has nothing left but that.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Crash, Sim, SimDisk, SimEnv};
use engine::record::{Key, Kind, Merge, Record, Stands, lww};
use engine::scan::{ScanPlace, ScanRequest};
use engine::store::{Done, Get, PutError, SpaceLevel, Store};
use fastrand::Rng;
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version};

use crate::harness::{DIR, small_config};

const KEYS: u32 = 12;

/// Numbers, those cleared left out, and up to which all are.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Numbers {
    cleared: u64,
    left: BTreeSet<u64>,
}

impl Numbers {
    fn read(value: &[u8]) -> Self {
        let mut numbers = value.as_chunks().0.iter().copied().map(u64::from_le_bytes);
        Self { cleared: numbers.next().expect("it has a head"), left: numbers.collect() }
    }

    fn bytes(&self) -> Vec<u8> {
        let all = [self.cleared].into_iter().chain(self.left.iter().copied());
        all.flat_map(u64::to_le_bytes).collect()
    }

    fn join(&mut self, other: &Self) {
        self.cleared = self.cleared.max(other.cleared);
        self.left.extend(&other.left);
        self.left.retain(|&number| number > self.cleared);
    }

    fn kind(&self) -> Kind {
        if self.left.is_empty() { Kind::Context } else { Kind::Siblings }
    }
}

fn union(a: &Record<'_>, b: &Record<'_>, row: &mut Vec<u8>) -> Stands {
    if !(a.kind.is_mergeable() && b.kind.is_mergeable()) {
        return lww(a, b, row);
    }
    let (first, second) = (Numbers::read(a.value), Numbers::read(b.value));
    let mut both = first.clone();
    both.join(&second);
    let version = a.version.max(b.version);
    if both == first && version == a.version {
        return Stands::First;
    }
    if both == second && version == b.version {
        return Stands::Second;
    }
    let (kind, value) = (both.kind(), both.bytes());
    *row = Record { kind, value: &value, version, ..*a }.row().into();
    Stands::Third
}

fn key_bytes(key: u32) -> [u8; 4] {
    key.to_be_bytes()
}

fn key_of(bytes: &[u8; 4]) -> Key<'_> {
    let token = Token::of(bytes, 3);
    Key { token, namespace: NamespaceId(1), bytes }
}

fn version(number: u64) -> Version {
    let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
    Version { hlc: Hlc(number), dot: Dot { actor, counter: number } }
}

/// The law, on random records of one key of which each has a version of its own.
#[test]
fn union_is_commutative_associative_and_idempotent_as_lww_is() {
    let mut rng = Rng::with_seed(1);
    let bytes = key_bytes(7);
    let merged = |merge: Merge, a: &[u8], b: &[u8]| -> Vec<u8> {
        let mut row = Vec::new();
        let (first, second) = (Record::from_row(a).unwrap(), Record::from_row(b).unwrap());
        match merge(&first, &second, &mut row) {
            Stands::First => a.to_vec(),
            Stands::Second => b.to_vec(),
            Stands::Third => row,
        }
    };
    for _ in 0..2000 {
        let rows: Vec<Vec<u8>> = (0..3)
            .map(|_| {
                let number = rng.u64(1..20);
                let left = (0..rng.u32(..4)).map(|_| rng.u64(5..20)).collect();
                let mut numbers = Numbers { cleared: rng.u64(..10), left };
                numbers.join(&Numbers::default());
                // Versions are dots: one that is used again has the same value.
                numbers.left.insert(30 + number);
                let (key, version, value) = (key_of(&bytes), version(number), numbers.bytes());
                let kind = numbers.kind();
                Record { key, version, kind, expires_at_ms: 0, value: &value }.row().into()
            })
            .collect();
        let (a, b, c) = (&rows[0], &rows[1], &rows[2]);
        assert_eq!(merged(union, a, a), *a);
        assert_eq!(merged(union, a, b), merged(union, b, a));
        let (left, right) = (merged(union, a, b), merged(union, b, c));
        assert_eq!(merged(union, &left, c), merged(union, a, &right));
        let stamp = |row: &[u8]| Record::from_row(row).unwrap().version;
        let (left, right) = (merged(lww, a, b), merged(lww, b, c));
        assert_eq!(stamp(&merged(lww, a, b)), stamp(&merged(lww, b, a)));
        assert_eq!(stamp(&merged(lww, &left, c)), stamp(&merged(lww, a, &right)));
    }
}

/// A store of sets, and what it has acknowledged.
struct Sets {
    store: Store<SimEnv>,
    env: SimEnv,
    model: Rc<RefCell<BTreeMap<u32, Numbers>>>,
}

impl Sets {
    async fn open(env: &SimEnv, model: &Rc<RefCell<BTreeMap<u32, Numbers>>>) -> Self {
        let opened = Store::open(env.clone(), DIR, small_config(), union).await;
        let (store, _) = opened.expect("it opens");
        Self { store, env: env.clone(), model: Rc::clone(model) }
    }

    async fn until<T>(&mut self, mut found: impl FnMut(Done) -> Option<T>) -> T {
        loop {
            if let Some(found) = self.round().await.into_iter().find_map(&mut found) {
                return found;
            }
        }
    }

    async fn round(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        self.store.tick();
        self.env.sleep_us(50).await;
        self.store.poll(&mut done).expect("no I/O fails");
        done
    }

    /// Adds `number` to a key's set, or clears what is up to it, and waits for it.
    async fn write(&mut self, key: u32, number: u64, clears: bool) {
        let numbers = match clears {
            true => Numbers { cleared: number, ..Numbers::default() },
            false => Numbers { cleared: 0, left: [number].into() },
        };
        let (bytes, value) = (key_bytes(key), numbers.bytes());
        let (key_of, version, kind) = (key_of(&bytes), version(number), numbers.kind());
        let record = Record { key: key_of, version, kind, expires_at_ms: 0, value: &value };
        let ticket = self.store.put_now(&record).expect("it has room");
        self.until(|done| matches!(done, Done::PutsUpto(upto) if upto >= ticket).then_some(()))
            .await;
        self.model.borrow_mut().entry(key).or_default().join(&numbers);
    }

    async fn check(&mut self, key: u32) {
        let bytes = key_bytes(key);
        let shown = match self.store.get_now(&key_of(&bytes), 0) {
            Get::Hit(record) => Some((record.version, Numbers::read(record.value))),
            Get::Absent => None,
            Get::Busy { .. } => panic!("one read at a time"),
            Get::Miss(ticket) => {
                self.until(|done| match done {
                    Done::Get(it, found) if it == ticket => {
                        let found = found.expect("no I/O fails");
                        let found = found.record().map(|it| (it.version, Numbers::read(it.value)));
                        Some(found)
                    }
                    _ => None,
                })
                .await
            }
        };
        let expected = self.model.borrow().get(&key).cloned().filter(|it| !it.left.is_empty());
        assert_eq!(shown.map(|(_, numbers)| numbers), expected, "key {key}");
    }

    async fn check_scan(&mut self) {
        let from = ScanPlace { token: Token(0), after_key: Box::default() };
        let (namespace, to) = (NamespaceId(1), Token(u64::MAX));
        let (records_max, bytes_max, now_ms) = (1000, 1 << 20, 0);
        let request = ScanRequest { namespace, from, to, records_max, bytes_max, now_ms };
        let ticket = self.store.scan_now(request).expect("one at a time");
        let page = self
            .until(|done| match done {
                Done::Scan(it, page) if it == ticket => Some(page.expect("no I/O fails")),
                _ => None,
            })
            .await;
        let number = |record: &Record<'_>| u32::from_be_bytes(record.key.bytes.try_into().unwrap());
        let shown: BTreeMap<u32, Numbers> =
            page.rows.iter().map(|it| (number(&it), Numbers::read(it.value))).collect();
        let mut expected = self.model.borrow().clone();
        expected.retain(|_, numbers| !numbers.left.is_empty());
        assert_eq!(shown, expected);
    }
}

async fn live(sets: &mut Sets, rng: &mut Rng, next: &mut u64) {
    for _ in 0..150 {
        let (key, number) = (rng.u32(..KEYS), *next);
        *next += 1;
        // Late ones too: what a set has of them is the same in every order.
        let number =
            if rng.u8(..4) == 0 { number.saturating_sub(rng.u64(..30)).max(1) } else { number };
        let is_new = {
            let model = sets.model.borrow();
            !model.values().any(|it| it.cleared >= number || it.left.contains(&number))
        };
        if is_new {
            sets.write(key, number, rng.u8(..8) == 0).await;
        }
        sets.check(rng.u32(..KEYS)).await;
        match rng.u8(..30) {
            0..3 => sets.store.flush().await.expect("no I/O fails"),
            3 => sets.env.sleep_us(20_000).await,
            4 => sets.store.compact_all(),
            5 => sets.check_scan().await,
            _ => {}
        }
    }
}

/// No place forgets a sibling, and none brings back what was cleared.
#[test]
fn what_merges_merges_wherever_it_meets() {
    for seed in 1..=15 {
        let mut rng = Rng::with_seed(seed);
        let mut disk = SimDisk::new(seed);
        let (model, mut next, mut compactions) = (Rc::default(), 1, 0);
        for life in 0..4 {
            println!("seed {seed}, life {life}"); // shown if the test fails
            let sim = Sim::new(rng.u64(..));
            let env = sim.env(&disk);
            sim.block_on(async {
                let mut sets = Sets::open(&env, &model).await;
                for key in 0..KEYS {
                    sets.check(key).await;
                }
                sets.check_scan().await;
                live(&mut sets, &mut rng, &mut next).await;
                compactions += sets.store.stats().compactions;
            });
            disk = disk.crash(Crash::ALL[life % Crash::ALL.len()], seed);
        }
        assert!(compactions > 5, "seed {seed}: {compactions} compactions");
    }
}

/// Of siblings that are all cleared the context stays, until nothing older can come.
#[test]
fn a_context_is_purged_like_a_tombstone() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut sets = Sets::open(&env, &Rc::default()).await;
        for number in 1..6 {
            sets.write(0, number, false).await;
        }
        sets.write(0, 6, true).await;
        for horizon in [6, 7] {
            sets.store.set_purge_horizon(Hlc(horizon));
            sets.store.flush().await.unwrap();
            sets.store.compact_all();
            while sets.store.stats().full_compaction {
                sets.store.tick();
                sets.env.sleep_us(50).await;
                sets.store.poll(&mut Vec::new()).unwrap();
            }
            sets.check(0).await;
            let records = sets.store.stats().table_records;
            assert_eq!(records, u64::from(horizon == 6), "horizon {horizon}");
        }
    });
}

/// On a full disk a delete is taken where siblings are, too: it is what gives back their space.
#[test]
fn a_full_disk_takes_what_clears_a_set_and_no_more_of_it() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut sets = Sets::open(&env, &Rc::default()).await;
        sets.write(1, 5, false).await;
        let space = disk.space();
        disk.set_capacity((space.total - space.available) * 100 / 98);
        while sets.store.stats().space != SpaceLevel::PutsRefused {
            sets.round().await;
        }
        let (bytes, value) = (key_bytes(1), Numbers { cleared: 0, left: [6].into() }.bytes());
        let (key, kind) = (key_of(&bytes), Kind::Siblings);
        let more = Record { key, version: version(6), kind, expires_at_ms: 0, value: &value };
        assert_eq!(sets.store.put_now(&more).map(drop), Err(PutError::DiskFull));
        sets.check(1).await;
        sets.write(1, 7, true).await;
        sets.check(1).await;
    });
}
