//! kvsim: a cluster of kvcore's state machines, simulated.
use std::time::{Duration, Instant};
use tests::sim;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let (first, count, seconds) = (args[0], args[1], args[2]);
    let start = Instant::now();
    let mut simulated = Duration::ZERO;
    let mut ops = 0;
    let mut msgs = 0;
    for seed in first..first + count {
        let options = sim::Options::draw(seed, 5, Duration::from_secs(seconds));
        let faults = sim::faults(&options);
        let outcome = sim::run(&options, faults);
        simulated += outcome.simulated;
        ops += outcome.history.len();
        msgs += outcome.messages;
        for it in &outcome.findings.violations {
            println!("seed {seed} {it:?}");
        }
        if count == 1 {
            println!(
                "{:?}",
                outcome.findings.anomalies.iter().map(|(a, b)| (a, b.count)).collect::<Vec<_>>()
            );
        }
        if !outcome.failures.is_empty() || count == 1 {
            println!(
                "seed {seed}: {} ops {:016x} {} failures: {:?}",
                outcome.history.len(),
                outcome.trace_hash,
                outcome.failures.len(),
                outcome.failures.first()
            );
        }
    }
    println!("{simulated:?} simulated in {:?}, {ops} ops {msgs} messages", start.elapsed());
}
