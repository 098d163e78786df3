//! The matrix of damage: each region of each file of a shard, damaged in each way, while the store
//! is stopped and while it is open. A start refuses by the file's name, or every key is read as it
//! was written, or with an error that names the file. Nothing else is ever seen.
//!
//! What a whole file that is an older state of itself hides is not here: `engine/DESIGN.md` says
//! that it cannot be seen.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use engine::commit_log::{BatchKind, Piece, list_segment, segment_id};
use engine::env::ALIGN;
use engine::env::sim::{Crash, Sim, SimDisk, SimEnv};
use engine::manifest::{FrameContent, Manifest};
use engine::sstable::{FileId, Table, TokenRange};
use engine::store::StoreConfig;
use engine::vnode::ClocksFile;

use crate::harness::{Client, DIR, KEYS, Ledger, Write, small_config};

/// More than any block here has.
const BLOCK_MAX: usize = 6000;

/// Bytes of a batch's header.
const BATCH_HEAD: usize = 48;

/// Small enough for many starts, and nothing is compacted.
fn config() -> StoreConfig {
    let mut config = small_config();
    config.memtable_bytes = 128 << 10;
    config.memtables_bytes_max = 512 << 10;
    config.log_bytes_max = 1 << 20;
    (config.compaction.level0_tables, config.compaction.upper_percent) = (100, 1 << 20);
    config
}

/// What lies where in a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Block,
    Partition,
    Top,
    Actors,
    TablePadding,
    Footer,
    Clocks,
    ManifestHeader,
    ManifestEdit,
    ManifestSeal,
    ManifestZeros,
    Spare,
    BatchHead,
    BatchBody,
    LogSeal,
    LogZeros,
}

#[derive(Clone, Debug)]
struct Region {
    kind: Kind,
    path: String,
    bytes: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Damage {
    Flip,
    /// A page that belongs elsewhere in the file, or in another of its kind.
    Misdirect,
    /// The page as it was before the last writes; of a table, as if it never had been written.
    RollBack,
    Truncate,
    Extend,
}

const DAMAGES: [Damage; 5] =
    [Damage::Flip, Damage::Misdirect, Damage::RollBack, Damage::Truncate, Damage::Extend];

/// What came of a damage, from the best on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// All is read.
    Whole,
    /// Some reads fail, and say where.
    Errors,
    /// A start is refused.
    Refused,
}

/// A store that was stopped, and how it was before its last writes.
struct Stock {
    disk: SimDisk,
    earlier: SimDisk,
    ledger: Ledger,
}

async fn write(client: &mut Client, keys: impl Iterator<Item = u32>, len: usize) {
    for key in keys {
        client.write(Write::put(key, client.taken(), len)).unwrap();
        client.settle().await.unwrap();
    }
}

/// Two tables, and a few batches in the log.
fn stock() -> Stock {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let earlier = sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        write(&mut client, 0..KEYS, 900).await;
        client.store.flush().await.unwrap();
        write(&mut client, 0..2, 300).await;
        let earlier = disk.crash(Crash::KeepAll, 0);
        write(&mut client, 2..KEYS / 2, 900).await;
        client.store.flush().await.unwrap();
        write(&mut client, 0..3, 5000).await;
        client.store.close().await.unwrap();
        earlier
    });
    let ledger = ledger.borrow().clone();
    Stock { disk, earlier, ledger }
}

/// Every region of every file.
async fn regions(env: &SimEnv, disk: &SimDisk) -> Vec<Region> {
    let mut regions = Vec::new();
    for path in disk.paths() {
        let name = path.rsplit('/').next().unwrap().to_owned();
        let mut add = |kind, at: u64, len: u64| {
            let bytes = at as usize..(at + len) as usize;
            regions.push(Region { kind, path: path.clone(), bytes });
        };
        if let Some(id) = FileId::from_file_name(&name) {
            let table = Table::open(env, DIR, id, TokenRange::ALL).await.unwrap();
            let layout = table.layout();
            let (partition, at) = (table.read_partition(0).await.unwrap(), table.partition_at(0));
            let (first, _) = partition.blocks().next().unwrap();
            add(Kind::Block, first.offset, first.len.into());
            add(Kind::Partition, at.offset, at.len.into());
            add(Kind::Top, layout.top.offset, layout.top.bytes);
            add(Kind::Actors, layout.actors.offset, layout.actors.bytes);
            let end = layout.actors.offset + layout.actors.bytes;
            add(Kind::TablePadding, end, layout.footer_at - end);
            add(Kind::Footer, layout.footer_at, layout.footer_bytes);
        } else if ClocksFile::id_of(&name).is_some() {
            add(Kind::Clocks, 0, disk.bytes(&path).unwrap().len() as u64);
        } else if let Some(id) = segment_id(&name) {
            let each = |listed: engine::commit_log::Listed<'_>| {
                match listed.piece {
                    Piece::Batch(label, _) if label.kind == BatchKind::Seal => {
                        add(Kind::LogSeal, listed.offset, label.length as u64);
                    }
                    Piece::Batch(label, _) => {
                        let body = (label.length - BATCH_HEAD) as u64;
                        add(Kind::BatchHead, listed.offset, BATCH_HEAD as u64);
                        add(Kind::BatchBody, listed.offset + BATCH_HEAD as u64, body);
                    }
                    Piece::Torn | Piece::Foreign => {
                        add(Kind::LogZeros, listed.offset, listed.bytes);
                    }
                }
                ControlFlow::Continue(())
            };
            list_segment(env, &path, id, each).await.unwrap();
        } else if name == "MANIFEST" {
            add(Kind::ManifestHeader, 0, ALIGN as u64);
            for frame in Manifest::list(env, DIR).await.unwrap().frames {
                let kind = match frame.content {
                    FrameContent::Edit(..) => Kind::ManifestEdit,
                    FrameContent::Seal(_) => Kind::ManifestSeal,
                    FrameContent::Zeros | FrameContent::Unsound => Kind::ManifestZeros,
                };
                add(kind, frame.offset, frame.bytes);
            }
        } else if name == "MANIFEST.tmp" {
            add(Kind::Spare, 0, ALIGN as u64);
        }
    }
    // Of many alike the first and the last few: whether a batch is flushed makes a difference.
    let mut seen: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    let mut count = |it: &Region| {
        let seen = seen.entry((it.kind, it.path.clone())).or_default();
        *seen += 1;
        *seen
    };
    regions.reverse();
    regions.retain(|it| !it.bytes.is_empty() && count(it) <= 4);
    regions
}

impl Region {
    /// Does `damage` to it. `None`: there is nothing of the kind to do.
    fn harm(
        &self,
        damage: Damage,
        nth: usize,
        disk: &SimDisk,
        stock: &Stock,
    ) -> Option<Range<usize>> {
        let whole = disk.bytes(&self.path)?;
        let mut bytes = whole.clone();
        let page = self.bytes.start / ALIGN * ALIGN..(self.bytes.start / ALIGN + 1) * ALIGN;
        match damage {
            Damage::Flip => {
                let at = self.bytes.start + nth * (self.bytes.len() - 1) / 2;
                bytes[at] ^= 1 << (nth + 3);
            }
            Damage::Misdirect => {
                let other = match nth {
                    0 => bytes.get(..ALIGN)?.to_vec(),
                    1 => bytes.get(page.end..page.end + ALIGN)?.to_vec(),
                    _ => {
                        let end = self.path.rsplit('.').next()?;
                        let paths = disk.paths();
                        let alike = |it: &&String| **it != self.path && it.ends_with(end);
                        let other = match paths.iter().find(alike) {
                            Some(path) => disk.bytes(path)?,
                            // Of clocks there is one file at a time.
                            None => {
                                let paths = stock.earlier.paths();
                                stock.earlier.bytes(paths.iter().find(alike)?)?
                            }
                        };
                        other.get(page.clone())?.to_vec()
                    }
                };
                bytes.get_mut(page)?.copy_from_slice(&other);
            }
            Damage::RollBack if nth == 0 => {
                let older = stock.earlier.bytes(&self.path).filter(|_| self.kind > Kind::Footer);
                let older = older.unwrap_or_else(|| vec![0; bytes.len()]);
                bytes.get_mut(page.clone())?.copy_from_slice(older.get(page)?);
            }
            Damage::Truncate if nth < 2 => bytes.truncate([self.bytes.start, page.start][nth]),
            Damage::Extend if nth == 0 => bytes.resize(bytes.len() + ALIGN, 0),
            _ => return None,
        }
        disk.put(&self.path, &bytes);
        (bytes != whole).then(|| harmed(&whole, &bytes))
    }

    /// Reads all keys: each has its value, or an error that names the file.
    async fn read_all(&self, client: &mut Client, harmed: &Range<usize>) -> Outcome {
        let ledger = client.ledger.borrow().clone();
        let expected = ledger.after(ledger.writes.len(), 0);
        let mut outcome = Outcome::Whole;
        for key in 0..KEYS {
            match client.read(key, 0).await.expect("the store works") {
                Ok(value) => assert!(value == expected[&key], "{self:?}: key {key} is wrong"),
                Err(error) => {
                    assert_eq!(error.path, self.path, "{error}");
                    let at = error.offset as usize;
                    assert!(at < harmed.end && harmed.start < at + BLOCK_MAX, "{error}");
                    outcome = Outcome::Errors;
                }
            }
        }
        outcome
    }

    /// Opens the store and reads all keys.
    fn start(&self, disk: &SimDisk, ledger: &Ledger, harmed: &Range<usize>) -> Outcome {
        let sim = Sim::new(2);
        let env = sim.env(disk);
        let ledger = Rc::new(RefCell::new(ledger.clone()));
        sim.block_on(async {
            match Client::open(&env, config(), &ledger).await {
                Ok((mut client, report)) => {
                    let is_clocks = self.kind == Kind::Clocks;
                    assert!(report.clocks_lost || !is_clocks, "{self:?}: nobody is told");
                    self.read_all(&mut client, harmed).await
                }
                Err(error) => {
                    assert!(error.to_string().contains(&self.path), "{self:?}: {error}");
                    Outcome::Refused
                }
            }
        })
    }
}

/// From the first to the last byte of a file that is not what it was.
fn harmed(whole: &[u8], now: &[u8]) -> Range<usize> {
    let differs = |at: &usize| whole.get(*at) != now.get(*at);
    let mut all = 0..whole.len().max(now.len());
    let first = all.find(differs).unwrap_or(0);
    first..all.rfind(differs).unwrap_or(first) + 1
}

/// What a flipped bit comes to at the next start.
fn after_a_flip(kind: Kind) -> Outcome {
    match kind {
        Kind::Block | Kind::Partition => Outcome::Errors,
        Kind::ManifestSeal | Kind::ManifestZeros | Kind::Spare => Outcome::Whole,
        Kind::LogSeal | Kind::LogZeros | Kind::Clocks => Outcome::Whole,
        _ => Outcome::Refused,
    }
}

/// Does a damage, and says what bytes of the region's file it changed.
type Harm<'a> = dyn Fn(&SimDisk) -> Option<Range<usize>> + 'a;

/// Runs every cell on a store that `run` is given with the damage to do, and checks that there was
/// something to do in each.
fn every_cell(run: impl Fn(&Region, &Harm<'_>, &Stock) -> Option<Outcome>) {
    let stock = stock();
    let sim = Sim::new(1);
    let env = sim.env(&stock.disk);
    let regions = sim.block_on(regions(&env, &stock.disk));
    let mut outcomes: BTreeMap<(Kind, Damage), BTreeSet<Outcome>> = BTreeMap::new();
    for region in &regions {
        for damage in DAMAGES {
            for nth in 0..3 {
                let harm = |disk: &SimDisk| region.harm(damage, nth, disk, &stock);
                if let Some(outcome) = run(region, &harm, &stock) {
                    outcomes.entry((region.kind, damage)).or_default().insert(outcome);
                }
            }
        }
    }
    let kinds: BTreeSet<Kind> = outcomes.keys().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
    for (cell, outcomes) in &outcomes {
        println!("{cell:?}: {outcomes:?}");
    }
    for kind in kinds {
        let flipped = &outcomes[&(kind, Damage::Flip)];
        assert_eq!(flipped.last(), Some(&after_a_flip(kind)), "{kind:?}: {flipped:?}");
    }
    // Where zeros or a header are as they were before, nothing can be rolled back.
    assert!(outcomes.len() >= 75, "{} cells of 80", outcomes.len());
}

#[test]
fn damage_of_any_region_at_rest_is_refused_or_said_or_harmless() {
    every_cell(|region, harm, stock| {
        let disk = stock.disk.crash(Crash::KeepAll, 0);
        let harmed = harm(&disk)?;
        Some(region.start(&disk, &stock.ledger, &harmed))
    });
}

#[test]
fn damage_of_any_region_under_an_open_store_is_said_or_harmless() {
    every_cell(|region, harm, stock| {
        let disk = stock.disk.crash(Crash::KeepAll, 0);
        let sim = Sim::new(3);
        let env = sim.env(&disk);
        let ledger = Rc::new(RefCell::new(stock.ledger.clone()));
        let live = sim.block_on(async {
            let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
            let harmed = harm(&disk)?;
            let before = region.read_all(&mut client, &harmed).await;
            write(&mut client, 3..6, 900).await;
            let after = region.read_all(&mut client, &harmed).await;
            client.store.close().await.unwrap();
            Some((before.max(after), harmed))
        });
        drop(sim);
        let ((live, harmed), ledger) = (live?, ledger.borrow().clone());
        Some(live.max(region.start(&disk, &ledger, &harmed)))
    });
}
