//! A node's part in operations: whether it may answer for a vnode, what it stores, what it has.

mod asked;
mod fence;
mod read_path;
mod scan_path;
mod write_path;

pub(crate) use self::asked::Ask;
pub(crate) use self::fence::{fence_own, fence_peer};
pub(crate) use self::read_path::{got, read};
pub(crate) use self::scan_path::scan;
pub(crate) use self::write_path::{durable, hint, taken, write};
