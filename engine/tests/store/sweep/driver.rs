//! Does the operations of a workload, as a client and an operator would, whatever the disk does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{SimDisk, SimEnv};
use engine::store::{FlushError, OpenErrorKind, StoreConfig};
use futures_lite::future::or;
use schemas::ids::Hlc;

use super::workload::Op;
use crate::harness::{Client, Ledger, Write, simulate};

/// Virtual microseconds within which a disk that works has a put acknowledged, a memtable flushed.
const SOON_US: u64 = 20_000;

/// Virtual microseconds after which a store has tried again whatever it tries again.
const HEALED_US: u64 = 20_000_000;

/// How a life of a store ended.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Life {
    /// As it was to.
    Over,
    /// It did not open because the disk refused something.
    NotOpened,
    /// It failed, and said why.
    Failed(String),
}

/// What a run met.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Met {
    /// Starts that were refused.
    pub(super) not_opened: u32,
    /// Why stores failed.
    pub(super) failed: Vec<String>,
}

/// Runs workloads on a disk, in lives of a process.
pub(super) struct Driver {
    disk: SimDisk,
    config: StoreConfig,
    ledger: Rc<RefCell<Ledger>>,
    seed: u64,
    /// The disk may fail: refusals and errors are answers.
    trouble: bool,
    /// The faults go on until they are cleared.
    sticky: bool,
    pub(super) met: Met,
    /// Operations begun, of those of the run; the look back after trouble is one more.
    pub(super) begun: Rc<Cell<usize>>,
    /// Called when a process has come to its end before its time.
    at_failure: Option<Box<dyn Fn()>>,
}

/// What an operation came to where the store did not fail.
type Step = Result<(), Failed>;

/// The store has failed, and said why.
struct Failed(String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Driver {
    /// A driver of a store on `disk` that notes in `ledger`. One seed, one run.
    pub(super) fn new(
        disk: &SimDisk,
        config: StoreConfig,
        ledger: &Rc<RefCell<Ledger>>,
        seed: u64,
    ) -> Self {
        let (disk, ledger) = (disk.clone(), Rc::clone(ledger));
        let (trouble, sticky) = (false, false);
        let (met, begun, at_failure) = (Met::default(), Rc::default(), None);
        Self { disk, config, ledger, seed, trouble, sticky, met, begun, at_failure }
    }

    /// The disk has faults, which are cleared by and by if they are `sticky`. `look` is called when
    /// one has ended a process.
    pub(super) fn with_faults(mut self, sticky: bool, look: impl Fn() + 'static) -> Self {
        (self.trouble, self.sticky) = (true, sticky);
        self.at_failure = Some(Box::new(look));
        self
    }

    /// Does `ops`, each once, and has everything acknowledged that was taken. After trouble the
    /// store has to be as good as new.
    pub(super) fn run(&mut self, ops: &[Op]) -> Result<(), String> {
        let mut left = ops;
        self.begun.set(0);
        for life in 0.. {
            if life > ops.len() + 4 {
                return Err("it fails again and again".to_owned());
            }
            let seed = self.seed + life as u64;
            let (sim, env) = simulate(seed, &self.disk, &self.ledger.borrow());
            let ended = sim.block_on(self.live(&env, &mut left));
            drop((env, sim));
            self.disk.end_process(seed);
            let ended = ended?;
            let is_over = ended == Life::Over;
            match ended {
                Life::Over if left.is_empty() => return Ok(()),
                Life::Over => left = &left[1..],
                Life::NotOpened => self.met.not_opened += 1,
                Life::Failed(why) => self.met.failed.push(why),
            }
            if !is_over {
                if !self.trouble {
                    return Err(format!("{:?}, and the disk works", self.met));
                }
                if let Some(look) = &self.at_failure {
                    look();
                }
                if self.sticky {
                    self.disk.clear_faults();
                }
            }
        }
        Ok(())
    }

    /// One process, up to the operation that ends it, which is then the first of `left`.
    async fn live(&self, env: &SimEnv, left: &mut &[Op]) -> Result<Life, String> {
        let opened = Client::open(env, self.config.clone(), &self.ledger).await;
        let mut client = match opened {
            Ok((client, _)) => client,
            Err(error) if error.kind() == OpenErrorKind::Io => return Ok(Life::NotOpened),
            Err(error) => return Err(error.to_string()),
        };
        match self.check_recovered(&mut client).await {
            Ok(checked) => checked?,
            Err(Failed(why)) => return Ok(Life::Failed(why)),
        }
        while let Some((&op, rest)) = left.split_first() {
            self.begun.set(self.begun.get() + 1);
            if let Err(Failed(why)) = self.step(&mut client, op).await {
                *left = rest;
                return Ok(Life::Failed(why));
            }
            match op {
                Op::Close => {
                    let closed = client.store.close().await;
                    return Ok(closed.map_or_else(|why| Life::Failed(why.reason), |()| Life::Over));
                }
                Op::Kill => return Ok(Life::Over),
                _ => *left = rest,
            }
        }
        match self.finish(&mut client).await {
            Ok(checked) => checked.map(|()| Life::Over),
            Err(Failed(why)) => Ok(Life::Failed(why)),
        }
    }

    /// What was acknowledged is there, whatever it takes to read it. The outer error: the store
    /// has failed.
    async fn check_recovered(&self, client: &mut Client) -> Result<Result<(), String>, Failed> {
        for _ in 0..3 {
            let now_ms = client.env.wall_ms();
            if let Some(shown) = client.shown(now_ms).await {
                return Ok(client.check_shown(&shown, now_ms).map(|_| ()));
            }
            client.poll()?;
            if self.sticky {
                self.disk.clear_faults();
            }
        }
        Ok(Err("it cannot be read".to_owned()))
    }

    async fn step(&self, client: &mut Client, op: Op) -> Step {
        let (key, index) = (op.key(), client.taken());
        match op {
            Op::PutNew | Op::PutOver => self.write(client, Write::put(key, index, 300)).await?,
            Op::PutOther => self.write(client, Write::put(key, index, 40)).await?,
            Op::PutLarge => self.write(client, Write::put(key, index, 5000)).await?,
            Op::PutExpiring => {
                let expires_at_ms = client.env.wall_ms() + 3;
                self.write(client, Write { expires_at_ms, ..Write::put(key, index, 200) }).await?;
            }
            Op::Delete => self.write(client, Write::delete(key, index)).await?,
            Op::Burst => self.burst(client).await?,
            Op::Flush => self.flush(client, SOON_US).await.map(|_| ())?,
            Op::Compact => self.compact(client).await?,
            Op::Scan => self.scan(client).await?,
            Op::Kill | Op::Close => return Ok(()),
        }
        if self.trouble {
            client.check_read(key).await;
        }
        Ok(())
    }

    async fn write(&self, client: &mut Client, write: Write) -> Step {
        for _ in 0..3 {
            if client.write(write.clone()).is_ok() {
                return Ok(client.round().await?);
            }
            let stats = client.store.stats();
            let is_busy = stats.puts_busy + stats.puts_busy_log > 0;
            assert!(self.trouble || is_busy, "refused for nothing");
            client.env.sleep_us(SOON_US / 4).await;
            client.round().await?;
        }
        Ok(())
    }

    async fn burst(&self, client: &mut Client) -> Step {
        for key in [1, 2, 4, 7, 1] {
            let index = client.taken();
            // More than fits one batch; those that find no room are refused.
            let _refused = client.write(Write::put(key, index, 2500));
            if key == 4 {
                client.store.tick();
            }
        }
        Ok(client.round().await?)
    }

    /// Whether all is in tables.
    async fn flush(&self, client: &mut Client, within_us: u64) -> Result<bool, Failed> {
        let give_up_us = client.env.monotonic_us() + within_us;
        while client.env.monotonic_us() < give_up_us {
            let env = client.env.clone();
            let timeout = async {
                env.sleep_us(if self.trouble { 8000 } else { within_us }).await;
                Err(FlushError::GaveUp { failures: 0 })
            };
            match or(client.store.flush(), timeout).await {
                Ok(()) => return Ok(true),
                Err(FlushError::Failed(why)) => return Err(why.into()),
                Err(FlushError::GaveUp { .. }) => client.env.sleep_us(20_000).await,
            }
        }
        assert!(self.trouble, "a flush has no end");
        Ok(false)
    }

    async fn compact(&self, client: &mut Client) -> Step {
        client.store.set_purge_horizon(Hlc(client.taken() as u64 + 1));
        self.flush(client, SOON_US).await?;
        // In the rounds between two of them nothing runs.
        let mut quiet = 0;
        for _ in 0..100 {
            client.env.sleep_us(300).await;
            client.round().await?;
            quiet = if client.store.stats().compactions_running > 0 { 0 } else { quiet + 1 };
            if quiet > 4 {
                break;
            }
        }
        Ok(())
    }

    async fn scan(&self, client: &mut Client) -> Step {
        if self.settle(client, SOON_US).await? {
            let read = client.check_scan(3, 4000).await;
            assert!(read || self.trouble, "the disk works");
        }
        Ok(())
    }

    /// Whether all that was taken is acknowledged.
    async fn settle(&self, client: &mut Client, within_us: u64) -> Result<bool, Failed> {
        let give_up_us = client.env.monotonic_us() + within_us;
        while client.ledger.borrow().acknowledged < client.taken() {
            if client.env.monotonic_us() > give_up_us {
                return Ok(false);
            }
            client.round().await?;
        }
        Ok(true)
    }

    /// All that was taken is acknowledged; after trouble the store is as good as new. The outer
    /// error: it has failed.
    async fn finish(&self, client: &mut Client) -> Result<Result<(), String>, Failed> {
        if self.trouble {
            self.begun.set(self.begun.get() + 1);
            self.disk.clear_faults();
        }
        if !self.settle(client, HEALED_US).await? {
            return Ok(Err("what was taken is not acknowledged".to_owned()));
        }
        if !self.trouble {
            return Ok(Ok(()));
        }
        let taken = client.taken();
        for round in 0.. {
            if client.write(Write::put(0, taken, 10)).is_ok() {
                break;
            }
            if round > 100 {
                return Ok(Err("the disk works, and puts are refused".to_owned()));
            }
            client.env.sleep_us(HEALED_US / 100).await;
            client.round().await?;
        }
        let stats = client.store.stats();
        let is_behind = stats.flush_errors + stats.manifest_errors + stats.compaction_errors > 0;
        let is_well = self.settle(client, HEALED_US).await?
            && (!is_behind || self.flush(client, HEALED_US).await?);
        if !is_well {
            return Ok(Err("the disk works, and the store does not".to_owned()));
        }
        let now_ms = client.env.wall_ms();
        let Some(shown) = client.shown(now_ms).await else {
            return Ok(Err("the disk works, and the store cannot read".to_owned()));
        };
        Ok(client.check_shown(&shown, now_ms).and_then(|kept| match kept == taken + 1 {
            true => Ok(()),
            false => Err(format!("{kept} of {} writes are there", taken + 1)),
        }))
    }
}
