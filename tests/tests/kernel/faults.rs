//! A disk that fails on demand: qemu's `blkdebug` driver is put under a mounted file system, told
//! which operations end in EIO, and taken away again.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, fstatvfs, syncfs};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::disks::{Disk, Memory, make};
use crate::mounts::printed;

/// Bytes of a block of the file system.
pub(crate) const BLOCK: u64 = 4096;

const SECTORS_PER_BLOCK: u64 = BLOCK / 512;

const DISK_BYTES: u64 = 768 << 20;

/// Left free where a file takes all there is.
const ROOM_BYTES: u64 = 1 << 20;

const EIO: i32 = 5;

/// Which operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Read,
    Write,
    Flush,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
        }
    }
}

/// What fails, in blkdebug's words.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    errors: Vec<Value>,
    states: Vec<Value>,
}

impl Faults {
    /// All writes.
    pub(crate) fn writes() -> Self {
        Self { errors: vec![error(Operation::Write, "none", json!({}))], states: Vec::new() }
    }

    /// The `nth` flush from now on, counted from 1, and no other.
    pub(crate) fn nth_flush(nth: u64) -> Self {
        let event = "flush_to_disk";
        let once = json!({ "state": nth, "once": true });
        let errors = vec![error(Operation::Flush, event, once)];
        let step = |n| json!({ "event": event, "state": n, "new_state": n + 1 });
        Self { errors, states: (1..nth).map(step).collect() }
    }

    /// Each that touches the beginning of one of these blocks of the disk.
    pub(crate) fn at(operation: Operation, blocks: impl IntoIterator<Item = u64>) -> Self {
        let sector = |block| json!({ "sector": block * SECTORS_PER_BLOCK });
        let errors = blocks.into_iter().map(|block| error(operation, "none", sector(block)));
        Self { errors: errors.collect(), states: Vec::new() }
    }
}

fn error(operation: Operation, event: &str, more: Value) -> Value {
    let mut error = json!({ "event": event, "iotype": operation.name(), "errno": EIO });
    let Value::Object(more) = more else { panic!("{more} is no object") };
    error.as_object_mut().unwrap().extend(more);
    error
}

/// A mounted ext4 whose disk fails on demand.
pub(crate) struct FaultyDisk {
    disk: Option<Disk>,
    daemon: Daemon,
    memory: Memory,
}

impl FaultyDisk {
    pub(crate) fn mount() -> Self {
        let memory = Memory::take(DISK_BYTES);
        make(&memory.path().join("disk"), DISK_BYTES);
        let file = "driver=file,node-name=disk,filename=disk";
        let daemon = Daemon::start(memory.path(), &[file, "driver=raw,node-name=top,file=disk"]);
        let disk = Some(Disk::mount(daemon.export(), &memory.path().join("root")));
        Self { disk, daemon, memory }
    }

    /// A data directory on it.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.memory.path().join("root").join(name)
    }

    /// From now on `faults` fail.
    pub(crate) fn inject(&mut self, faults: &Faults) {
        let mut node = json!({ "driver": "blkdebug", "node-name": "faults", "image": "disk" });
        // It takes no empty lists.
        for (name, rules) in [("inject-error", &faults.errors), ("set-state", &faults.states)] {
            if !rules.is_empty() {
                node[name] = rules.clone().into();
            }
        }
        self.daemon.command("blockdev-add", &node);
        self.lead_to("faults");
        // The kernel keeps what was read through the export.
        let export = File::open(self.daemon.export()).unwrap();
        fadvise(export, 0, None, Advice::DontNeed).unwrap();
    }

    /// From now on nothing fails.
    pub(crate) fn heal(&mut self) {
        self.lead_to("disk");
        self.daemon.command("blockdev-del", &json!({ "node-name": "faults" }));
    }

    fn lead_to(&mut self, node: &str) {
        let top = json!({ "driver": "raw", "node-name": "top", "file": node });
        self.daemon.command("blockdev-reopen", &json!({ "options": [top] }));
    }

    /// All blocks that are free, but for the few that the file system may need for itself.
    pub(crate) fn free_blocks(&self) -> Vec<u64> {
        let path = self.data("filler");
        let file = File::create_new(&path).unwrap();
        let figures = fstatvfs(&file).unwrap();
        let length = figures.f_bavail * figures.f_frsize - ROOM_BYTES;
        fallocate(&file, FallocateFlags::empty(), 0, length).unwrap();
        let blocks = blocks_of(&path).into_iter().flatten().collect();
        fs::remove_file(&path).unwrap();
        let root = File::open(self.data(".")).unwrap();
        drop(file);
        // Until then they are not given out again.
        syncfs(root).unwrap();
        blocks
    }

    /// Unmounts and mounts it: what the kernel had in memory of it is gone.
    pub(crate) fn mount_anew(&mut self) {
        self.disk.take().expect("it is mounted").unmount();
        self.disk = Some(Disk::mount(self.daemon.export(), &self.memory.path().join("root")));
    }
}

/// The blocks of the disk that a file lies in, in the file's order.
pub(crate) fn blocks_of(file: &Path) -> Vec<Range<u64>> {
    let mut filefrag = Command::new("filefrag");
    let text = printed(filefrag.args(["-v", "-s", &format!("-b{BLOCK}")]).arg(file));
    // ` 0:  0.. 511:  13927424..  13927935:  512: ..`
    let range = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let (first, last) = fields.next()?.split_once("..")?;
        Some(first.trim().parse().ok()?..last.trim().parse::<u64>().ok()? + 1)
    };
    let ranges: Vec<Range<u64>> = text.lines().filter_map(range).collect();
    assert!(!ranges.is_empty(), "{text}");
    ranges
}

/// Where the `index`th block of a file is on the disk.
pub(crate) fn block_of(file: &Path, index: u64) -> u64 {
    let blocks = blocks_of(file).into_iter().flatten();
    blocks.into_iter().nth(index as usize).expect("the file has it")
}

/// Blocks of the file up to the last that is not zeros.
pub(crate) fn blocks_used(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap();
    let zeros = [0; BLOCK as usize];
    let used = bytes.chunks(zeros.len()).rposition(|block| *block != zeros[..block.len()]);
    used.map_or(0, |index| index as u64 + 1)
}
