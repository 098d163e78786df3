//! Everything that tests more than one crate: the repository's own rules, and the real server
//! under kill -9. `DESIGN.md` says which is which and why.
