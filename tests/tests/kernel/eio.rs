//! A disk that answers EIO, once or for a while: what that costs, and that nothing else is lost.
//!
//! - A read of a table's block: its keys are answered with an error, all others are served.
//! - A read of a file at a start: the start is refused by its status, and the next one has all.
//! - A write or a flush of the log, or making its next segment: the process ends with its status,
//!   and the next one has all.
//! - A write of a table: it is tried again, the server stays up.

use std::fs;
use std::path::{Path, PathBuf};

use crate::faults::{BLOCK, Faults, FaultyDisk, Operation, block_of, blocks_used};
use crate::history::{History, nowhere};
use crate::means;
use crate::server::{Ended, Server, Start, eventually};

/// kvcore's status: what was to be durable could not be written.
const WRITE_FAILED: i32 = 30;

/// kvcore's status: the data directory cannot be read or written.
const DATA_IO: i32 = 25;

fn start(data: &Path) -> Start {
    Start::on(data).flags(&["--durability", "sync"])
}

/// Writes until the server ends, with the status for a failed write.
fn write_to_the_end(history: &mut History, server: Server) {
    let clients = server.clients();
    let ended = history.write_while(clients, nowhere, || server.wait());
    assert_status(&ended, WRITE_FAILED);
}

fn assert_status(ended: &Ended, status: i32) {
    assert_eq!(ended.status.code(), Some(status), "{ended:?}");
}

/// The files in the first shard's directory of this generation whose names end with `end`.
fn files(data: &Path, generation: u32, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join(format!("gen-000{generation}/shard-000"))).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
}

/// The only one of them.
fn only(data: &Path, generation: u32, end: &str) -> PathBuf {
    let mut files = files(data, generation, end);
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn a_block_that_cannot_be_read_fails_its_keys_alone() {
    if !means::at_hand("EIO on reads of tables") {
        return;
    }
    let mut disk = FaultyDisk::mount();
    let (data, mut history) = (disk.data("data"), History::new(3, 1));
    let server = start(&data).cores(2).serve();
    history.write(server.clients(), 30);
    server.stop();
    // Another number of cores: all of the log is flushed to tables, one for each shard there was.
    let start = start(&data);
    start.serve().stop();
    let length = |table: &PathBuf| fs::metadata(table).unwrap().len();
    let table = files(&data, 2, ".sst").into_iter().max_by_key(length).expect("there is one");
    let blocks = length(&table) / BLOCK;
    for index in [0, blocks / 3, blocks / 2] {
        // Started anew, for what was read once is in memory.
        let server = start.serve();
        disk.inject(&Faults::at(Operation::Read, [block_of(&table, index)]));
        let reads = history.read(&server).unwrap_or_else(|wrong| panic!("{wrong}"));
        let errors = reads.errors();
        assert!(!errors.is_empty() && errors.len() < reads.values() / 2, "{index}: {errors:?}");
        history.check(&reads, u64::MAX).unwrap_or_else(|wrong| panic!("{wrong}"));
        disk.heal();
        history.assert_kept(&server);
        server.stop();
    }
}

#[test]
fn a_start_that_cannot_read_is_refused_and_the_next_one_has_all() {
    if !means::at_hand("EIO on reads of a start") {
        return;
    }
    let mut disk = FaultyDisk::mount();
    let (data, mut history) = (disk.data("data"), History::new(3, 2));
    start(&data).serve().stop();
    let start = start(&data).cores(2);
    let server = start.serve();
    history.write(server.clients(), 30);
    server.kill();
    let shard = data.join("gen-0002/shard-001");
    let log = only(&data, 2, ".log");
    let files = [
        (data.join("NODE"), 0),
        (data.join("CLOCK"), 0),
        (shard.join("MANIFEST"), 0),
        (log.clone(), 0),
        (log.clone(), blocks_used(&log) / 2),
    ];
    for (file, index) in files {
        let block = block_of(&file, index);
        disk.mount_anew();
        disk.inject(&Faults::at(Operation::Read, [block]));
        let outcome = start.attempt();
        disk.heal();
        let Err(ended) = outcome else { panic!("it serves without {}", file.display()) };
        assert_status(&ended, DATA_IO);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(ended.said.contains(name), "{name}: {ended:?}");
    }
    history.assert_kept(&start.serve());
}

#[test]
fn a_failed_write_of_the_log_ends_the_process_and_loses_nothing() {
    if !means::at_hand("EIO on writes of the log") {
        return;
    }
    let mut disk = FaultyDisk::mount();
    for nth in [Some(0), Some(1), Some(2), Some(20), None] {
        let (data, mut history) = (disk.data("data"), History::new(3, nth.unwrap_or(99)));
        let server = start(&data).serve();
        history.write(server.clients(), 7);
        let faults = match nth {
            // Batches lie one behind the other, in whole blocks. An idle log may seal itself.
            Some(nth) => {
                let log = only(&data, 1, ".log");
                let next = blocks_used(&log) + nth;
                let blocks = (next..next + 4).map(|index| block_of(&log, index));
                Faults::at(Operation::Write, blocks)
            }
            // The next segment, of which one is made when an eighth of the first is used.
            None => Faults::at(Operation::Write, disk.free_blocks().into_iter().step_by(512)),
        };
        disk.inject(&faults);
        write_to_the_end(&mut history, server);
        disk.heal();
        disk.mount_anew();
        let server = start(&data).serve();
        history.assert_kept(&server);
        server.stop();
        fs::remove_dir_all(&data).unwrap();
    }
}

#[test]
fn a_failed_flush_ends_the_process_and_loses_nothing() {
    if !means::at_hand("EIO on flushes") {
        return;
    }
    let mut disk = FaultyDisk::mount();
    let (data, mut history) = (disk.data("data"), History::new(3, 3));
    let nths = [1, 2, 3, 8, 50].map(Faults::nth_flush);
    for faults in nths.into_iter().chain([Faults::writes()]) {
        let server = start(&data).serve();
        history.assert_kept(&server);
        history.write(server.clients(), 7);
        disk.inject(&faults);
        write_to_the_end(&mut history, server);
        disk.heal();
        disk.mount_anew();
    }
    let server = start(&data).serve();
    history.assert_kept(&server);
    server.stop();
}

#[test]
fn a_table_that_cannot_be_written_is_tried_again() {
    if !means::at_hand("EIO on writes of the background") {
        return;
    }
    let mut disk = FaultyDisk::mount();
    // A table's first write, until one failed; later ones, until three did.
    for (step, failures) in [(32, 1.0), (512, 3.0)] {
        let (data, mut history) = (disk.data("data"), History::new(3, failures as u64));
        let mut server = start(&data).serve();
        let figure = |server: &Server, name| server.metric_if_told(name).unwrap_or(0.0);
        // What is free afterwards is where tables will be: the log has its next segment.
        history.write_while(server.clients(), nowhere, || {
            eventually("two segments", || files(&data, 1, ".log").len() == 2);
        });
        let blocks = disk.free_blocks().into_iter().step_by(step);
        disk.inject(&Faults::at(Operation::Write, blocks));
        history.write_while(server.clients(), nowhere, || {
            let failed = || figure(&server, "kvcore_flush_errors_total") >= failures;
            eventually("flushes fail", failed);
            let before = figure(&server, "kvcore_flushes_total");
            disk.heal();
            eventually("it flushes", || figure(&server, "kvcore_flushes_total") > before);
        });
        assert!(server.is_running());
        history.assert_kept(&server);
        server.kill();
        disk.mount_anew();
        let server = start(&data).serve();
        history.assert_kept(&server);
        server.stop();
        fs::remove_dir_all(&data).unwrap();
    }
}
