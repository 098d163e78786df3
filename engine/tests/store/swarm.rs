//! Long random runs with everything that can go wrong, each seed with its own choice of it: limits,
//! classes of faults, several at once, a disk that is full and has space again, clocks that jump,
//! kills, power cuts, clean stops.
//!
//! What the ledger says is the model: the writes of all keys in the order in which they were taken,
//! stamps and dots with them.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use engine::commit_log::LogConfig;
use engine::env::Env;
use engine::env::sim::{Crash, Fail, Fault, Io, Sim, SimDisk, SimEnv};
use engine::limits::EXPIRED_MARGIN_MS;
use engine::namespaces::Namespaces;
use engine::store::{Durability, Failure, FlushError, OpenErrorKind, StoreConfig};
use fastrand::Rng;
use futures_lite::future::or;
use schemas::ids::{Hlc, NamespaceId};

use crate::cores::on_all_cores;
use crate::harness::{Client, Ledger, Write, asked_for, simulate, small_config, token_of};

const KEYS: u32 = 16;

/// Seeds of the short form.
const SEEDS: u64 = 80;

/// Writes that come late have stamps of at most so many less.
const LATE: u64 = 20;

/// An hour less than what keeps an expired value: how far a clock may be ahead for a while.
const AHEAD_MS: u64 = EXPIRED_MARGIN_MS / 2;

/// What may go wrong under one seed.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Kinds of faults that there are, of all of them.
    faults: [bool; 4],
    /// One step of so many has a fault; 0: none has.
    fault_one_in: u32,
    sticky: bool,
    fills: bool,
    jumps: bool,
    kills: bool,
    cuts: bool,
}

impl Weather {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            faults: [rng.bool(), rng.bool(), rng.bool(), rng.bool()],
            fault_one_in: [0, 10, 30, 100][rng.usize(..4)],
            sticky: rng.bool(),
            fills: rng.u8(..3) == 0,
            jumps: rng.bool(),
            kills: rng.bool(),
            cuts: rng.bool(),
        }
    }

    fn fault(&self, rng: &mut Rng) -> Option<Fault> {
        const HOWS: [Fail; 4] = [Fail::Eio, Fail::Enospc, Fail::Short, Fail::Torn];
        const KINDS: [Option<Io>; 6] = [
            None,
            Some(Io::Read),
            Some(Io::Write),
            Some(Io::Sync),
            Some(Io::SyncDir),
            Some(Io::Name),
        ];
        const PATHS: [&str; 6] = ["", "", ".log", ".sst", ".clk", "MANIFEST"];
        if self.fault_one_in == 0 || rng.u32(..self.fault_one_in) > 0 {
            return None;
        }
        let kind = rng.usize(..HOWS.len());
        let on = match HOWS[kind] {
            // A read that is short twice has met the end of the file.
            Fail::Short => Some(Io::Write),
            _ => KINDS[rng.usize(..KINDS.len())],
        };
        self.faults[kind].then(|| Fault {
            on,
            path: PATHS[rng.usize(..PATHS.len())].to_owned(),
            nth: rng.u64(1..12),
            sticky: self.sticky && rng.u8(..4) == 0,
            how: HOWS[kind],
        })
    }
}

fn draw_config(rng: &mut Rng) -> StoreConfig {
    let mut config = small_config();
    let segment_bytes = [16, 32, 64][rng.usize(..3)] << 10;
    config.memtable_bytes = rng.usize(8..48) << 10;
    config.memtables_bytes_max = config.memtable_bytes * rng.usize(2..6);
    config.cache_bytes = [0, 8 << 10, 64 << 10][rng.usize(..3)];
    config.tables_memory_bytes = [0, 3 << 10, 24 << 10][rng.usize(..3)].min(config.cache_bytes);
    config.log_bytes_max = segment_bytes + rng.u64(1..64 << 10);
    config.log = LogConfig {
        durability: match rng.u8(..5) {
            0 => Durability::Periodic { interval_us: 2000 },
            1 => Durability::None,
            _ => Durability::Sync,
        },
        segment_bytes,
        batch_bytes_max: [8, 12, 16][rng.usize(..3)] << 10,
        batches_max: rng.usize(2..5),
        spare_segments: rng.usize(1..3),
        repair: false,
    };
    config.compaction.level0_tables = rng.usize(2..5);
    config.compaction.runs_max = rng.usize(1..4);
    config.compaction.fragment_bytes = rng.u64(4..32) << 10;
    config.space.poll_interval_us = 1000;
    if rng.bool() {
        config.namespaces = Arc::new(Namespaces::new([], [NamespaceId(2)]));
    }
    config
}

/// What came of a seed.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    lives: u64,
    writes: u64,
    faults: u64,
    not_opened: u64,
    failed: u64,
    cuts: u64,
    compactions: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.lives += other.lives;
        self.writes += other.writes;
        self.faults += other.faults;
        self.not_opened += other.not_opened;
        self.failed += other.failed;
        self.cuts += other.cuts;
        self.compactions += other.compactions;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, writes, faults, not_opened, failed, cuts, compactions } = self;
        write!(
            f,
            "{lives} lives, {writes} writes, {faults} faults, {not_opened} starts refused, \
             {failed} stores failed, {cuts} power cuts, {compactions} compactions"
        )
    }
}

struct Swarm {
    rng: Rng,
    disk: SimDisk,
    config: StoreConfig,
    weather: Weather,
    ledger: Rc<RefCell<Ledger>>,
    /// How far the clock is ahead for a while.
    ahead_ms: u64,
    /// No write is stamped below, also after some that were stamped above are lost.
    horizon: u64,
    /// Otherwise a crash may lose writes that do not show; neither a write that comes late nor a
    /// clock that goes back may tell, for nobody knows which are there.
    is_sync: bool,
    tally: Tally,
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
    Cut,
    Failed,
    NotOpened,
}

impl Swarm {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (config, weather) = (draw_config(&mut rng), Weather::draw(&mut rng));
        let is_sync = config.log.durability == Durability::Sync;
        let ledger = Ledger { keys: KEYS, ..Ledger::default() };
        let (disk, ledger) = (SimDisk::new(seed), Rc::new(RefCell::new(ledger)));
        Self {
            rng,
            disk,
            config,
            weather,
            ledger,
            ahead_ms: 0,
            is_sync,
            horizon: 0,
            tally: Tally::default(),
        }
    }

    fn run(&mut self, lives: u64) -> Result<(), String> {
        let mut refused = 0;
        for life in 0..=lives {
            if life == lives || refused > 2 {
                self.clear();
            }
            let last = life == lives;
            let (sim, env) = simulate(self.rng.u64(..), &self.disk, &self.ledger.borrow());
            let end = sim.block_on(self.live(&sim, &env, last))?;
            drop((env, sim));
            refused = if end == End::NotOpened { refused + 1 } else { 0 };
            if last && !matches!(end, End::Closed) {
                return Err("the disk works, and the store does not".to_owned());
            }
            self.end(end);
        }
        Ok(())
    }

    /// What a life leaves.
    fn end(&mut self, end: End) {
        self.tally.lives += 1;
        let seed = self.rng.u64(..);
        self.disk.end_process(seed);
        match end {
            End::Cut => {
                self.tally.cuts += 1;
                let class = Crash::ALL[self.rng.usize(..Crash::ALL.len())];
                self.disk = self.disk.crash(class, seed);
            }
            End::Failed => self.tally.failed += 1,
            End::NotOpened => self.tally.not_opened += 1,
            End::Closed | End::Killed => {}
        }
        if self.config.log.durability != Durability::Sync && end != End::Closed {
            self.ledger.borrow_mut().acknowledged = 0; // what the log had in memory is gone
        }
    }

    /// Nothing fails from now on.
    fn clear(&mut self) {
        self.disk.clear_faults();
        self.disk.set_capacity(1 << 40);
    }
}

impl Swarm {
    async fn live(&mut self, sim: &Sim, env: &SimEnv, last: bool) -> Result<End, String> {
        let opened = Client::open(env, self.config.clone(), &self.ledger).await;
        let mut client = match opened {
            Ok((client, _)) => client,
            Err(error) if error.kind() == OpenErrorKind::Io && !last => return Ok(End::NotOpened),
            Err(error) => return Err(format!("it does not open: {error}")),
        };
        let now_ms = env.wall_ms();
        let shown = loop {
            match client.shown(now_ms).await {
                Some(shown) => break shown,
                None if client.poll().is_err() => return Ok(End::Failed),
                None => self.disk.clear_faults(),
            }
        };
        client.check_shown(&shown, now_ms)?;
        client.drop_again();
        if last {
            return self.last_words(&mut client).await;
        }
        let steps = self.rng.usize(20..120);
        let before = client.taken() as u64;
        let lived = self.steps(sim, &mut client, steps).await;
        self.tally.writes += client.taken() as u64 - before;
        self.tally.compactions += client.store.stats().compactions;
        if lived.is_err() {
            return Ok(End::Failed);
        }
        let (kills, cuts) = (self.weather.kills, self.weather.cuts);
        match self.rng.u8(..3) {
            0 if kills => Ok(End::Killed),
            1 if cuts => Ok(End::Cut),
            _ => Ok(if client.store.close().await.is_ok() { End::Closed } else { End::Failed }),
        }
    }

    /// The disk works: so does the store, with all that it has.
    async fn last_words(&self, client: &mut Client) -> Result<End, String> {
        let failed = |failure: Failure| failure.to_string();
        while client.ledger.borrow().pending_drops().next().is_some() {
            client.round().await.map_err(failed)?;
        }
        for key in 0..KEYS {
            let write = Write::put(key, client.taken(), 50);
            client.write_until_taken(write).await.map_err(failed)?;
        }
        client.settle().await.map_err(failed)?;
        client.store.flush().await.map_err(|error| error.to_string())?;
        let kept = client.check_recovered().await?;
        if kept < client.taken() || !client.check_scan(5, 3000).await {
            return Err("the disk works, and not all is there".to_owned());
        }
        Ok(End::Closed)
    }

    async fn steps(&mut self, sim: &Sim, client: &mut Client, steps: usize) -> Result<(), Failure> {
        for _ in 0..steps {
            if let Some(fault) = self.weather.fault(&mut self.rng) {
                self.disk.inject(fault);
                self.tally.faults += 1;
            }
            for _ in 0..self.rng.u32(..3) {
                let write = self.draw_write(client);
                if !client.ledger.borrow().is_dropping(write.key) {
                    // What is refused was not written.
                    let _refused = client.write(write);
                }
            }
            for _ in 0..self.rng.u32(..3) {
                client.check_read(self.rng.u32(..KEYS)).await;
            }
            client.round().await?;
            match self.rng.u32(..24) {
                0 => self.flush(client).await?,
                1 => {
                    self.horizon = self.horizon.max((client.taken() as u64).saturating_sub(LATE));
                    client.store.set_purge_horizon(Hlc(self.horizon));
                }
                2 => self.scan(client).await?,
                3 if self.weather.jumps => {
                    self.jump(sim);
                    self.ledger.borrow_mut().wall_ms = client.env.wall_ms();
                }
                4..7 => client.env.sleep_us(self.rng.u64(..50_000)).await,
                7 if self.weather.fills => self.fill(),
                8 => self.clear(),
                9..14 => self.settle(client).await?,
                14 => self.drop_vnodes(client).await?,
                15 => {
                    let vnode = token_of(self.rng.u32(..KEYS)).vnode(self.config.vnodes);
                    client.store.compact_vnode(vnode);
                }
                16 if self.rng.u8(..4) == 0 => client.store.compact_all(),
                _ => {}
            }
        }
        Ok(())
    }

    fn draw_write(&mut self, client: &Client) -> Write {
        let (index, key, rng) = (client.taken(), self.rng.u32(..KEYS), &mut self.rng);
        let mut write = match rng.u32(..10) {
            0..2 => Write::delete(key, index),
            2 => Write::put(key, index, rng.usize(3000..7000)),
            _ => Write::put(key, index, rng.usize(..600)),
        };
        if rng.u32(..6) == 0 {
            write.expires_at_ms = client.env.wall_ms() + rng.u64(..200);
        }
        if rng.u32(..10) == 0 && self.is_sync {
            write.hlc = write.hlc.saturating_sub(rng.u64(..LATE));
        }
        write.hlc = write.hlc.max(self.horizon);
        write
    }

    async fn flush(&self, client: &mut Client) -> Result<(), Failure> {
        let env = client.env.clone();
        let timeout = async {
            env.sleep_us(10_000).await;
            Ok(())
        };
        match or(client.store.flush(), timeout).await {
            Err(FlushError::Failed(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    async fn scan(&mut self, client: &mut Client) -> Result<(), Failure> {
        self.settle(client).await?;
        if client.ledger.borrow().acknowledged == client.taken() {
            client.check_scan(self.rng.usize(1..9), self.rng.usize(1..20_000)).await;
        }
        Ok(())
    }

    /// Drops a vnode or two, if no others are being dropped: of those nobody could tell, after a
    /// crash, which were.
    async fn drop_vnodes(&mut self, client: &mut Client) -> Result<(), Failure> {
        self.settle(client).await?;
        let is_settled = client.ledger.borrow().acknowledged == client.taken();
        if self.is_sync && is_settled && client.ledger.borrow().pending_drops().next().is_none() {
            let keys = [self.rng.u32(..KEYS), self.rng.u32(..KEYS)];
            client.drop_vnodes_of(&keys, self.config.vnodes);
        }
        Ok(())
    }

    /// Goes on until all is acknowledged, or it takes long.
    async fn settle(&self, client: &mut Client) -> Result<(), Failure> {
        let give_up_us = client.env.monotonic_us() + 100_000;
        while client.ledger.borrow().acknowledged < client.taken()
            && client.env.monotonic_us() < give_up_us
        {
            client.round().await?;
        }
        Ok(())
    }

    /// What has expired is over for good; or the clock is ahead for a while.
    fn jump(&mut self, sim: &Sim) {
        match (self.ahead_ms, self.rng.bool() && self.is_sync) {
            (0, false) => sim.jump_wall_clock(3 * EXPIRED_MARGIN_MS as i64),
            (0, true) => {
                self.ahead_ms = self.rng.u64(1..AHEAD_MS);
                sim.jump_wall_clock(self.ahead_ms as i64);
            }
            (ahead_ms, _) => {
                self.ahead_ms = 0;
                sim.jump_wall_clock(-(ahead_ms as i64));
            }
        }
    }

    /// Somebody else fills the disk, more or less.
    fn fill(&mut self) {
        let space = self.disk.space();
        let used = space.total - space.available;
        self.disk.set_capacity(used * 100 / self.rng.u64(88..=100));
    }
}

fn run(seed: u64) -> Tally {
    let told = Told(seed);
    let mut swarm = Swarm::new(seed);
    if let Err(wrong) = swarm.run(6) {
        panic!("{wrong}; {:?}", swarm.weather);
    }
    drop(told);
    swarm.tally
}

/// Says which seed it was that panicked, and how to run it again.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again: KVCORE_TEST_SEED={} cargo test -p engine --test store swarm", self.0);
        }
    }
}

/// Its long form: `KVCORE_TEST_SEEDS=5000`.
#[test]
fn nothing_that_goes_wrong_loses_or_invents_anything() {
    let seeds = match asked_for("KVCORE_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..asked_for("KVCORE_TEST_SEEDS").unwrap_or(SEEDS) + 1,
    };
    let total = std::sync::Mutex::new(Tally::default());
    let (first, count) = (seeds.start, seeds.end - seeds.start);
    on_all_cores(count as usize, |index| {
        let tally = run(first + index as u64);
        total.lock().expect("nobody panics with it").add(tally);
    });
    let total = *total.lock().expect("nobody panics with it");
    println!("{count} seeds: {total}");
    if count >= SEEDS {
        let all = [total.faults, total.not_opened, total.failed, total.cuts, total.compactions];
        assert!(all.iter().all(|&count| count > 20), "{total}");
    }
}
