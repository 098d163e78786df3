//! A recorded load: that of a machine on which this repository was built, a second of which is
//! taken for 96, and the machine for a data centre of nine nodes. `recorded.csv` says how it came
//! about.

use crate::curves::{DAY, HOUR, over, policy};
use crate::model::{Offered, Run, Site, honest};

/// Seconds of a day that a recorded second stands for.
const STRETCH: u64 = 96;

/// What was recorded: CPU permille and bytes written in each second.
fn recorded() -> Vec<(u64, u64)> {
    let lines = include_str!("recorded.csv").lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (cpu, written) = line.split_once(',').expect("two columns");
        let number = |text: &str| text.parse().expect("a number");
        (number(cpu), number(written))
    };
    lines.skip(1).map(sample).collect()
}

/// The CPU of the second of the day; data that grows by what was written, a disk a day in all, and
/// by as much each day.
fn offered(samples: &[(u64, u64)]) -> impl Fn(u64) -> Offered {
    let written = samples.iter().scan(0, |sum, &(_, written)| {
        *sum += written;
        Some(*sum)
    });
    let written: Vec<u64> = written.collect();
    let all = *written.last().expect("samples");
    let samples = samples.to_vec();
    move |second| {
        let sample = (second % DAY / STRETCH) as usize;
        let grown = 1_000 * (second / DAY) + 1_000 * written[sample] / all;
        Offered { cpu: 9 * samples[sample].0, disk: 1_500 + grown }
    }
}

/// The load jumps between idle and all there is for most of the day, then stays at the latter.
#[test]
fn a_recorded_load_is_followed() {
    let samples = recorded();
    assert_eq!(samples.len() as u64 * STRETCH, DAY);
    for racks in [1, 3, 4] {
        let mut run = Run::new(policy(|_| {}), Site::new(4, racks, 1));
        for day in 0..3 {
            let offered = offered(&samples);
            run.go(18 * HOUR, &offered, honest);
            let settled = run.second;
            run.go(6 * HOUR, &offered, honest);
            assert_eq!(run.site.nodes(), 15, "9,000 at 600 each");
            assert_eq!(run.changes_since(settled), (0, 0), "what stays is met and left alone");
            assert_eq!(over(&run, settled, 600), 0);
            let (more, fewer) = run.changes_since(day * DAY);
            assert!(more + fewer <= 24, "day {day}: {:?}", run.changes);
        }
        // It takes minutes to see that a jump stays, and minutes until machines are there.
        assert!(over(&run, DAY, 660) < 80, "{}", over(&run, DAY, 660));
    }
}
