//! What changes when the store is told of namespaces anew.

use std::sync::Arc;

use super::Store;
use crate::env::Env;
use crate::namespaces::Namespaces;

impl<E: Env> Store<E> {
    /// Tells the store of namespaces, in place of what it was told before; at an open
    /// [`StoreConfig::namespaces`](super::StoreConfig::namespaces) does.
    ///
    /// Records of a namespace that is dropped now are not seen by what is asked from this call on,
    /// and puts of it are refused. What they take of the disk is given back by a
    /// [full compaction](Store::compact_all), which begins by itself, and again at a start that
    /// comes before its end. Whether blocks are compressed is decided as they are written.
    pub fn set_namespaces(&mut self, namespaces: Arc<Namespaces>) {
        let drops = namespaces.drops_more_than(&self.config.namespaces);
        self.config.namespaces = namespaces;
        if drops {
            self.vnodes.forget_leaves();
            self.purge_namespaces();
        }
    }

    /// Has the records of dropped namespaces removed from tables, unless they are.
    pub(super) fn purge_namespaces(&mut self) {
        let dropped = self.config.namespaces.dropped_print();
        if dropped != 0 && dropped != self.version.purged() {
            self.compact_all();
        }
    }
}
