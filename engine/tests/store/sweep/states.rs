//! Disks as power cuts leave them: checked once each.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::env::Env;
use engine::env::sim::{Crash, SimDisk, When};
use engine::store::StoreConfig;
use xxhash_rust::xxh3::Xxh3Default;

use crate::harness::{Client, Ledger, Write, check_disk, simulate};

/// What is left after a cut: each class, those with chance in them more often.
const OUTCOMES: [(Crash, u64); 11] = [
    (Crash::LoseAll, 1),
    (Crash::KeepAll, 1),
    (Crash::ZeroFilled, 1),
    (Crash::Prefix, 1),
    (Crash::Prefix, 2),
    (Crash::Torn, 1),
    (Crash::Torn, 2),
    (Crash::Torn, 3),
    (Crash::Random, 1),
    (Crash::Random, 2),
    (Crash::Random, 3),
];

/// At one moment of so many the process is killed, and the power goes while it starts again.
const KILL_ONE_IN: u64 = 20;

/// One state of so many is gone on with: the power goes again while it is recovered from.
const AGAIN_ONE_IN: u64 = 200;

/// One state of so many is gone on with: there are writes after the recovery, and then a cut.
const LIVE_ON_ONE_IN: u64 = 20;

/// Which states were checked, and what was wrong.
pub(super) struct States {
    pub(super) config: StoreConfig,
    seen: Mutex<BTreeSet<u64>>,
    checked: AtomicU64,
    in_recovery: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl States {
    pub(super) fn new(config: StoreConfig) -> Self {
        let (seen, wrong) = (Mutex::default(), Mutex::default());
        let (checked, in_recovery) = (AtomicU64::default(), AtomicU64::default());
        Self { config, seen, checked, in_recovery, wrong }
    }

    /// States that were checked, no two of them alike.
    pub(super) fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// Those among them that a second cut left.
    pub(super) fn in_recovery(&self) -> u64 {
        self.in_recovery.load(Ordering::Relaxed)
    }

    /// What was wrong, in order, so that two runs say the same.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = self.wrong.lock().expect("nobody panics with it").clone();
        wrong.sort();
        wrong
    }

    pub(super) fn note(&self, wrong: String) {
        self.wrong.lock().expect("nobody panics with it").push(wrong);
    }

    /// The power goes now.
    pub(super) fn cut(&self, disk: &SimDisk, ledger: &Ledger, case: &dyn Fn() -> String) {
        let moment = disk.changes();
        if moment.is_multiple_of(KILL_ONE_IN) {
            let left = disk.fork();
            left.end_process(moment);
            self.cut_recovery(left, ledger, &|| format!("{}, killed", case()));
        }
        for (class, seed) in OUTCOMES {
            let left = disk.crash(class, seed);
            let name = || format!("{}, {class:?} {seed}", case());
            if let Some(key) = self.check(&left, ledger, &name) {
                if key.is_multiple_of(AGAIN_ONE_IN) {
                    self.cut_recovery(left.fork(), ledger, &name);
                }
                if key.is_multiple_of(LIVE_ON_ONE_IN) {
                    self.live_on(&left, ledger, key, &name);
                }
            }
        }
    }

    /// Checks a disk, unless one like it was: its key.
    pub(super) fn check(
        &self,
        left: &SimDisk,
        ledger: &Ledger,
        case: &dyn Fn() -> String,
    ) -> Option<u64> {
        let key = key(left, ledger);
        if !self.seen.lock().expect("nobody panics with it").insert(key) {
            return None;
        }
        let named = Named(case);
        self.checked.fetch_add(1, Ordering::Relaxed);
        if let Err(wrong) = check_disk(&left.fork(), key, &self.config, ledger) {
            self.note(format!("{}: {wrong}", case()));
        }
        drop(named);
        Some(key)
    }

    /// The power goes before each sync while the store on `disk` is recovered.
    fn cut_recovery(&self, disk: SimDisk, ledger: &Ledger, case: &dyn Fn() -> String) {
        let named = Named(case);
        let (sim, env) = simulate(1, &disk, ledger);
        let points = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&points);
        disk.watch(move |disk, io, when| {
            if io.is_sync() && when == When::Before {
                noted.borrow_mut().push(disk.fork());
            }
        });
        sim.block_on(async {
            let opened = Client::open(&env, self.config.clone(), &Rc::default()).await;
            match opened {
                Ok((mut client, _)) => client.store.flush().await.expect("no I/O fails"),
                Err(error) => self.note(format!("{}: {error}", case())),
            }
        });
        for (nth, point) in points.borrow().iter().enumerate() {
            for class in [Crash::LoseAll, Crash::ZeroFilled, Crash::Torn, Crash::Random] {
                let name = || format!("{}, again before sync {nth}, {class:?}", case());
                if self.check(&point.crash(class, 1), ledger, &name).is_some() {
                    self.in_recovery.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        drop(named);
    }

    /// What was dropped stays so, and what is acknowledged from now on is there after another cut.
    fn live_on(&self, left: &SimDisk, ledger: &Ledger, seed: u64, case: &dyn Fn() -> String) {
        let named = Named(case);
        let disk = left.fork();
        let (sim, env) = simulate(seed, &disk, ledger);
        let shared = Rc::new(RefCell::new(ledger.clone()));
        let lived = sim.block_on(async {
            let opened = Client::open(&env, self.config.clone(), &shared).await;
            let Ok((mut client, _)) = opened else { return false };
            if client.check_recovered().await.is_err() {
                return false; // as was noted
            }
            for key in [6, 0, 6] {
                let write = Write::put(key, client.taken(), 100);
                client.write_until_taken(write).await.expect("no I/O fails");
                client.settle().await.expect("no I/O fails");
            }
            env.sleep_us(seed % 2000).await;
            true
        });
        if lived {
            let ledger = shared.borrow();
            for class in [Crash::LoseAll, Crash::Random] {
                let name = || format!("{}, then three puts, {class:?}", case());
                self.check(&disk.crash(class, seed), &ledger, &name);
            }
        }
        drop(named);
    }
}

/// Says which case it was that panicked.
pub(super) struct Named<'a>(pub(super) &'a dyn Fn() -> String);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {}", (self.0)());
        }
    }
}

/// Equal for disks on which the same is to be found. The moment is not in it: what expires is
/// checked as of the moment in which its state came up first.
fn key(disk: &SimDisk, ledger: &Ledger) -> u64 {
    let mut hasher = Xxh3Default::new();
    disk.image_hash().hash(&mut hasher);
    ledger.acknowledged.hash(&mut hasher);
    for write in &ledger.writes {
        (write.key, write.index, write.value.as_ref().map(Vec::len)).hash(&mut hasher);
        (write.expires_at_ms != 0).hash(&mut hasher);
    }
    hasher.finish()
}
