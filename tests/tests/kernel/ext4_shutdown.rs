//! Power cuts of a mounted file system: ext4 is told to shut down, at a random moment under writes
//! or while a server starts, and from then on does nothing. The server ends with the status for
//! it, and after a new mount, which replays ext4's journal, nothing acknowledged is missing.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

use crate::disks::{Disk, Memory, make};
use crate::history::{History, Position, nowhere};
use crate::long_forms::number;
use crate::means;
use crate::server::{Ended, Server, Start};

/// Rounds of the short form.
const ROUNDS: u64 = 10;

const DISK_BYTES: u64 = 768 << 20;

/// kvcore's status: what was to be durable could not be written.
const WRITE_FAILED: i32 = 30;

/// kvcore's status: the data directory cannot be read or written.
const DATA_IO: i32 = 25;

/// Linux's `EXT4_IOC_SHUTDOWN`.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// What ext4 still does before it goes.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Flush {
    All = 0,
    Journal = 1,
    Nothing = 2,
}

/// When the file system goes, and how.
#[derive(Clone, Copy, Debug)]
struct Cut {
    moment: Duration,
    flush: Flush,
}

impl Cut {
    fn drawn(moment_ms_max: u64, rng: &mut Rng) -> Self {
        let flushes = [Flush::Nothing, Flush::Nothing, Flush::Journal, Flush::All];
        let moment = Duration::from_millis(rng.u64(..moment_ms_max));
        Self { moment, flush: flushes[rng.usize(..flushes.len())] }
    }
}

/// Shuts the file system down that is mounted at `root`.
#[expect(unsafe_code, reason = "an ioctl that nobody wraps")]
fn shut_down(root: &File, flush: Flush) {
    // SAFETY: the kernel reads a u32 through the pointer it is given, and writes nothing.
    unsafe { ioctl(root, Setter::<SHUTDOWN, u32>::new(flush as u32)) }.unwrap();
}

fn drawn(disk: &Disk, rng: &mut Rng) -> Start {
    Start::on(&disk.data()).cores(rng.usize(1..=2)).flags(&["--durability", "sync"])
}

fn assert_failed(ended: &Ended, statuses: &[i32]) {
    let status = ended.status.code().unwrap_or_else(|| panic!("{ended:?}"));
    assert!(statuses.contains(&status), "{ended:?}");
}

/// A start, with the file system going away during it.
fn cut_during_a_start(root: &Path, start: &Start, cut: Cut) {
    let root = File::open(root).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(cut.moment);
            shut_down(&root, cut.flush);
        });
        match start.attempt() {
            Ok(server) => assert_failed(&server.wait(), &[WRITE_FAILED]),
            Err(ended) => assert_failed(&ended, &[DATA_IO, WRITE_FAILED]),
        }
    });
}

/// Writes, with the file system going away during them.
fn cut_under_writes(root: &Path, server: Server, history: &mut History, cut: Cut) {
    let root = File::open(root).unwrap();
    history.write_while(server.clients(), nowhere, || {
        thread::sleep(cut.moment);
        shut_down(&root, cut.flush);
        assert_failed(&server.wait(), &[WRITE_FAILED]);
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_ext4_is_shut_down() {
    if !means::at_hand("shutdowns of ext4 under writes") {
        return;
    }
    let seed = number("KVCORE_TEST_SEED", || fastrand::u64(..));
    println!("KVCORE_TEST_SEED={seed} draws the same rounds again");
    let mut rng = Rng::with_seed(seed);
    let memory = Memory::take(DISK_BYTES);
    let (image, root) = (memory.path().join("image"), memory.path().join("root"));
    make(&image, DISK_BYTES);
    let mut history = History::new(3, seed);
    let rounds = number("KVCORE_TEST_SHUTDOWNS", || ROUNDS);
    let mut starts = 0;
    for round in 0..rounds {
        let disk = Disk::mount(&image, &root);
        let start = drawn(&disk, &mut rng);
        let during_start = round > 0 && rng.u8(..4) == 0;
        let cut = Cut::drawn(if during_start { 500 } else { 2_000 }, &mut rng);
        println!("round {round}: {start:?}, {cut:?}");
        if during_start {
            cut_during_a_start(&root, &start, cut);
            starts += 1;
        } else {
            let server = start.serve();
            history.assert_kept(&server);
            cut_under_writes(&root, server, &mut history, cut);
        }
        disk.unmount();
    }
    let disk = Disk::mount(&image, &root);
    let server = drawn(&disk, &mut rng).serve();
    history.assert_kept(&server);
    server.stop();
    disk.unmount();
    let acknowledged = history.acknowledged(Position::MAX);
    println!("{rounds} rounds, {starts} of them starts; {acknowledged} writes acknowledged");
    assert!(acknowledged > 0, "nothing to lose");
}
