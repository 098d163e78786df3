//! Disk operations: point reads, log appends linked with their `fdatasync`, and what background
//! tasks await.
#![expect(unsafe_code, reason = "hands buffers to the kernel")]

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};
use slab::Slab;

use super::awaited::Ending;
use super::ring::{Core, Kind};
use crate::env::Done;
use crate::env::buf::AlignedBuf;

/// The disk operations of a ring: in flight, and ended.
#[derive(Default)]
pub(super) struct DiskOps {
    slots: Slab<DiskOp>,
    done: Vec<Done>,
    /// Those in flight that take a thread of the kernel's.
    on_workers: usize,
}

/// Who is told how an operation went.
pub(super) enum Owner {
    /// Whoever polls the ring.
    Ticket(u64),
    /// The task that awaits it.
    Task(Rc<Ending>),
}

/// One operation. Holds its memory and its file until its last completion.
struct DiskOp {
    owner: Owner,
    buf: AlignedBuf,
    /// Kept open, nothing more.
    _file: Rc<dyn AsRawFd>,
    /// Completions still to come: one, or two for a write with its sync.
    pending: u8,
    /// What the read or write ended with: bytes, or a negative `errno`.
    transferred: i32,
    /// What the sync ended with: 0, or a negative `errno`.
    synced: i32,
    /// Whether it takes a thread of the kernel's.
    on_worker: bool,
}

impl DiskOp {
    /// How the operation went. A write that came up short broke its link, so the sync's
    /// `ECANCELED` says nothing; a full one counts only with its sync.
    fn result(&self) -> io::Result<usize> {
        let bytes = usize::try_from(self.transferred)
            .map_err(|_| io::Error::from_raw_os_error(-self.transferred))?;
        if bytes == self.buf.len() && self.synced < 0 {
            return Err(io::Error::from_raw_os_error(-self.synced));
        }
        Ok(bytes)
    }
}

impl DiskOps {
    pub(super) fn in_flight(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn on_workers(&self) -> usize {
        self.on_workers
    }

    pub(super) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    pub(super) fn take_done(&mut self, done: &mut Vec<Done>) {
        done.append(&mut self.done);
    }

    /// The completion of a read or write.
    pub(super) fn transferred(&mut self, index: usize, result: i32) {
        self.slots[index].transferred = result;
        self.completed(index);
    }

    /// The completion of a sync.
    pub(super) fn synced(&mut self, index: usize, result: i32) {
        self.slots[index].synced = result;
        self.completed(index);
    }

    fn completed(&mut self, index: usize) {
        self.slots[index].pending -= 1;
        if self.slots[index].pending == 0 {
            let op = self.slots.remove(index);
            self.on_workers -= usize::from(op.on_worker);
            let result = op.result();
            match op.owner {
                Owner::Ticket(ticket) => self.done.push(Done { ticket, buf: op.buf, result }),
                Owner::Task(ending) => ending.came(op.buf, result),
            }
        }
    }

    /// A slot for an operation of `pending` completions; its index, descriptor, address and length.
    fn start(
        &mut self,
        file: Rc<dyn AsRawFd>,
        owner: Owner,
        buf: AlignedBuf,
        pending: u8,
        on_worker: bool,
    ) -> (usize, Fd, *mut u8, u32) {
        let fd = Fd(file.as_raw_fd());
        let len = u32::try_from(buf.len()).expect("an operation of less than 4 GiB");
        let op = DiskOp { owner, buf, _file: file, pending, transferred: 0, synced: 0, on_worker };
        self.on_workers += usize::from(on_worker);
        let index = self.slots.insert(op);
        (index, fd, self.slots[index].buf.as_mut_ptr(), len)
    }
}

impl Core {
    pub(super) fn read(
        &mut self,
        file: Rc<dyn AsRawFd>,
        owner: Owner,
        offset: u64,
        buf: AlignedBuf,
    ) {
        assert!(!buf.is_empty(), "a read of no bytes");
        let (index, fd, start, len) = self.disk.start(file, owner, buf, 1, false);
        let entry = opcode::Read::new(fd, start, len).offset(offset).build();
        // SAFETY: buffer and file are in the slot until its last completion, and the buffer's
        // memory does not move with it.
        unsafe { self.push(&[entry.user_data(Kind::Read.user_data(index))]) }
    }

    pub(super) fn write(
        &mut self,
        file: Rc<dyn AsRawFd>,
        owner: Owner,
        offset: u64,
        buf: AlignedBuf,
        sync: bool,
    ) {
        assert!(!buf.is_empty(), "a write of no bytes");
        let on_worker = sync || matches!(owner, Owner::Task(_));
        let pending = 1 + u8::from(sync);
        let (index, fd, start, len) = self.disk.start(file, owner, buf, pending, on_worker);
        let write = opcode::Write::new(fd, start, len)
            .offset(offset)
            .build()
            .user_data(Kind::Write.user_data(index));
        if sync {
            let sync = sync_entry(fd, index);
            // SAFETY: as in `read`.
            unsafe { self.push(&[write.flags(squeue::Flags::IO_LINK), sync]) }
        } else {
            // SAFETY: as in `read`.
            unsafe { self.push(&[write]) }
        }
    }

    pub(super) fn sync(&mut self, file: Rc<dyn AsRawFd>, owner: Owner) {
        let (index, fd, ..) = self.disk.start(file, owner, AlignedBuf::default(), 1, true);
        let sync = sync_entry(fd, index);
        // SAFETY: the file is in the slot until its completion; there is no memory.
        unsafe { self.push(&[sync]) }
    }
}

fn sync_entry(fd: Fd, index: usize) -> squeue::Entry {
    let sync = opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build();
    sync.user_data(Kind::Sync.user_data(index))
}
