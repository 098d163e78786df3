//! [`Scenario`]: a run as data: what it is like and what goes wrong in it; drawn from a seed, read
//! from a file, or both.

mod bounds;
mod draw;
mod text;

pub use self::draw::{DEFAULT_NODES, DEFAULT_SAFETY, Recipe, Scenario};
pub use self::text::Wrong;
