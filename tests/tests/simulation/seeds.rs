//! Seeds that found something once, each with its story.

/// A run that failed once.
pub(crate) struct Kept {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) seconds: u64,
    pub(crate) story: &'static str,
}

pub(crate) const KEPT: &[Kept] = &[Kept {
    seed: 2,
    nodes: 5,
    seconds: 600,
    story: "P2: a forwarded write that arrived twice was written twice, the second time with a \
            later stamp than what had overwritten the first",
}];
