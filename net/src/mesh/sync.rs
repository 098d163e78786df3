//! The standard library's atomics under the names that `spsc` and `port` use; tests put those of a
//! model checker in their place.

use std::cell;
pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, fence};

/// A cell whose accesses a model checker can watch; here it costs nothing.
#[derive(Debug)]
pub(super) struct UnsafeCell<T>(cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(cell::UnsafeCell::new(value))
    }

    /// Gives `access` the pointer to write through; whoever follows it answers for it.
    #[inline]
    pub(super) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}
