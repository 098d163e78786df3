//! The repository tests itself: `cargo test -p tests --test repo`.
//!
//! A rule is a pure function from text to findings. It comes with two tests: one that it keeps
//! quiet on the repository, one that it speaks up on a bad snippet; a rule that cannot fail is
//! worth nothing.
//!
//! | module | rules |
//! |---|---|
//! | `layering` | who may depend on whom; the workspace's lints reach every package |
//! | `shape` | length of files, functions, lines; ASCII; what a `mod.rs` may hold |
//! | `safety` | `unsafe` and glommio in named files only, a note at each site, no `allow` |
//! | `documents` | each crate has its DESIGN.md; every exit status is explained |
//! | `generated` | generated code belongs to the schemas it lies beside |
//! | `words` | names that say nothing, unfinished work, paths of one machine |

mod documents;
mod generated;
mod layering;
mod rust;
mod safety;
mod shape;
mod sources;
mod words;
