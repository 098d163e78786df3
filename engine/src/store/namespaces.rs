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
    /// [full compaction](Store::compact_all), which begins by itself. A start that comes before its
    /// end does not begin it again: then it has to be asked for. Whether blocks are compressed is
    /// decided as they are written.
    pub fn set_namespaces(&mut self, namespaces: Arc<Namespaces>) {
        let drops = namespaces.drops_more_than(&self.config.namespaces);
        self.config.namespaces = namespaces;
        if drops {
            self.vnodes.forget_leaves();
            self.compact_all();
        }
    }
}
