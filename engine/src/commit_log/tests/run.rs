//! A log while nothing goes wrong.

use super::rig::*;
use crate::env::sim::Crash;

fn on_a_new_log<F: Future<Output = ()>>(config: LogConfig, test: impl FnOnce(Rig) -> F) -> SimDisk {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let shadow = Rc::new(RefCell::new(Shadow::default()));
        let rig = Rig::open(&env, config, &shadow).await;
        test(rig).await;
    });
    disk
}

fn segments(disk: &SimDisk) -> usize {
    disk.paths().iter().filter(|path| path.ends_with(".log")).count()
}

#[test]
fn what_is_appended_while_a_write_is_in_flight_is_one_batch() {
    on_a_new_log(config(Durability::Sync), |mut rig| async move {
        rig.append().await.unwrap();
        rig.log.commit();
        let sequences: Vec<Sequence> = {
            for _ in 0..20 {
                let small = |out: &mut [u8]| out.fill(1);
                rig.log.append(8, small).unwrap();
                rig.log.commit();
                rig.shadow.borrow_mut().appended.push((Sequence(2), vec![1; 8]));
            }
            rig.shadow.borrow().appended.iter().map(|entry| entry.0).collect()
        };
        assert_eq!(sequences[0], Sequence(1));
        rig.until_durable(Sequence(1)).await;
        assert_eq!(rig.log.durable(), Sequence(1));
        rig.until_durable(Sequence(2)).await;
        assert_eq!((rig.log.durable(), rig.log.stats().batches), (Sequence(2), 2));
    });
}

#[test]
fn cut_ends_a_batch() {
    on_a_new_log(config(Durability::Sync), |mut rig| async move {
        assert_eq!(rig.log.cut(), Sequence(0));
        let fill = |out: &mut [u8]| out.fill(1);
        assert_eq!(rig.log.append(8, fill), Ok(Sequence(1)));
        assert_eq!(rig.log.append(8, fill), Ok(Sequence(1)));
        assert_eq!(rig.log.cut(), Sequence(1));
        assert_eq!(rig.log.cut(), Sequence(1));
        assert_eq!(rig.log.append(8, fill), Ok(Sequence(2)));
        assert_eq!(rig.log.cut(), Sequence(2));
    });
}

#[test]
fn appends_past_what_may_wait_are_busy_and_too_large_ones_refused() {
    on_a_new_log(config(Durability::Sync), |mut rig| async move {
        let max = (8 << 10) - 52;
        let fill = |out: &mut [u8]| out.fill(1);
        let refused = AppendError::TooLarge { got: max + 1, max };
        assert_eq!(rig.log.append(max + 1, fill), Err(refused));
        for sequence in 1..=3 {
            assert_eq!(rig.log.append(max, fill), Ok(Sequence(sequence)));
        }
        assert_eq!(rig.log.append(max, fill), Err(AppendError::Busy));
        let (appended, bytes) = (Sequence(1), vec![1; max]);
        rig.shadow.borrow_mut().appended.push((appended, bytes));
        rig.until_durable(Sequence(1)).await;
        assert_eq!(rig.log.append(max, fill), Ok(Sequence(4)));
    });
}

#[test]
fn flushed_segments_are_recycled_and_the_log_stays_small() {
    let disk = on_a_new_log(config(Durability::Sync), |mut rig| async move {
        let disk = rig.env.disk().clone();
        for _ in 0..300 {
            rig.append().await.unwrap();
            rig.step().await.unwrap();
            rig.flush();
            assert!(segments(&disk) <= 4, "{:?}", disk.paths());
        }
        assert!(rig.log.stats().bytes > 20 * SEGMENT_BYTES);
        assert!(rig.log.kept_bytes() <= 2 * SEGMENT_BYTES);
        rig.settle().await.unwrap();
    });
    assert!(segments(&disk) <= 3);
}

#[test]
fn batches_of_a_recycled_segment_are_not_replayed() {
    let config = config(Durability::Sync);
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    let (sim, disk) = (Sim::new(2), SimDisk::new(2));
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut rig = Rig::open(&env, config.clone(), &shadow).await;
        while rig.log.stats().bytes < 4 * SEGMENT_BYTES {
            rig.append().await.unwrap();
            rig.step().await.unwrap();
        }
        rig.flush();
        rig.log.commit();
        env.sleep_us(100_000).await;
        rig.append().await.unwrap();
        rig.settle().await.unwrap();
    });
    for path in disk.paths() {
        let is_zero = disk.bytes(&path).unwrap().iter().all(|&byte| byte == 0);
        assert!(!is_zero, "the spare one is full of old batches");
    }
    assert!(go_on(&disk.crash(Crash::LoseAll, 0), &config, 3, 3, &shadow));
}

#[test]
fn an_idle_log_is_sealed_once_and_then_silent() {
    on_a_new_log(config(Durability::Sync), |mut rig| async move {
        rig.append().await.unwrap();
        while rig.log.stats().batches < 2 {
            rig.step().await.unwrap();
        }
        let (ios, batches) = (rig.env.disk().ios(), rig.log.stats().batches);
        let since = rig.env.monotonic_us();
        assert!(since > 1_000_000, "not before a second has passed");
        rig.env.sleep_us(60_000_000).await;
        rig.log.commit();
        rig.env.sleep_us(60_000_000).await;
        assert_eq!((rig.env.disk().ios(), rig.log.stats().batches), (ios, batches));
    });
}

#[test]
fn a_new_log_writes_nothing_until_it_is_used() {
    on_a_new_log(config(Durability::Sync), |mut rig| async move {
        let ios = rig.env.disk().ios();
        rig.log.commit();
        rig.env.sleep_us(10_000_000).await;
        rig.log.commit();
        assert_eq!(rig.env.disk().ios(), ios);
        assert!(rig.log.is_settled() && !rig.log.has_work());
        rig.settle().await.unwrap();
    });
}

#[test]
fn periodic_appends_are_durable_after_an_interval_even_if_nothing_follows() {
    let interval_us = 10_000;
    on_a_new_log(config(Durability::Periodic { interval_us }), |mut rig| async move {
        for _ in 0..50 {
            rig.env.sleep_us(rig.env.random() % (3 * interval_us)).await;
            rig.append().await.unwrap();
            let (since, sequence) = (rig.env.monotonic_us(), rig.log.cut());
            rig.log.commit();
            rig.until_durable(sequence).await;
            let took = rig.env.monotonic_us() - since;
            assert!(took < interval_us + 2000, "durable after {took} us");
        }
    });
}

#[test]
fn periodic_writes_are_synced_no_more_than_asked_for() {
    let interval_us = 100_000;
    let config =
        LogConfig { segment_bytes: 1 << 20, ..config(Durability::Periodic { interval_us }) };
    on_a_new_log(config, |mut rig| async move {
        let (before, since) = (rig.env.disk().syncs(), rig.env.monotonic_us());
        for _ in 0..200 {
            let fill = |out: &mut [u8]| out.fill(1);
            rig.log.append(8, fill).unwrap();
            rig.log.commit();
            rig.env.sleep_us(1000).await;
            rig.take_done().unwrap();
        }
        let intervals = (rig.env.monotonic_us() - since) / interval_us;
        let syncs = rig.env.disk().syncs() - before;
        // One more for the first batch of the segment, and two for making the next.
        assert!(syncs <= intervals + 3, "{syncs} syncs in {intervals} intervals");
    });
}

#[test]
fn a_segment_begins_with_a_durable_batch_whatever_the_durability() {
    on_a_new_log(config(Durability::None), |mut rig| async move {
        let per_segment = SEGMENT_BYTES / 4096;
        for sequence in 1..=3 * per_segment {
            rig.append_small().await;
            assert_eq!(rig.log.cut(), Sequence(sequence));
            while rig.log.stats().batches < sequence {
                rig.step().await.unwrap();
            }
            let begins = sequence - (sequence - 1) % per_segment;
            assert_eq!(rig.log.durable(), Sequence(begins));
        }
    });
}

#[test]
fn a_start_goes_on_where_the_last_one_ended() {
    for durability in [Durability::Sync, Durability::None] {
        let config = config(durability);
        let shadow = Rc::new(RefCell::new(Shadow::default()));
        let disk = SimDisk::new(3);
        for life in 0..6 {
            assert!(go_on(&disk, &config, life, 10, &shadow));
            let shadow = shadow.borrow();
            assert_eq!(shadow.acknowledged, shadow.appended.len());
        }
        assert!(segments(&disk) <= 10);
    }
}

/// Segments of another size, from before a change of configuration, are read and not recycled.
#[test]
fn the_size_of_segments_may_change() {
    let small = config(Durability::Sync);
    let large = LogConfig { segment_bytes: 2 * SEGMENT_BYTES, ..small.clone() };
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    let disk = SimDisk::new(4);
    for life in 0..6 {
        let config = if life % 2 == 0 { &small } else { &large };
        assert!(go_on(&disk, config, life, 20, &shadow));
    }
}
