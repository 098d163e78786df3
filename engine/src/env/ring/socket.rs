//! Sockets: accepting, receiving, sending, closing.
//!
//! A socket has at most one receive and one send in flight. Its slot lives until the last of them
//! has completed, so whatever a completion says is about the socket it was started for; what comes
//! in for one that was closed meanwhile is dropped here.
//!
//! A listener has at most one accept in flight, and the next is asked for by who took the
//! connection: strangers who connect faster than they can be served wait in the kernel's queue,
//! not among the events of those who are connected.
#![expect(unsafe_code, reason = "hands buffers to the kernel")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{cqueue, opcode, squeue};
use slab::Slab;

use super::recv_buffers::{GROUP, RecvBuffer, RecvBuffers};
use super::ring::{Core, Kind, Ring};

/// Names a socket of a ring. The name of one that was closed never names another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketId {
    index: u32,
    generation: u32,
}

impl SocketId {
    /// A number below the greatest number of sockets that were ever open at once: a place in a
    /// table beside the ring's.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Names a listener of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerId(usize);

/// Something that happened on a socket.
pub enum Event {
    /// Somebody connected. The listener accepts nothing more until [`Ring::accept`] is called.
    Accepted(ListenerId, OwnedFd),
    /// Nobody could be accepted: too many open files, most likely. Nor is anybody until
    /// [`Ring::accept`] is called.
    AcceptFailed(ListenerId, io::Error),
    /// Bytes came in, at least one.
    Received(SocketId, RecvBuffer),
    /// No more bytes will come in: the other side is done, or the connection broke.
    Ended(SocketId, io::Result<()>),
    /// The buffer was sent, or as much of it as will ever be.
    Sent(SocketId, Vec<u8>, io::Result<()>),
}

/// How a socket is received from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receive {
    /// Once: one [`Event::Received`] or [`Event::Ended`]. Then the socket can be let go.
    Once,
    /// On and on, until the end or [`Ring::stop_receiving`].
    Stream,
}

/// The sockets of a ring.
pub(super) struct Sockets {
    slots: Slab<Socket>,
    listeners: Slab<Listener>,
    events: VecDeque<Event>,
    generation: u32,
    buffers: Option<RecvBuffers>,
    /// Operations to be started again; kept to keep its memory.
    again: Vec<squeue::Entry>,
}

struct Listener {
    fd: OwnedFd,
    armed: bool,
    closing: bool,
}

struct Socket {
    fd: OwnedFd,
    generation: u32,
    receiving: Receiving,
    sending: Option<Sending>,
    closing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    No,
    Yes(Receive),
    /// Until the cancelled one has completed; then, perhaps, on.
    Stopping {
        then: Option<Receive>,
    },
}

struct Sending {
    buf: Vec<u8>,
    sent: usize,
}

impl Sockets {
    pub(super) fn new(buffers: Option<RecvBuffers>) -> Self {
        Self {
            slots: Slab::new(),
            listeners: Slab::new(),
            events: VecDeque::new(),
            generation: 0,
            buffers,
            again: Vec::new(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        let busy = |socket: &Socket| {
            usize::from(socket.receiving != Receiving::No) + usize::from(socket.sending.is_some())
        };
        let listening = self.listeners.iter().filter(|(_, listener)| listener.armed).count();
        listening + self.slots.iter().map(|(_, socket)| busy(socket)).sum::<usize>()
    }

    /// From now on what ends is let go, and nothing is started again.
    pub(super) fn close_all(&mut self) {
        for (_, listener) in &mut self.listeners {
            listener.closing = true;
        }
        for (_, socket) in &mut self.slots {
            socket.closing = true;
        }
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn take_again(&mut self) -> Vec<squeue::Entry> {
        std::mem::take(&mut self.again)
    }

    pub(super) fn give_back_again(&mut self, mut memory: Vec<squeue::Entry>) {
        memory.clear();
        self.again = memory;
    }

    fn get(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.slots
            .get_mut(id.index())
            .filter(|socket| socket.generation == id.generation && !socket.closing)
    }

    fn id(&self, index: usize) -> SocketId {
        SocketId { index: index as u32, generation: self.slots[index].generation }
    }

    fn add(&mut self, fd: OwnedFd) -> SocketId {
        self.generation = self.generation.wrapping_add(1);
        let index = self.slots.insert(Socket {
            fd,
            generation: self.generation,
            receiving: Receiving::No,
            sending: None,
            closing: false,
        });
        self.id(index)
    }

    /// Frees the slot of a socket that was closed, once nothing of it is in flight.
    fn free_if_done(&mut self, index: usize) {
        let socket = &self.slots[index];
        if socket.closing && socket.receiving == Receiving::No && socket.sending.is_none() {
            self.slots.remove(index);
        }
    }

    /// The completion of an accept.
    pub(super) fn accepted(&mut self, index: usize, result: i32) {
        let listener = &mut self.listeners[index];
        listener.armed = false;
        // SAFETY: the kernel made the descriptor for this completion; nobody else has it.
        let accepted = (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) });
        match accepted {
            _ if listener.closing => drop(self.listeners.remove(index)),
            Some(fd) => self.events.push_back(Event::Accepted(ListenerId(index), fd)),
            None if -result == libc::ECONNABORTED => {
                listener.armed = true;
                self.again.push(accept_entry(index, &listener.fd));
            }
            None => {
                let error = io::Error::from_raw_os_error(-result);
                self.events.push_back(Event::AcceptFailed(ListenerId(index), error));
            }
        }
    }

    /// The completion of a receive.
    pub(super) fn received(&mut self, index: usize, result: i32, flags: u32) {
        let buffers = self.buffers.as_ref().expect("receives are started with buffers");
        // Taken before anything else: a buffer nobody wants goes back by being dropped.
        let buffer = buffers.taken(flags, result.max(0) as usize);
        let id = self.id(index);
        let socket = &mut self.slots[index];
        let more = cqueue::more(flags);
        let ended = if more { None } else { Some(socket.receiving) };
        if !more {
            socket.receiving = Receiving::No;
        }
        if socket.closing {
            self.free_if_done(index);
            return;
        }
        match (buffer, result) {
            (Some(buffer), 1..) => self.events.push_back(Event::Received(id, buffer)),
            (_, 0) => {
                self.events.push_back(Event::Ended(id, Ok(())));
                return;
            }
            (_, error) if -error == libc::ENOBUFS || -error == libc::ECANCELED => {}
            (_, error) => {
                let error = io::Error::from_raw_os_error(-error);
                self.events.push_back(Event::Ended(id, Err(error)));
                return;
            }
        }
        // A stream that ended without being told to, or an attempt that found no buffer.
        let next = match ended {
            Some(Receiving::Yes(Receive::Stream)) => Some(Receive::Stream),
            Some(Receiving::Yes(Receive::Once)) if result <= 0 => Some(Receive::Once),
            Some(Receiving::Stopping { then }) => then,
            _ => None,
        };
        if let Some(how) = next {
            let entry = self.start_receive(index, how);
            self.again.push(entry);
        }
    }

    fn start_receive(&mut self, index: usize, how: Receive) -> squeue::Entry {
        let socket = &mut self.slots[index];
        socket.receiving = Receiving::Yes(how);
        let fd = Fd(socket.fd.as_raw_fd());
        let entry = match how {
            Receive::Stream => opcode::RecvMulti::new(fd, GROUP).build(),
            Receive::Once => opcode::Recv::new(fd, std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
        };
        entry.user_data(Kind::Recv.user_data(index))
    }

    /// The completion of a send.
    pub(super) fn sent(&mut self, index: usize, result: i32) {
        let id = self.id(index);
        let socket = &mut self.slots[index];
        let sending = socket.sending.as_mut().expect("a send was in flight");
        let outcome = match usize::try_from(result) {
            Ok(bytes) => {
                sending.sent += bytes;
                if sending.sent < sending.buf.len() && !socket.closing {
                    self.again.push(self.send_entry(index));
                    return;
                }
                Ok(())
            }
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        let sending = socket.sending.take().expect("it was there a moment ago");
        if socket.closing {
            self.free_if_done(index);
        } else {
            self.events.push_back(Event::Sent(id, sending.buf, outcome));
        }
    }

    fn send_entry(&self, index: usize) -> squeue::Entry {
        let socket = &self.slots[index];
        let sending = socket.sending.as_ref().expect("there is something to send");
        let rest = &sending.buf[sending.sent..];
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        opcode::Send::new(Fd(socket.fd.as_raw_fd()), rest.as_ptr(), len)
            .build()
            .user_data(Kind::Send.user_data(index))
    }
}

fn accept_entry(index: usize, fd: &OwnedFd) -> squeue::Entry {
    opcode::Accept::new(Fd(fd.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut())
        .flags(libc::SOCK_CLOEXEC)
        .build()
        .user_data(Kind::Accept.user_data(index))
}

impl Core {
    /// Starts again what [`Sockets`] found has to be.
    pub(super) fn start_again(&mut self) {
        let again = self.sockets.take_again();
        for entry in &again {
            // SAFETY: accepts and receives name no memory of ours but the registered buffers; the
            // bytes of a send are in its socket's slot.
            unsafe { self.push(std::slice::from_ref(entry)) };
        }
        self.sockets.give_back_again(again);
    }

    fn cancel(&mut self, kind: Kind, index: usize) {
        let target = CancelBuilder::user_data(kind.user_data(index));
        let entry = opcode::AsyncCancel2::new(target).build();
        // SAFETY: a cancellation names no memory.
        unsafe { self.push(&[entry.user_data(Kind::Cancel.user_data(0))]) }
    }

    fn next_event(&mut self) -> Option<Event> {
        loop {
            let event = self.sockets.events.pop_front()?;
            let about = match &event {
                Event::Accepted(..) | Event::AcceptFailed(..) => return Some(event),
                Event::Received(id, _) | Event::Ended(id, _) | Event::Sent(id, ..) => *id,
            };
            if self.sockets.get(about).is_some() {
                return Some(event);
            }
        }
    }

    fn close(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get(id) else { return };
        socket.closing = true;
        let (receiving, sending) = (socket.receiving != Receiving::No, socket.sending.is_some());
        if receiving {
            self.cancel(Kind::Recv, id.index());
        }
        if sending {
            self.cancel(Kind::Send, id.index());
        }
        self.sockets.free_if_done(id.index());
    }
}

impl Ring {
    /// Accepts a connection from a listening socket: [`Event::Accepted`], once.
    #[must_use]
    pub fn listen(&self, fd: OwnedFd) -> ListenerId {
        let listener = Listener { fd, armed: false, closing: false };
        let id = ListenerId(self.0.borrow_mut().sockets.listeners.insert(listener));
        self.accept(id);
        id
    }

    /// Accepts the next, after [`Event::Accepted`] or [`Event::AcceptFailed`].
    pub fn accept(&self, id: ListenerId) {
        let mut core = self.0.borrow_mut();
        let Some(listener) = core.sockets.listeners.get_mut(id.0) else { return };
        if !listener.armed && !listener.closing {
            listener.armed = true;
            let entry = accept_entry(id.0, &listener.fd);
            // SAFETY: names no memory; the descriptor is in the listener's slot.
            unsafe { core.push(&[entry]) }
        }
    }

    /// Accepts nothing more and closes the listening socket.
    pub fn stop_listening(&self, id: ListenerId) {
        let mut core = self.0.borrow_mut();
        let Some(listener) = core.sockets.listeners.get_mut(id.0) else { return };
        listener.closing = true;
        if listener.armed {
            core.cancel(Kind::Accept, id.0);
        } else {
            core.sockets.listeners.remove(id.0);
        }
    }

    /// Takes over a connected socket. It is idle until asked to receive or send.
    #[must_use]
    pub fn adopt(&self, fd: OwnedFd) -> SocketId {
        self.0.borrow_mut().sockets.add(fd)
    }

    /// Lets an idle socket go, to another core for instance; `None`, and nothing happens, while
    /// something of it is in flight, or if it was closed.
    #[must_use]
    pub fn release(&self, id: SocketId) -> Option<OwnedFd> {
        let sockets = &mut self.0.borrow_mut().sockets;
        let socket = sockets.get(id)?;
        let idle = socket.receiving == Receiving::No && socket.sending.is_none();
        idle.then(|| sockets.slots.remove(id.index()).fd)
    }

    /// Receives from the socket. Nothing happens if it was closed; while a receive that was
    /// stopped has not ended, this one starts after it.
    ///
    /// # Panics
    /// If the socket is being received from, or the ring was made without receive buffers.
    pub fn receive(&self, id: SocketId, how: Receive) {
        let mut core = self.0.borrow_mut();
        assert!(core.sockets.buffers.is_some(), "a ring that receives has receive buffers");
        let Some(socket) = core.sockets.get(id) else { return };
        match &mut socket.receiving {
            Receiving::No => {
                let entry = core.sockets.start_receive(id.index(), how);
                // SAFETY: names no memory but the registered buffers; the descriptor is in the
                // socket's slot.
                unsafe { core.push(&[entry]) }
            }
            Receiving::Stopping { then } => *then = Some(how),
            Receiving::Yes(_) => panic!("a socket has one receive at a time"),
        }
    }

    /// Stops a receive. Bytes that came in before it has ended are still delivered.
    pub fn stop_receiving(&self, id: SocketId) {
        let mut core = self.0.borrow_mut();
        let Some(socket) = core.sockets.get(id) else { return };
        match &mut socket.receiving {
            Receiving::No => {}
            Receiving::Stopping { then } => *then = None,
            receiving @ Receiving::Yes(_) => {
                *receiving = Receiving::Stopping { then: None };
                core.cancel(Kind::Recv, id.index());
            }
        }
    }

    /// Sends all of `buf`: [`Event::Sent`] gives it back. If the socket was closed `buf` is
    /// dropped.
    ///
    /// # Panics
    /// If a send is in flight on the socket, or `buf` is empty.
    pub fn send(&self, id: SocketId, buf: Vec<u8>) {
        assert!(!buf.is_empty(), "a send of no bytes");
        let mut core = self.0.borrow_mut();
        let Some(socket) = core.sockets.get(id) else { return };
        assert!(socket.sending.is_none(), "a socket has one send at a time");
        socket.sending = Some(Sending { buf, sent: 0 });
        let entry = core.sockets.send_entry(id.index());
        // SAFETY: the bytes are in the socket's slot until the send has completed, on the heap,
        // and nobody touches them meanwhile.
        unsafe { core.push(&[entry]) }
    }

    /// How many bytes of the buffer that is being sent the kernel has taken so far; 0 for none.
    #[must_use]
    pub fn sent(&self, id: SocketId) -> usize {
        let sockets = &mut self.0.borrow_mut().sockets;
        let sending = sockets.get(id).and_then(|socket| socket.sending.as_ref());
        sending.map_or(0, |sending| sending.sent)
    }

    /// Ends the sending half: the other side sees the end after what was sent.
    pub fn shut_down_sending(&self, id: SocketId) {
        let sockets = &mut self.0.borrow_mut().sockets;
        let Some(socket) = sockets.get(id) else { return };
        // SAFETY: the descriptor is open. An error says that the connection is gone already.
        unsafe { libc::shutdown(socket.fd.as_raw_fd(), libc::SHUT_WR) };
    }

    /// Closes the socket, cancelling what is in flight; nothing of it is heard of again.
    pub fn close(&self, id: SocketId) {
        self.0.borrow_mut().close(id);
    }

    /// The next thing that happened on a socket that is still open.
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        self.0.borrow_mut().next_event()
    }

    /// Sockets whose slots are in use, closing ones included.
    #[must_use]
    pub fn socket_count(&self) -> usize {
        self.0.borrow().sockets.slots.len()
    }
}

#[cfg(test)]
mod tests;
