//! What placement promises: one by one on documents made for it, and all of it through histories of
//! random changes; what it decides is kept as golden vectors.

mod check;
mod flow;
mod golden;
mod history;
mod plans;
mod promises;
mod spread;
pub(super) mod support;
