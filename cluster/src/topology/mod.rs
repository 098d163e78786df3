//! What all nodes must agree on: who is a member, which namespaces there are, and who owns each
//! vnode.

pub mod agreement;
mod bytes;
mod change;
mod check;
mod codec;
mod document;
#[cfg(test)]
pub(crate) mod fixture;
mod ring;
#[cfg(test)]
pub(crate) mod sample;
mod scaling;
mod voters;

pub use self::change::{Change, ChangeRefused, ScaleStep, Settings, apply};
pub use self::check::DocumentError;
pub use self::codec::{DecodeError, Encoded};
pub use self::document::{DataCentre, Document, Epoch, Member, Namespace, Policy, Standing};
pub use self::ring::{MemberIndex, Phase, Ring, Slot};
pub use self::scaling::{ScaledDataCentre, Scaling};
