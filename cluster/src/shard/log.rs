//! [`Log`]: how far the store's disk is behind what the store has taken.
//!
//! A replica takes a write in one epoch of its vnode and has it on disk in the next, where a
//! successor may ask what there is. It is told only when all is on disk that was taken in epochs
//! before: those writes count without the successor.

/// How much the store has taken, and how much of it is on disk.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Log {
    taken: u64,
    durable: u64,
    /// What was taken before the topology of now.
    former: u64,
}

impl Log {
    /// The store has taken something.
    #[inline]
    pub(crate) fn taken(&mut self) {
        self.taken += 1;
    }

    /// What it took first of what is not on disk is on disk.
    ///
    /// # Panics
    /// If the driver tells of more than was taken.
    #[inline]
    pub(crate) fn durable(&mut self) {
        assert!(self.durable < self.taken, "on disk is what was taken");
        self.durable += 1;
    }

    /// Another topology is gone by from now on.
    pub(crate) fn epoch_begins(&mut self) {
        self.former = self.taken;
    }

    /// Whether all is on disk that was taken before the topology of now.
    pub(crate) fn has_former(&self) -> bool {
        self.durable >= self.former
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_before_the_topology_of_now_is_waited_for_and_nothing_else() {
        let mut log = Log::default();
        assert!(log.has_former());
        (0..3).for_each(|_| log.taken());
        log.durable();
        log.epoch_begins();
        log.taken();
        assert!(!log.has_former());
        log.durable();
        assert!(!log.has_former());
        log.durable();
        assert!(log.has_former(), "the last was taken later");
    }
}
