//! kvcore's engine: one store on one core, driven by the loop that the server runs, without a
//! network. It lives in its executor's thread; orders and outcomes cross by channels.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use engine::env::Env;
use engine::env::direct::{DirectEnv, PREEMPT_TIMER, give_way, with_heartbeat, with_ring};
use engine::env::ring::{Parker, Ring, RingConfig};
use engine::record::{Key as StoreKey, Kind, Record, lww};
use engine::scan::{ScanPlace, ScanRequest};
use engine::store::{Done, Durability, Get, GetTicket, Store, StoreConfig};
use glommio::{ExecutorJoinHandle, Latency, LocalExecutorBuilder, Shares};
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, ShardId, Token, Version, VnodeBits};

use super::runner::{GROUP, Order, Outcome, Runner};
use crate::data::{Key, Shuffled, Values, absent_key, key};
use crate::scenario::Setup;

/// A core looks for work so long before it sleeps, as the server's.
const SPIN: Duration = Duration::from_micros(20);

/// A core that sleeps looks at its clock this often.
const LOOK_US: u64 = 50_000;

/// What the store's thread is told.
enum Call {
    Order(Order, usize),
    Rest,
    Close,
}

type Answer = anyhow::Result<Option<Outcome>>;

/// The store, seen from another thread.
pub(crate) struct Remote {
    calls: Sender<Call>,
    answers: Receiver<Answer>,
    executor: ExecutorJoinHandle<()>,
}

impl Remote {
    pub(crate) fn open(dir: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let (calls, inbox) = channel();
        let (outbox, answers) = channel();
        let (dir, setup) = (dir.to_owned(), *setup);
        let executor = LocalExecutorBuilder::default()
            .preempt_timer(PREEMPT_TIMER)
            .io_memory(1 << 20)
            .spawn(move || async move {
                let (shares, latency) = (Shares::Static(1000), Latency::NotImportant);
                let queue = glommio::executor().create_task_queue(shares, latency, "foreground");
                let served = serve(dir, setup, inbox, outbox);
                let task = glommio::spawn_local_into(with_heartbeat(served), queue);
                task.expect("the queue was made just now").await.expect("there is a thread");
            })
            .map_err(|error| anyhow!("an executor: {error}"))?;
        let remote = Self { calls, answers, executor };
        remote.answer()?;
        Ok(remote)
    }

    fn answer(&self) -> Answer {
        self.answers.recv().context("the store's thread ended")?
    }

    fn call(&self, call: Call) -> Answer {
        self.calls.send(call).ok().context("the store's thread ended")?;
        self.answer()
    }
}

impl Runner for Remote {
    fn order(&mut self, order: &Order, values: &Values) -> anyhow::Result<Outcome> {
        self.call(Call::Order(*order, values.bytes()))?.context("an order has an outcome")
    }

    fn rest(&mut self) -> anyhow::Result<()> {
        self.call(Call::Rest).map(drop)
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        self.call(Call::Close)?;
        self.executor.join().map_err(|error| anyhow!("the executor: {error}"))
    }
}

async fn serve(dir: PathBuf, setup: Setup, inbox: Receiver<Call>, outbox: Sender<Answer>) {
    let send = |answer| outbox.send(answer).expect("somebody waits for it");
    let mut core = match Core::open(&dir, &setup).await {
        Ok(core) => core,
        Err(error) => return send(Err(error)),
    };
    send(Ok(None));
    while let Ok(call) = inbox.recv() {
        let answer = match call {
            Call::Order(order, value_bytes) => {
                core.order(&order, &Values::new(value_bytes)).await.map(Some)
            }
            Call::Rest => core.rest().await.map(|()| None),
            Call::Close => return send(core.close().await.map(|()| None)),
        };
        send(answer);
    }
}

/// A store and what drives it.
struct Core {
    ring: Ring,
    parker: Parker,
    store: Store<DirectEnv>,
    /// When there was something to do last.
    worked: Instant,
    stamp: u64,
    actor: Actor,
    /// The counter of the last dot of each vnode: without gaps, as a node gives them.
    dots: Vec<u64>,
    put_upto: u64,
    done: Vec<Done>,
}

impl Core {
    async fn open(dir: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let ring = Ring::new(RingConfig::default())?;
        let env = DirectEnv::new(dir, ring.clone(), 1).await?;
        let all = (Token(0), Token(u64::MAX));
        let mut config = StoreConfig::new(1, ShardId(0), all, 2 * setup.write_memory);
        // Filters and indexes come out of it.
        (config.cache_bytes, config.tables_memory_bytes) = (setup.cache, setup.cache / 4 * 3);
        config.log.durability = if setup.durable { Durability::Sync } else { Durability::None };
        let parker = Parker::new(&ring)?;
        let (store, _) = with_ring(&ring, Store::open(env.clone(), "shard", config, lww)).await??;
        // Stamps go on from those of the process before.
        let stamp = env.wall_ms() << 16;
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: (stamp >> 26) as u32 };
        let dots = vec![0; VnodeBits::DEFAULT.count() as usize];
        let worked = Instant::now();
        Ok(Self { ring, parker, store, worked, stamp, actor, dots, put_upto: 0, done: vec![] })
    }

    async fn order(&mut self, order: &Order, values: &Values) -> anyhow::Result<Outcome> {
        match *order {
            Order::Put { keys, shuffled: true, life, seed } => {
                self.put_all(Shuffled::new(keys, seed), life, values).await
            }
            Order::Put { keys, shuffled: false, life, .. } => {
                self.put_all(0..keys, life, values).await
            }
            Order::Read { .. } => self.read(order, values).await,
            Order::Scan { keys } => self.scan(keys).await,
        }
    }

    /// One round of a core's loop, as the server's. If nothing ends in it and the caller has
    /// nothing else to do either, it sleeps until something does.
    async fn round(&mut self, may_sleep: bool) -> anyhow::Result<()> {
        self.store.tick();
        self.ring.enter()?;
        self.store.poll(&mut self.done)?;
        self.ring.submit()?;
        if self.ring.needs_worker() {
            thread::yield_now();
        }
        give_way().await;
        if !may_sleep || !self.done.is_empty() {
            self.worked = Instant::now();
        } else if self.worked.elapsed() > SPIN {
            self.ring.set_timer(LOOK_US);
            self.parker.park(|| self.store.idle()).await?;
        }
        Ok(())
    }

    /// Puts one record; false if it has to be tried again.
    fn put(&mut self, index: u64, value: &[u8]) -> bool {
        self.stamp += 1;
        let bytes = key(index);
        let key = store_key(&bytes);
        let last = &mut self.dots[usize::from(key.token.vnode(VnodeBits::DEFAULT).0)];
        let dot = Dot { actor: self.actor, counter: *last + 1 };
        let record = Record {
            key,
            version: Version { hlc: Hlc(self.stamp), dot },
            kind: Kind::Value,
            expires_at_ms: 0,
            value,
        };
        let taken = self.store.put_now(&record).is_ok();
        *last += u64::from(taken);
        self.put_upto += u64::from(taken);
        taken
    }

    async fn put_all(
        &mut self,
        mut indices: impl Iterator<Item = u64>,
        life: u64,
        values: &Values,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::new();
        let mut group = vec![(0, Vec::with_capacity(values.bytes())); GROUP];
        let mut acknowledged = self.put_upto;
        loop {
            let mut filled = 0;
            for (index, pair) in indices.by_ref().take(GROUP).zip(&mut group) {
                pair.0 = index;
                values.write(index, life, &mut pair.1);
                filled += 1;
            }
            if filled == 0 {
                return Ok(outcome);
            }
            let start = Instant::now();
            let mut taken = 0;
            while acknowledged < self.put_upto || taken < filled {
                while taken < filled && self.put(group[taken].0, &group[taken].1) {
                    taken += 1;
                }
                self.round(true).await?;
                acknowledged = self.acknowledged(acknowledged);
            }
            outcome.record(start);
            outcome.operations += filled as u64;
        }
    }

    /// How many puts are acknowledged, if more than `before`.
    fn acknowledged(&mut self, before: u64) -> u64 {
        let upto = |done: Done| match done {
            Done::PutsUpto(ticket) => ticket.0 + 1,
            _ => before,
        };
        self.done.drain(..).map(upto).fold(before, u64::max)
    }

    async fn read(&mut self, order: &Order, values: &Values) -> anyhow::Result<Outcome> {
        let Order::Read { keys, absent, in_flight, seconds, seed, puts_per_s } = *order else {
            unreachable!("it was asked for reads");
        };
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut writer = Writer { rng: fastrand::Rng::with_seed(!seed), put: 0, puts_per_s, keys };
        let mut waiting: Vec<(GetTicket, u64, Instant)> = Vec::new();
        let mut outcome = Outcome::new();
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < seconds || !waiting.is_empty() {
            let over = begin.elapsed().as_secs_f64() >= seconds;
            // Where all is in memory a round takes many, as the server's does.
            let most = if in_flight == 1 { GROUP } else { in_flight };
            let room = if over { 0 } else { most };
            let before = outcome.operations;
            for _ in 0..room {
                if waiting.len() >= in_flight {
                    break;
                }
                let index = rng.u64(..keys);
                let bytes = if absent { absent_key(index) } else { key(index) };
                let start = Instant::now();
                match self.store.get_now(&store_key(&bytes), 1) {
                    Get::Hit(record) => check(absent, index, Some(record.value), values)?,
                    Get::Absent => check(absent, index, None, values)?,
                    Get::Miss(ticket) => {
                        waiting.push((ticket, index, start));
                        continue;
                    }
                    Get::Busy { .. } => bail!("{} reads are too many", waiting.len()),
                }
                outcome.record(start);
                outcome.operations += 1;
            }
            writer.write(self, begin, values);
            self.round(outcome.operations == before && puts_per_s == 0).await?;
            for done in self.done.drain(..) {
                let Done::Get(ticket, found) = done else { continue };
                let at = waiting.iter().position(|it| it.0 == ticket).context("its own ticket")?;
                let (_, index, start) = waiting.swap_remove(at);
                let found = found?;
                check(absent, index, found.record().map(|record| record.value), values)?;
                outcome.record(start);
                outcome.operations += 1;
            }
        }
        Ok(outcome)
    }

    async fn scan(&mut self, keys: u64) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::new();
        let mut next = Some(ScanPlace { token: Token(0), after_key: Box::default() });
        while let Some(from) = next.take() {
            let start = Instant::now();
            let page = self.store.scan_now(ScanRequest {
                namespace: NamespaceId::DEFAULT,
                from,
                to: Token(u64::MAX),
                records_max: 10_000,
                bytes_max: 1 << 20,
                now_ms: 1,
            })?;
            while next.is_none() {
                self.round(true).await?;
                let mut ended = None;
                for done in self.done.drain(..) {
                    if let Done::Scan(ticket, result) = done
                        && ticket == page
                    {
                        ended = Some(result?);
                    }
                }
                let Some(page) = ended else { continue };
                outcome.operations += page.rows.iter().count() as u64;
                outcome.record(start);
                if page.next.is_none() {
                    ensure!(outcome.operations == keys, "{} of {keys}", outcome.operations);
                    return Ok(outcome);
                }
                next = page.next;
            }
        }
        unreachable!("a scan ends with its last page");
    }

    async fn rest(&mut self) -> anyhow::Result<()> {
        with_ring(&self.ring, self.store.flush()).await??;
        // What is due is looked for once a second.
        const QUIET_S: f64 = 1.5;
        let state = |core: &Self| {
            let stats = core.store.stats();
            (stats.compaction_bytes, stats.compactions, stats.tables)
        };
        let (mut before, mut since) = (state(self), Instant::now());
        let is_busy = |core: &Self| core.store.stats().compactions_running > 0;
        while since.elapsed().as_secs_f64() < QUIET_S || is_busy(self) {
            self.round(true).await?;
            let now = state(self);
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    async fn close(self) -> anyhow::Result<()> {
        Ok(with_ring(&self.ring, self.store.close()).await??)
    }
}

/// Puts random keys as they become due; how they end is not waited for.
struct Writer {
    rng: fastrand::Rng,
    put: u64,
    puts_per_s: u64,
    keys: u64,
}

impl Writer {
    fn write(&mut self, core: &mut Core, begin: Instant, values: &Values) {
        let due = (begin.elapsed().as_secs_f64() * self.puts_per_s as f64) as u64;
        let mut value = Vec::new();
        while self.put < due {
            let index = self.rng.u64(..self.keys);
            values.write(index, self.put, &mut value);
            if !core.put(index, &value) {
                return;
            }
            self.put += 1;
        }
    }
}

fn check(absent: bool, index: u64, value: Option<&[u8]>, values: &Values) -> anyhow::Result<()> {
    let fits = value.map_or(absent, |value| !absent && values.fits(index, value));
    ensure!(fits, "key {index} is not what was put");
    Ok(())
}

fn store_key(bytes: &Key) -> StoreKey<'_> {
    StoreKey { token: Token::of(bytes, 1), namespace: NamespaceId::DEFAULT, bytes }
}
