//! Runs that found something once, each with its story.
//!
//! A seed is another run once the simulator draws otherwise; a scenario that `kvsim shrink` wrote
//! draws nothing but chance itself.

/// A run that failed once.
pub(crate) struct Kept {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) seconds: u64,
    /// What the run is like, if it is not drawn.
    pub(crate) scenario: Option<&'static str>,
    pub(crate) story: &'static str,
}

pub(crate) const KEPT: &[Kept] = &[
    Kept {
        seed: 2,
        nodes: 5,
        seconds: 600,
        scenario: None,
        story: "P2: a forwarded write that arrived twice was written twice, the second time with \
                a later stamp than what had overwritten the first",
    },
    Kept {
        seed: 54,
        nodes: 5,
        seconds: 600,
        scenario: None,
        story: "P4: two tombstones of one key had one stamp; leaves whose hashes leave out dots \
                were equal, and copies differed for ever. It was the model's fault: the \
                engine's have them",
    },
    Kept {
        seed: 14,
        nodes: 5,
        seconds: 600,
        scenario: None,
        story: "P4, clocks: a node that had given a vnode away asked for a comparison and left; \
                its successor tried it again and again, and compared with nobody else any more",
    },
    Kept {
        seed: 11,
        nodes: 3,
        seconds: 1,
        scenario: Some(include_str!("../../scenarios/kept/doubled-page.toml")),
        story: "assertion: a page of a comparison that arrived twice, the second time while the \
                session read its own records of the next leaf",
    },
    Kept {
        seed: 113,
        nodes: 4,
        seconds: 540,
        scenario: Some(include_str!("../../scenarios/kept/left-before-compared.toml")),
        story: "P4: a node that had left was waited for with what it has, before all others: a \
                vnode was compared with nobody any more",
    },
    Kept {
        seed: 1443,
        nodes: 4,
        seconds: 270,
        scenario: Some(include_str!("../../scenarios/kept/mutual-suspicion.toml")),
        story: "a storm: nodes that suspected each other told each other so with each datagram, \
                and answered each of those, until memory ran out",
    },
    Kept {
        seed: 2033,
        nodes: 2,
        seconds: 600,
        scenario: Some(include_str!("../../scenarios/kept/successor-of-a-loser.toml")),
        story: "P4: a successor asked the owner that had lost part of a vnode again and again, \
                and not the one who had all: neither came to hold it",
    },
    Kept {
        seed: 2451,
        nodes: 4,
        seconds: 168,
        scenario: Some(include_str!("../../scenarios/kept/over-in-a-newer-set.toml")),
        story: "P4: a value whose time was over below the horizon had been purged where it was \
                alone, and stood elsewhere in a newer set: copies differed for ever",
    },
    Kept {
        seed: 14,
        nodes: 3,
        seconds: 337,
        scenario: Some(include_str!("../../scenarios/kept/giver-below-horizon.toml")),
        story: "P4: who gave a vnode away had missed a horizon, took none any more, and so was \
                compared with in vain by all who had it: horizons stood still",
    },
    Kept {
        seed: 75,
        nodes: 3,
        seconds: 600,
        scenario: Some(include_str!("../../scenarios/kept/streamed-without-room.toml")),
        story: "P4, clocks: the clock of a vnode that was streamed ran out of room, and nothing \
                was called void in it until the next start, or for ever where there is one copy",
    },
    Kept {
        seed: 151,
        nodes: 5,
        seconds: 337,
        scenario: Some(include_str!("../../scenarios/kept/only-copy-lacks-some.toml")),
        story: "P4: the only copy of a vnode lacked what who gave it away had, and compared with \
                nobody: others have no copy",
    },
    Kept {
        seed: 60,
        nodes: 3,
        seconds: 600,
        scenario: Some(include_str!("../../scenarios/kept/loser-without-horizon.toml")),
        story: "P4: a horizon was cleared on disk with the clock, and not in memory: the copy went \
                by what it did not keep, and took no other",
    },
    Kept {
        seed: 149,
        nodes: 3,
        seconds: 303,
        scenario: Some(include_str!("../../scenarios/kept/short-of-a-giver.toml")),
        story: "P4: who fell short of a giver's horizon waited for it to take what was here, and \
                the giver for that one to have all: neither forgot the vnode",
    },
];
