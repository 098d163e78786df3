//! A log driven as a core drives it, beside a model of what it must still know.

pub(super) use std::cell::RefCell;
pub(super) use std::rc::Rc;

pub(super) use crate::commit_log::{
    AppendError, CommitLog, Durability, LogConfig, LogError, LogFailure, LogId, ReplayReport,
    Sequence,
};
pub(super) use crate::env::Env;
pub(super) use crate::env::sim::{Sim, SimDisk, SimEnv};

use schemas::ids::ShardId;

pub(super) type Log = CommitLog<SimEnv>;
pub(super) type Entry = (Sequence, Vec<u8>);

/// The log, unless a test says otherwise.
pub(super) fn log_id() -> LogId {
    LogId::new(1, ShardId(2))
}

pub(super) const SEGMENT_BYTES: u64 = 32 << 10;

pub(super) fn config(durability: Durability) -> LogConfig {
    LogConfig {
        durability,
        segment_bytes: SEGMENT_BYTES,
        batch_bytes_max: 8 << 10,
        batches_max: 3,
        spare_segments: 1,
        repair: false,
    }
}

/// Entry number `index`: its own bytes, and of any length up to half a batch.
pub(super) fn entry(index: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(index);
    let len = if rng.u8(..4) == 0 { rng.usize(..4000) } else { rng.usize(..100) };
    let mut bytes = index.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|_| rng.u8(..)));
    bytes
}

/// What a log was given and told, from the outside.
#[derive(Clone, Default)]
pub(super) struct Shadow {
    pub(super) appended: Vec<Entry>,
    /// How many of them, from the first, must be there after any crash.
    pub(super) acknowledged: usize,
    pub(super) flushed: Sequence,
    /// Entries there ever were: the number of the next.
    pub(super) entries_made: u64,
}

impl Shadow {
    /// Entries that a replay may give, and how many of them it must.
    pub(super) fn expected(&self) -> (Vec<Entry>, usize) {
        let is_kept = |entry: &&Entry| entry.0 > self.flushed;
        let must = self.appended[..self.acknowledged].iter().filter(is_kept).count();
        (self.appended.iter().filter(is_kept).cloned().collect(), must)
    }
}

/// A log with its shadow.
pub(super) struct Rig {
    pub(super) env: SimEnv,
    pub(super) log: Log,
    pub(super) shadow: Rc<RefCell<Shadow>>,
    durability: Durability,
}

pub(super) async fn open(
    env: &SimEnv,
    config: LogConfig,
    flushed: Sequence,
) -> Result<(Log, ReplayReport, Vec<Entry>), LogError> {
    open_as(env, log_id(), config, flushed).await
}

pub(super) async fn open_as(
    env: &SimEnv,
    id: LogId,
    config: LogConfig,
    flushed: Sequence,
) -> Result<(Log, ReplayReport, Vec<Entry>), LogError> {
    let mut replayed = Vec::new();
    let apply = |sequence, bytes: &[u8]| replayed.push((sequence, bytes.to_vec()));
    let (log, report) = CommitLog::open(env.clone(), "", id, config, flushed, apply).await?;
    Ok((log, report, replayed))
}

impl Rig {
    /// Opens the log, checks what it replays against `shadow`, and goes on from there.
    pub(super) async fn open(
        env: &SimEnv,
        config: LogConfig,
        shadow: &Rc<RefCell<Shadow>>,
    ) -> Self {
        let (expected, must) = shadow.borrow().expected();
        let (flushed, durability) = (shadow.borrow().flushed, config.durability);
        let (log, _, replayed) = open(env, config, flushed).await.unwrap();
        let sequences =
            |entries: &[Entry]| entries.iter().map(|entry| entry.0.0).collect::<Vec<_>>();
        let is_prefix = expected.starts_with(&replayed);
        assert!(is_prefix, "{:?} of {:?}", sequences(&replayed), sequences(&expected));
        assert!(replayed.len() >= must, "{} replayed, {must} acknowledged", replayed.len());
        let mut known = shadow.borrow_mut();
        known.acknowledged = replayed.len();
        known.appended = replayed;
        drop(known);
        Self { env: env.clone(), log, shadow: shadow.clone(), durability }
    }

    /// Goes on with a log that was opened, and minds only what is appended from now on.
    pub(super) fn around(env: &SimEnv, log: Log, durability: Durability) -> Self {
        Self { env: env.clone(), log, shadow: Rc::default(), durability }
    }

    /// Appends the next entry, driving the log while it is busy.
    pub(super) async fn append(&mut self) -> Result<(), LogFailure> {
        let index = self.shadow.borrow().entries_made;
        let bytes = entry(index);
        let sequence = loop {
            match self.log.append(bytes.len(), |out| out.copy_from_slice(&bytes)) {
                Ok(sequence) => break sequence,
                Err(AppendError::Busy) => self.step().await?,
                Err(error) => panic!("{error}"),
            }
        };
        self.note_appended(sequence, bytes);
        Ok(())
    }

    /// Appends an entry that nobody minds, driving the log while it is busy.
    pub(super) async fn append_small(&mut self) {
        while let Err(error) = self.log.append(8, |out| out.fill(1)) {
            assert_eq!(error, AppendError::Busy);
            self.step().await.unwrap();
        }
    }

    pub(super) fn note_appended(&self, sequence: Sequence, bytes: Vec<u8>) {
        let mut shadow = self.shadow.borrow_mut();
        shadow.entries_made += 1;
        shadow.appended.push((sequence, bytes));
    }

    /// One turn of a core's loop.
    pub(super) async fn step(&mut self) -> Result<(), LogFailure> {
        self.log.commit();
        self.env.parked().await;
        self.take_done()
    }

    /// Drives the log until batch `sequence` is durable.
    pub(super) async fn until_durable(&mut self, sequence: Sequence) {
        loop {
            self.log.commit();
            if self.log.durable() >= sequence {
                return;
            }
            self.env.parked().await;
            self.take_done().unwrap();
        }
    }

    pub(super) fn take_done(&mut self) -> Result<(), LogFailure> {
        let mut done = Vec::new();
        self.env.poll(&mut done);
        for done in done {
            assert!(self.log.owns(done.ticket));
            let shadow = &mut *self.shadow.borrow_mut();
            if let Some(batch) = self.log.complete(done)? {
                let range = shadow.acknowledged..shadow.acknowledged + batch.len();
                let expected = &shadow.appended[range];
                let entries = batch.entries().map(|bytes| (batch.sequence(), bytes.to_vec()));
                assert!(entries.eq(expected.iter().cloned()), "what was appended, in order");
            }
        }
        self.note_durable();
        Ok(())
    }

    pub(super) fn note_durable(&mut self) {
        let shadow = &mut *self.shadow.borrow_mut();
        let durable = self.log.durable();
        let is_durable = |entry: &&Entry| entry.0 <= durable;
        shadow.acknowledged = shadow.appended.iter().take_while(is_durable).count();
    }

    /// Drives the log until all is durable and sealed.
    pub(super) async fn settle(&mut self) -> Result<(), LogFailure> {
        self.log.seal();
        self.log.commit();
        while !self.log.is_settled() {
            self.step().await?;
        }
        self.note_durable();
        Ok(())
    }

    /// What was acknowledged counts as flushed from now on: all that was appended, where appends
    /// need not be durable for that.
    pub(super) fn flush(&mut self) {
        let mut shadow = self.shadow.borrow_mut();
        if self.durability != Durability::Sync {
            shadow.flushed = self.log.cut();
        } else if shadow.acknowledged > 0 {
            shadow.flushed = shadow.appended[shadow.acknowledged - 1].0;
        }
        self.log.release(shadow.flushed);
    }
}

/// Appends `count` entries, a few in a batch, and flushes now and then.
pub(super) async fn work(rig: &mut Rig, count: usize) -> Result<(), LogFailure> {
    for _ in 0..count {
        rig.append().await?;
        if rig.env.random().is_multiple_of(2) {
            rig.step().await?;
        }
        if rig.env.random().is_multiple_of(8) {
            rig.log.commit();
            rig.env.sleep_us(rig.env.random() % 1000).await;
            rig.take_done()?;
            rig.log.commit();
        }
        if rig.env.random().is_multiple_of(20) {
            rig.flush();
        }
    }
    Ok(())
}

/// Runs `work` on `disk` from a new log on; the shadow tells how far it came.
pub(super) fn run(disk: &SimDisk, config: &LogConfig, seed: u64, count: usize) -> Shadow {
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    go_on(disk, config, seed, count, &shadow);
    shadow.borrow().clone()
}

/// Opens the log on `disk`, checks it, and runs `work`; whether the power lasted.
pub(super) fn go_on(
    disk: &SimDisk,
    config: &LogConfig,
    seed: u64,
    count: usize,
    shadow: &Rc<RefCell<Shadow>>,
) -> bool {
    let sim = Sim::new(seed);
    let env = sim.env(disk);
    let lasted = sim.run(async {
        let mut rig = Rig::open(&env, config.clone(), shadow).await;
        work(&mut rig, count).await.unwrap();
        rig.settle().await.unwrap();
    });
    lasted.is_some()
}
