//! What all nodes must agree on: who is a member, which namespaces there are, and who owns each
//! vnode.

mod document;
#[cfg(test)]
pub(crate) mod fixture;
mod ring;

pub use self::document::{DataCentre, Document, Epoch, Member, Namespace, Policy, Standing};
pub use self::ring::{MemberIndex, Phase, Ring, Slot};
