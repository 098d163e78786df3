//! What the simulation promises to those who are tested on it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use super::*;
use crate::env::buf::AlignedBuf;
use crate::env::{ALIGN, Class, Done, Env, File, Open};

fn page(byte: u8) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(ALIGN);
    buf.fill(byte);
    buf
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Runs `work` on a new disk and returns the disk; the power may have been cut on the way.
fn after<F: Future<Output = ()>>(
    seed: u64,
    disk: SimDisk,
    work: impl FnOnce(SimEnv) -> F,
) -> SimDisk {
    let sim = Sim::new(seed);
    sim.run(work(sim.env(&disk)));
    disk
}

async fn synced_file(env: &SimEnv, path: &str, byte: u8) -> SimFile {
    let file = env.open(path, Open::Create).await.unwrap();
    file.write_at(0, page(byte)).await.unwrap();
    file.sync().await.unwrap();
    env.sync_dir("").await.unwrap();
    file
}

#[test]
fn one_seed_is_one_run() {
    let run = |seed: u64| {
        let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
        let env = sim.env(&disk);
        let trace = Rc::new(RefCell::new(Vec::new()));
        for task in 0..4u8 {
            let (env_of_task, trace) = (env.clone(), trace.clone());
            env.spawn(Class::Idle, async move {
                let env = env_of_task;
                let file = env.open(&format!("f{task}"), Open::Create).await.unwrap();
                for round in 0..5 {
                    file.write_at(round * ALIGN as u64, page(task)).await.unwrap();
                    env.pause().await;
                    trace.borrow_mut().push((env.monotonic_us(), task, env.random()));
                }
                env.wake();
            });
        }
        sim.block_on(async {
            while trace.borrow().len() < 20 {
                env.parked().await;
            }
        });
        let trace = trace.borrow().clone();
        (trace, disk.crash(Crash::Random, seed).paths())
    };
    let mut different = BTreeSet::new();
    for seed in 0..50 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first, second);
        different.insert(first.0);
    }
    assert_eq!(different.len(), 50, "seeds make a difference");
}

#[test]
fn what_is_synced_survives_every_class() {
    let disk = after(1, SimDisk::new(1), |env| async move {
        synced_file(&env, "a", 1).await;
    });
    for class in Crash::ALL {
        for seed in 0..20 {
            assert_eq!(disk.crash(class, seed).bytes("a").unwrap(), [1; ALIGN]);
        }
    }
}

#[test]
fn what_is_not_synced_is_kept_lost_or_torn_by_sectors() {
    let disk = after(2, SimDisk::new(2), |env| async move {
        let file = synced_file(&env, "a", 1).await;
        file.write_at(0, page(2)).await.unwrap();
        file.write_at(ALIGN as u64, page(3)).await.unwrap();
    });
    let outcomes = |class| -> BTreeSet<Vec<u8>> {
        (0..200).map(|seed| disk.crash(class, seed).bytes("a").unwrap()).collect()
    };
    let old = vec![1; ALIGN];
    let new = [[2; ALIGN], [3; ALIGN]].concat();
    let zero_filled = [[1; ALIGN], [0; ALIGN]].concat();
    assert_eq!(outcomes(Crash::LoseAll), BTreeSet::from([old.clone()]));
    assert_eq!(outcomes(Crash::KeepAll), BTreeSet::from([new.clone()]));
    assert_eq!(outcomes(Crash::ZeroFilled), BTreeSet::from([zero_filled]));
    assert_eq!(outcomes(Crash::Prefix), BTreeSet::from([old, vec![2; ALIGN], new]));
    for class in [Crash::Torn, Crash::Random] {
        let seen = outcomes(class);
        assert!(seen.len() > 15, "{class:?} gives many outcomes");
        for sector in seen.iter().flat_map(|bytes| bytes.chunks(512)) {
            assert!((0..4).any(|byte| sector == [byte; 512]), "a sector is whole");
        }
    }
}

#[test]
fn a_write_in_flight_may_be_there_in_part() {
    let disk = SimDisk::new(3);
    disk.crash_at_io(5, When::Before); // after create, write, sync, sync_dir
    let disk = after(3, disk, |env| async move {
        let file = synced_file(&env, "a", 1).await;
        file.write_at(0, page(2)).await.unwrap();
    });
    assert_eq!(disk.bytes("a").unwrap(), [1; ALIGN]);
    let seen: BTreeSet<_> =
        (0..50).map(|seed| disk.crash(Crash::Random, seed).bytes("a")).collect();
    assert!(seen.len() > 10);
}

#[test]
fn names_are_durable_after_their_directory_is_synced_and_not_before() {
    let disk = after(4, SimDisk::new(4), |env| async move {
        synced_file(&env, "a", 1).await;
        env.create_dir("d").await.unwrap();
        env.sync_dir("").await.unwrap();
        env.link("a", "d/b").await.unwrap();
        env.rename("a", "c").await.unwrap();
    });
    assert_eq!(disk.paths(), ["c", "d/b"]);
    let seen: BTreeSet<_> = (0..50).map(|seed| disk.crash(Crash::Random, seed).paths()).collect();
    let expected: [&[&str]; 4] = [&["a"], &["a", "d/b"], &["c"], &["c", "d/b"]];
    assert_eq!(
        seen,
        expected.iter().map(|paths| paths.iter().map(|p| p.to_string()).collect()).collect()
    );
}

#[test]
fn names_are_exchanged_both_or_neither() {
    let disk = after(4, SimDisk::new(4), |env| async move {
        synced_file(&env, "a", 1).await;
        synced_file(&env, "b", 2).await;
        env.sync_dir("").await.unwrap();
        env.exchange("a", "b").await.unwrap();
    });
    let content = |disk: &SimDisk| (disk.bytes("a").unwrap()[0], disk.bytes("b").unwrap()[0]);
    assert_eq!(content(&disk), (2, 1));
    let seen: BTreeSet<_> = (0..50).map(|seed| content(&disk.crash(Crash::Random, seed))).collect();
    assert_eq!(seen, BTreeSet::from([(1, 2), (2, 1)]));
}

#[test]
fn a_name_is_never_kept_without_what_it_builds_on() {
    let disk = after(5, SimDisk::new(5), |env| async move {
        let file = env.open("tmp", Open::Create).await.unwrap();
        file.write_at(0, page(1)).await.unwrap();
        file.sync().await.unwrap();
        env.rename("tmp", "final").await.unwrap();
    });
    let seen: BTreeSet<_> = (0..50).map(|seed| disk.crash(Crash::Random, seed).paths()).collect();
    let paths = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect::<Vec<_>>();
    assert_eq!(seen, BTreeSet::from([paths(&[]), paths(&["tmp"]), paths(&["final"])]));
}

#[test]
fn syncing_one_directory_leaves_the_other_open() {
    let disk = after(6, SimDisk::new(6), |env| async move {
        for dir in ["x", "y"] {
            env.create_dir(dir).await.unwrap();
        }
        env.sync_dir("").await.unwrap();
        env.open("x/a", Open::Create).await.unwrap();
        env.open("y/b", Open::Create).await.unwrap();
        env.sync_dir("x").await.unwrap();
    });
    assert_eq!(disk.crash(Crash::LoseAll, 0).paths(), ["x/a"]);
}

/// A sync that failed marked the pages clean on real kernels: a second one succeeds and has done
/// nothing. Whoever retries and acknowledges loses data (the PostgreSQL fsync story of 2018).
#[test]
fn a_sync_after_a_failed_one_does_not_help() {
    let disk = SimDisk::new(7);
    disk.inject(Fault {
        on: Some(Io::Sync),
        path: "a".into(),
        nth: 1,
        sticky: false,
        how: Fail::Eio,
    });
    let disk = after(7, disk, |env| async move {
        let file = env.open("a", Open::Create).await.unwrap();
        env.sync_dir("").await.unwrap();
        file.write_at(0, page(1)).await.unwrap();
        assert_eq!(code(file.sync().await), Some(libc::EIO));
        file.sync().await.unwrap();
    });
    assert_eq!(disk.bytes("a").unwrap(), [1; ALIGN]);
    assert_ne!(disk.crash(Crash::KeepAll, 0).bytes("a").unwrap(), [1; ALIGN]);
}

#[test]
fn a_sync_covers_only_what_ended_before_it_started() {
    let disk = after(8, SimDisk::new(8), |env| async move {
        let file = synced_file(&env, "a", 1).await;
        let (late, env_of_task) = (file.clone(), env.clone());
        let slow = Rc::new(RefCell::new(false));
        let told = slow.clone();
        env.spawn(Class::Idle, async move {
            late.write_at(ALIGN as u64, page(2)).await.unwrap();
            *told.borrow_mut() = true;
            env_of_task.wake();
        });
        while !*slow.borrow() {
            file.sync().await.unwrap();
        }
    });
    let kept = disk.crash(Crash::LoseAll, 0).bytes("a").unwrap();
    assert_eq!(kept.len(), ALIGN, "the write ended while the last sync ran");
}

#[test]
fn the_power_goes_exactly_at_the_sync_asked_for() {
    for (when, kept) in [(When::Before, 0), (When::After, ALIGN)] {
        let disk = SimDisk::new(9);
        disk.crash_at_sync(2, when);
        let disk = after(9, disk, |env| async move {
            let file = env.open("a", Open::Create).await.unwrap();
            env.sync_dir("").await.unwrap();
            file.write_at(0, page(1)).await.unwrap();
            let _ = file.sync().await;
            unreachable!("the power is gone");
        });
        assert!(disk.is_dead() && disk.syncs() == 2);
        let left = disk.crash(Crash::LoseAll, 0);
        assert_eq!(left.bytes("a").unwrap().len(), kept);
        assert!(!left.is_dead());
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = SimDisk::new(10);
    disk.set_capacity(3 * ALIGN as u64);
    after(10, disk, |env| async move {
        let a = synced_file(&env, "a", 1).await;
        let b = env.open("b", Open::Create).await.unwrap();
        b.allocate(2 * ALIGN as u64).await.unwrap();
        assert_eq!(env.space().unwrap().available, 0);
        assert_eq!(code(a.write_at(ALIGN as u64, page(2)).await), Some(libc::ENOSPC));
        a.write_at(0, page(2)).await.unwrap();
        b.write_at(ALIGN as u64, page(3)).await.unwrap();
        drop(b);
        env.remove("b").await.unwrap();
        a.write_at(ALIGN as u64, page(2)).await.unwrap();
    });
}

#[test]
fn foreground_operations_end_through_poll_with_their_buffers() {
    let disk = SimDisk::new(11);
    disk.inject(Fault {
        on: Some(Io::Write),
        path: "a".into(),
        nth: 2,
        sticky: false,
        how: Fail::Short,
    });
    let disk = after(11, disk, |env| async move {
        let file = env.open("a", Open::Create).await.unwrap();
        env.sync_dir("").await.unwrap();
        let mut done: Vec<Done> = Vec::new();
        for (ticket, whole) in [(1, true), (2, false)] {
            let mut buf = AlignedBuf::zeroed(4 * ALIGN);
            buf.fill(ticket as u8);
            file.start_append(ticket, 0, buf, true);
            env.parked().await;
            env.poll(&mut done);
            let done = done.pop().unwrap();
            assert_eq!((done.ticket, done.buf[0]), (ticket, ticket as u8));
            assert_eq!(done.result.unwrap() == 4 * ALIGN, whole);
        }
        file.start_read(3, 2 * ALIGN as u64, AlignedBuf::zeroed(4 * ALIGN));
        env.parked().await;
        env.poll(&mut done);
        let done = done.pop().unwrap();
        assert_eq!((done.ticket, done.result.unwrap()), (3, 2 * ALIGN));
    });
    let kept = disk.crash(Crash::LoseAll, 0).bytes("a").unwrap();
    assert_eq!(kept, [1; 4 * ALIGN], "the whole write was synced, the short one not");
}

#[test]
fn directory_operations_refuse_what_a_kernel_refuses() {
    after(13, SimDisk::new(13), |env| async move {
        env.create_dir("d").await.unwrap();
        env.open("d/a", Open::Create).await.unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        let opened = |result: io::Result<SimFile>| result.err().unwrap().kind();
        assert_eq!(opened(env.open("d/a", Open::Create).await), io::ErrorKind::AlreadyExists);
        assert_eq!(opened(env.open("d/b", Open::Read).await), io::ErrorKind::NotFound);
        assert_eq!(opened(env.open("e/b", Open::Create).await), io::ErrorKind::NotFound);
        assert_eq!(opened(env.open("d", Open::Read).await), io::ErrorKind::IsADirectory);
        assert_eq!(kind(env.remove("d").await), io::ErrorKind::DirectoryNotEmpty);
        assert_eq!(kind(env.link("d/a", "d/a").await), io::ErrorKind::AlreadyExists);
        assert_eq!(kind(env.rename("x", "y").await), io::ErrorKind::NotFound);
        let read_only = env.open("d/a", Open::Read).await.unwrap();
        assert_eq!(code(read_only.write_at(0, page(0)).await), Some(libc::EBADF));
        assert_eq!(env.list("d").await.unwrap(), ["a"]);
    });
}

#[test]
#[should_panic(expected = "stalled")]
fn waiting_for_nothing_is_an_error() {
    Sim::new(14).block_on(std::future::pending::<()>());
}

/// Who is told of a failure that did not prevent anything must not build on either.
#[test]
fn what_is_torn_has_happened_all_the_same() {
    let torn = |on, nth| {
        let disk = SimDisk::new(nth);
        disk.inject(Fault {
            on: Some(on),
            path: "a".into(),
            nth: 1,
            sticky: false,
            how: Fail::Torn,
        });
        let disk = after(nth, disk, |env| async move {
            let file = match env.open("a", Open::Create).await {
                Ok(file) => file,
                Err(_) => env.open("a", Open::ReadWrite).await.unwrap(),
            };
            env.sync_dir("").await.unwrap();
            let written = file.write_at(0, page(1)).await.is_ok();
            let synced = file.sync().await.is_ok();
            assert_eq!((written, synced), (on != Io::Write, on != Io::Sync));
        });
        disk.crash(Crash::LoseAll, 0).bytes("a").unwrap()
    };
    assert_eq!(torn(Io::Name, 1), [1; ALIGN], "the file was made");
    assert_eq!(torn(Io::Sync, 1), [1; ALIGN], "the sync was one");
    let parts: BTreeSet<_> = (1..50).map(|seed| torn(Io::Write, seed)).collect();
    assert!(parts.len() > 10, "some of the sectors, before any sync");
}

#[test]
fn a_lost_sync_says_nothing_of_it() {
    for (on, path) in [(Io::Sync, "a"), (Io::SyncDir, "")] {
        let disk = SimDisk::new(1);
        disk.inject(Fault {
            on: Some(on),
            path: path.into(),
            nth: 1,
            sticky: true,
            how: Fail::Lost,
        });
        let disk = after(1, disk, |env| async move {
            synced_file(&env, "a", 1).await;
        });
        assert_ne!(disk.crash(Crash::LoseAll, 0).bytes("a"), Some(vec![1; ALIGN]));
    }
}

#[test]
fn a_fork_goes_its_own_way_and_a_killed_process_leaves_what_it_wrote() {
    let disk = after(1, SimDisk::new(1), |env| async move {
        let file = synced_file(&env, "a", 1).await;
        file.write_at(0, page(2)).await.unwrap();
    });
    let fork = disk.fork();
    assert_eq!(fork.image_hash(), disk.image_hash());
    let late = (0..20).map(|seed| {
        let fork = disk.fork();
        let sim = Sim::new(seed);
        let env = sim.env(&fork);
        sim.block_on(async {
            let file = env.open("a", Open::ReadWrite).await.unwrap();
            file.start_append(1, 0, page(3), false);
            env.pause().await;
            env.pause().await;
        });
        drop((env, sim));
        fork.end_process(seed);
        fork.bytes("a").unwrap()[0]
    });
    assert_eq!(late.collect::<BTreeSet<_>>(), BTreeSet::from([2, 3]));
    fork.put("a", &[9; ALIGN]);
    assert_eq!(disk.bytes("a").unwrap(), [2; ALIGN]);
    assert_ne!(fork.image_hash(), disk.image_hash());
}

#[test]
fn a_watch_sees_both_sides_of_everything_until_the_power_goes() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let disk = SimDisk::new(1);
    disk.crash_at_io(4, When::Before);
    let look = seen.clone();
    disk.watch(move |disk, io, when| look.borrow_mut().push((io, when, disk.paths().len())));
    after(1, disk, |env| async move {
        synced_file(&env, "a", 1).await;
    });
    let expected = [(Io::Name, 0), (Io::Write, 1), (Io::Sync, 1)];
    let mut both = Vec::new();
    for (io, before) in expected {
        both.extend([(io, When::Before, before), (io, When::After, 1)]);
    }
    both.push((Io::SyncDir, When::Before, 1));
    assert_eq!(*seen.borrow(), both);
}
