//! Disk operations on real files and sockets: each ends once, with the right result, and lets go.

#![expect(
    clippy::disallowed_types,
    reason = "the ring is the outside: its tests make files and sockets"
)]
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use super::*;
use crate::env::ALIGN;

fn ring() -> Ring {
    Ring::new(RingConfig { submissions: 4, completions: 64, ..RingConfig::default() }).unwrap()
}

fn direct_file(dir: &tempfile::TempDir) -> Rc<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
    Rc::new(options.open(dir.path().join("file")).unwrap())
}

/// Runs `ring` until `count` operations have ended; they are returned by ticket.
fn finish(ring: &Ring, count: usize) -> Vec<Done> {
    let mut done = Vec::new();
    while done.len() < count {
        ring.enter().unwrap();
        ring.poll(&mut done);
    }
    assert_eq!(ring.disk_in_flight(), 0);
    done.sort_by_key(|done| done.ticket);
    done
}

fn page(byte: u8) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(ALIGN);
    buf.fill(byte);
    buf
}

#[test]
fn what_was_appended_is_read_back_through_a_queue_smaller_than_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, file) = (ring(), direct_file(&dir));
    for i in 0..32u8 {
        let offset = u64::from(i) * ALIGN as u64;
        ring.append(file.clone(), i.into(), offset, page(i), i % 2 == 0);
    }
    for done in finish(&ring, 32) {
        assert_eq!(done.result.unwrap(), ALIGN);
    }
    for i in 0..32u8 {
        let offset = u64::from(i) * ALIGN as u64;
        ring.read(file.clone(), i.into(), offset, AlignedBuf::zeroed(ALIGN));
    }
    for done in finish(&ring, 32) {
        assert_eq!(done.result.unwrap(), ALIGN);
        assert!(done.buf.iter().all(|&byte| u64::from(byte) == done.ticket));
    }
}

#[test]
fn a_read_at_the_end_of_a_file_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, file) = (ring(), direct_file(&dir));
    ring.append(file.clone(), 1, 0, page(1), false);
    finish(&ring, 1);
    ring.read(file.clone(), 2, 0, AlignedBuf::zeroed(4 * ALIGN));
    ring.read(file, 3, 4 * ALIGN as u64, AlignedBuf::zeroed(ALIGN));
    let done = finish(&ring, 2);
    assert_eq!(*done[0].result.as_ref().unwrap(), ALIGN);
    assert_eq!(*done[1].result.as_ref().unwrap(), 0);
}

#[test]
fn a_failed_write_ends_once_with_its_own_error_not_its_syncs() {
    let dir = tempfile::tempdir().unwrap();
    drop(direct_file(&dir));
    let ring = ring();
    let read_only = Rc::new(File::open(dir.path().join("file")).unwrap());
    ring.append(read_only.clone(), 1, 0, page(1), true);
    let done = finish(&ring, 1);
    assert_eq!(done[0].result.as_ref().unwrap_err().raw_os_error(), Some(libc::EBADF));
    assert_eq!(done[0].buf.len(), ALIGN, "the buffer comes back");
    assert_eq!(Rc::strong_count(&read_only), 1, "the slot let go of the file");
}

#[test]
fn a_short_write_ends_with_its_length_and_a_failed_sync_with_its_error() {
    let (ring, (near, _far)) = (ring(), UnixStream::pair().unwrap());
    // A socket cannot be synced, and when it does not block takes what its buffer has room for.
    near.set_nonblocking(true).unwrap();
    let near = Rc::new(near);
    ring.append(near.clone(), 1, 0, AlignedBuf::zeroed(ALIGN), true);
    let full = finish(&ring, 1);
    assert_eq!(full[0].result.as_ref().unwrap_err().raw_os_error(), Some(libc::EINVAL));
    ring.append(near, 2, 0, AlignedBuf::zeroed(64 << 20), true);
    let short = finish(&ring, 1);
    let written = *short[0].result.as_ref().unwrap();
    assert!(0 < written && written < 64 << 20);
}

#[test]
fn a_dropped_ring_cancels_what_is_in_flight_and_lets_go_of_it() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let (ring, reader) = (ring(), Rc::new(reader));
    for ticket in 0..8 {
        ring.read(reader.clone(), ticket, 0, AlignedBuf::zeroed(ALIGN));
    }
    ring.enter().unwrap();
    assert_eq!(ring.disk_in_flight(), 8, "an empty pipe gives nothing");
    drop(ring);
    assert_eq!(Rc::strong_count(&reader), 1);
}

#[test]
fn an_idle_ring_has_no_work_and_a_finished_operation_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let (ring, file) = (ring(), direct_file(&dir));
    ring.enter().unwrap();
    assert!(!ring.has_work());
    ring.append(file, 1, 0, page(1), true);
    assert!(ring.has_work(), "queued");
    while ring.disk_in_flight() > 0 {
        ring.enter().unwrap();
    }
    assert!(ring.has_work(), "ended, and not taken");
    ring.poll(&mut Vec::new());
    assert!(!ring.has_work());
}

/// A thread may register 16 rings; one that is dropped must give its place back, or the 17th ring
/// of a thread could not be made.
#[test]
fn a_thread_may_make_any_number_of_rings_one_after_the_other() {
    for _ in 0..40 {
        ring().enter().unwrap();
    }
    let many: Vec<_> = (0..20).map(|_| ring()).collect();
    many.iter().for_each(|ring| ring.enter().unwrap());
}
