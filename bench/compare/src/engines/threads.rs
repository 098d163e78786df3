//! [`Threaded`]: an engine whose calls block, run by as many threads as there are reads in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::runner::{GROUP, Order, Outcome, Runner};
use crate::data::{Key, Shuffled, Values, absent_key, key};

/// Key and value.
pub(crate) type Pair = (Key, Vec<u8>);

/// An engine whose calls block.
pub(crate) trait Blocking: Sync {
    /// Writes all pairs; when it returns they are acknowledged.
    fn put(&self, pairs: &[Pair]) -> anyhow::Result<()>;
    /// Calls `check` with the value of `key`, if it has one; whether it has.
    fn get(&self, key: &Key, check: &mut dyn FnMut(&[u8])) -> anyhow::Result<bool>;
    /// Reads all records in order; how many.
    fn scan(&self) -> anyhow::Result<u64>;
    /// As [`Runner::rest`].
    fn rest(&self) -> anyhow::Result<()>;
    /// As [`Runner::close`].
    fn close(self) -> anyhow::Result<()>;
}

/// Gives orders to a blocking engine.
pub(crate) struct Threaded<B>(B);

impl<B: Blocking + 'static> Threaded<B> {
    pub(crate) fn boxed(engine: B) -> Box<dyn Runner> {
        Box::new(Self(engine))
    }
}

impl<B: Blocking> Runner for Threaded<B> {
    fn order(&mut self, order: &Order, values: &Values) -> anyhow::Result<Outcome> {
        match *order {
            Order::Put { keys, shuffled: true, life, seed } => {
                put(&self.0, Shuffled::new(keys, seed), life, values)
            }
            Order::Put { keys, shuffled: false, life, .. } => put(&self.0, 0..keys, life, values),
            Order::Read { .. } => read_in_threads(&self.0, order, values),
            Order::Scan { keys } => {
                let mut outcome = Outcome::new();
                let start = Instant::now();
                outcome.operations = self.0.scan()?;
                outcome.record(start);
                ensure!(outcome.operations == keys, "{} of {keys} records", outcome.operations);
                Ok(outcome)
            }
        }
    }

    fn rest(&mut self) -> anyhow::Result<()> {
        self.0.rest()
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        self.0.close()
    }
}

fn put(
    engine: &impl Blocking,
    mut indices: impl Iterator<Item = u64>,
    life: u64,
    values: &Values,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::new();
    let mut pairs: Vec<Pair> = vec![([0; 16], Vec::with_capacity(values.bytes())); GROUP];
    loop {
        let mut filled = 0;
        for (index, pair) in indices.by_ref().take(GROUP).zip(&mut pairs) {
            pair.0 = key(index);
            values.write(index, life, &mut pair.1);
            filled += 1;
        }
        if filled == 0 {
            return Ok(outcome);
        }
        let start = Instant::now();
        engine.put(&pairs[..filled])?;
        outcome.record(start);
        outcome.operations += filled as u64;
    }
}

fn read_in_threads(
    engine: &impl Blocking,
    order: &Order,
    values: &Values,
) -> anyhow::Result<Outcome> {
    let Order::Read { keys, absent, in_flight, seconds, seed, puts_per_s } = *order else {
        unreachable!("it was asked for reads");
    };
    let over = AtomicBool::new(false);
    let (over, length) = (&over, Duration::from_secs_f64(seconds));
    thread::scope(|scope| {
        let reader = |nth: u64| {
            let mut rng = fastrand::Rng::with_seed(seed + nth);
            move || {
                let mut outcome = Outcome::new();
                while !over.load(Ordering::Relaxed) {
                    read(engine, rng.u64(..keys), absent, values, &mut outcome)?;
                }
                anyhow::Ok(outcome)
            }
        };
        let readers: Vec<_> = (0..in_flight as u64).map(|nth| scope.spawn(reader(nth))).collect();
        let writer = (puts_per_s > 0).then(|| {
            scope.spawn(move || write_at_a_rate(engine, keys, puts_per_s, seed, values, over))
        });
        thread::sleep(length);
        over.store(true, Ordering::Relaxed);
        let mut all = Outcome::new();
        for reader in readers {
            all.add(&reader.join().ok().context("a reader panicked")??);
        }
        if let Some(writer) = writer {
            writer.join().ok().context("the writer panicked")??;
        }
        Ok(all)
    })
}

fn read(
    engine: &impl Blocking,
    index: u64,
    absent: bool,
    values: &Values,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let key = if absent { absent_key(index) } else { key(index) };
    let mut fits = true;
    let start = Instant::now();
    let found = engine.get(&key, &mut |value| fits = values.fits(index, value))?;
    outcome.record(start);
    outcome.operations += 1;
    ensure!(fits && found != absent, "key {index} is not what was put");
    Ok(())
}

/// Groups of puts of random keys, each when it is due.
fn write_at_a_rate(
    engine: &impl Blocking,
    keys: u64,
    puts_per_s: u64,
    seed: u64,
    values: &Values,
    over: &AtomicBool,
) -> anyhow::Result<()> {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let (start, mut put) = (Instant::now(), 0u64);
    let mut pair = ([0; 16], Vec::new());
    while !over.load(Ordering::Relaxed) {
        let index = rng.u64(..keys);
        pair.0 = key(index);
        values.write(index, put, &mut pair.1);
        engine.put(std::slice::from_ref(&pair))?;
        put += 1;
        let due = Duration::from_secs_f64(put as f64 / puts_per_s as f64);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok(())
}
