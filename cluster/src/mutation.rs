//! [`Mutation`]: mistakes that can be switched on, one sentence each, to show that the simulator
//! finds such a mistake when somebody makes it (DeMillo, Lipton and Sayward, "Hints on Test Data
//! Selection", 1978).
//!
//! - None is on unless a simulation asks for it: nothing else sets [`Mutations`].
//! - Each changes one condition at one place, and the place reads as it does without it.

/// A mistake that can be switched on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Mutation {
    /// A write is acknowledged when one copy has it.
    AckBeforeQuorum,
    /// A coordinator counts its own copy that is not on its disk yet.
    AckBeforeOwnDisk,
    /// A replica answers a write that is not on its disk yet.
    AckBeforeReplicaDisk,
    /// A replica that refused a write counts as one that has it.
    CountRefusals,
    /// An answer to a read that comes twice counts for another copy as well.
    CountDoubledAnswers,
    /// Stand-ins count for strict writes.
    StrictCountsStandIns,
    /// A write whose time is over is told to have failed.
    TimeoutIsFailure,
    /// A write is sent to others before the own store has taken it.
    SendBeforeOwnStore,
    /// A forwarded request that arrives twice is begun twice.
    BeginTwice,
    /// A stamp may be below what its client has seen.
    IgnoreSeenStamp,
    /// A node gives the same dots in each of its lives.
    ReuseDots,
    /// A hint is forgotten once it was sent.
    ForgetSentHint,
    /// A node that starts does not look for hints that it kept.
    ForgetHintsAtStart,
    /// A hint for a key takes the place of a newer one.
    HintsReplaceNewer,
    /// A hint is dropped though a newer one has taken its place.
    DropNewerHint,
    /// One answer is enough for a read.
    ReadBelowQuorum,
    /// What another copy has that is newer is not fetched.
    IgnoreNewerDigest,
    /// The first data that comes is what a read tells.
    ReadFirstData,
    /// A read that is to repair first does not wait for it.
    RepairWithoutWaiting,
    /// What a store was given last replaces what is newer.
    LastArrivalWins,
    /// A tombstone loses against any value.
    TombstoneLoses,
    /// A comparison joins the other's clock behind its first page.
    JoinAfterPage,
    /// A comparison joins the clock that the other had at its end.
    JoinLaterClock,
    /// A comparison looks at the first leaf that differs, and at no other.
    CompareOneLeaf,
    /// A comparison takes records of one key for equal.
    CompareKeysAlone,
    /// Counters of an ended life are called void without asking who may have hints.
    VoidWithoutGivers,
    /// A set of siblings counts as stored where a greater version of it is.
    NewerIsJoined,
    /// What was seen of a vnode counts on as seen though some of it was lost.
    LossKeepsClock,
    /// Of concurrent values the newest alone stays.
    DropSibling,
    /// A replica answers and stores in an older epoch of a vnode than its own.
    ServeOldEpoch,
    /// A replica answers reads of a vnode that it has not all of.
    ServeNotHeld,
    /// What a successor has counts as what the reader has that it is to replace.
    CountSuccessors,
    /// Vnodes settle before their successors have caught up.
    SettleEarly,
    /// Vnodes are stable before those that gave them away know it.
    FinishEarly,
    /// An epoch is decided by half of the voters, or less.
    DecideWithMinority,
    /// A voter that starts has forgotten what it promised and accepted.
    ForgetPromise,
    /// A node takes an older document for the newer one.
    DocumentGoesBack,
    /// Tombstones and what is past its time are purged at once.
    PurgeBelowNoHorizon,
    /// A node promises in spite of what it keeps for others.
    PromiseIgnoresHints,
    /// A horizon advances when one owner has all.
    HorizonWithoutAllOwners,
    /// A value whose time is over is purged though not all owners have it.
    ExpiredUncoversOlder,
    /// A record below the horizon is merged as any.
    LateRecordIsStored,
    /// A copy takes a horizon that it has not all of.
    CopyBelowHorizonServes,
    /// A page of a scan goes as far as the answer that goes furthest.
    ScanToLongest,
}

/// Each with its name, and with what is wrong when it is on; in the order of the mistakes.
const DESCRIBED: [(Mutation, &str, &str); 44] = [
    (
        Mutation::AckBeforeQuorum,
        "ack-before-quorum",
        "a write is acknowledged when one copy has it",
    ),
    (
        Mutation::AckBeforeOwnDisk,
        "ack-before-own-disk",
        "a coordinator counts its copy before its disk has it",
    ),
    (
        Mutation::AckBeforeReplicaDisk,
        "ack-before-replica-disk",
        "a replica answers a write before its disk has it",
    ),
    (Mutation::CountRefusals, "count-refusals", "a replica that refused counts"),
    (
        Mutation::CountDoubledAnswers,
        "count-doubled-answers",
        "an answer that comes twice counts for two copies",
    ),
    (
        Mutation::StrictCountsStandIns,
        "strict-counts-stand-ins",
        "stand-ins count for strict writes",
    ),
    (
        Mutation::TimeoutIsFailure,
        "timeout-is-failure",
        "a write whose time is over is told to have failed",
    ),
    (
        Mutation::SendBeforeOwnStore,
        "send-before-own-store",
        "others have a write that the own store may refuse",
    ),
    (Mutation::BeginTwice, "begin-twice", "a forwarded request that arrives twice is begun twice"),
    (
        Mutation::IgnoreSeenStamp,
        "ignore-seen-stamp",
        "a stamp may be below what its client has seen",
    ),
    (Mutation::ReuseDots, "reuse-dots", "a node gives the same dots in each of its lives"),
    (Mutation::ForgetSentHint, "forget-sent-hint", "a hint is forgotten once it was sent"),
    (
        Mutation::ForgetHintsAtStart,
        "forget-hints-at-start",
        "a node that starts does not look for hints",
    ),
    (Mutation::HintsReplaceNewer, "hints-replace-newer", "a hint takes the place of a newer one"),
    (
        Mutation::DropNewerHint,
        "drop-newer-hint",
        "a hint is dropped though a newer one has its place",
    ),
    (Mutation::ReadBelowQuorum, "read-below-quorum", "one answer is enough for a read"),
    (
        Mutation::IgnoreNewerDigest,
        "ignore-newer-digest",
        "what another copy has that is newer is not fetched",
    ),
    (Mutation::ReadFirstData, "read-first-data", "a read tells the first data that comes"),
    (
        Mutation::RepairWithoutWaiting,
        "repair-without-waiting",
        "a read that is to repair first does not wait",
    ),
    (
        Mutation::LastArrivalWins,
        "last-arrival-wins",
        "what a store was given last replaces what is newer",
    ),
    (Mutation::TombstoneLoses, "tombstone-loses", "a tombstone loses against any value"),
    (
        Mutation::JoinAfterPage,
        "join-after-page",
        "a comparison joins the clock behind its first page",
    ),
    (Mutation::JoinLaterClock, "join-later-clock", "a comparison joins the clock of its end"),
    (Mutation::CompareOneLeaf, "compare-one-leaf", "a comparison looks at one leaf that differs"),
    (
        Mutation::CompareKeysAlone,
        "compare-keys-alone",
        "a comparison takes records of one key for equal",
    ),
    (
        Mutation::VoidWithoutGivers,
        "void-without-givers",
        "counters are void, though hints may have them",
    ),
    (
        Mutation::NewerIsJoined,
        "newer-is-joined",
        "a set is taken to be stored where a greater version is",
    ),
    (
        Mutation::LossKeepsClock,
        "loss-keeps-clock",
        "what was seen of a vnode counts though some of it is lost",
    ),
    (Mutation::DropSibling, "drop-sibling", "of concurrent values the newest alone stays"),
    (
        Mutation::ServeOldEpoch,
        "serve-old-epoch",
        "a replica serves an older epoch of a vnode than its own",
    ),
    (
        Mutation::ServeNotHeld,
        "serve-not-held",
        "a replica answers reads of a vnode that it has not all of",
    ),
    (
        Mutation::CountSuccessors,
        "count-successors",
        "a successor counts as the reader that it is to replace",
    ),
    (Mutation::SettleEarly, "settle-early", "vnodes settle before successors have caught up"),
    (
        Mutation::FinishEarly,
        "finish-early",
        "vnodes are stable before those that gave them away know it",
    ),
    (
        Mutation::DecideWithMinority,
        "decide-with-minority",
        "half of the voters, or less, decide an epoch",
    ),
    (
        Mutation::ForgetPromise,
        "forget-promise",
        "a voter that starts has forgotten what it is bound to",
    ),
    (
        Mutation::DocumentGoesBack,
        "document-goes-back",
        "a node takes an older document for the newer one",
    ),
    (Mutation::PurgeBelowNoHorizon, "purge-below-no-horizon", "what is dead is purged at once"),
    (
        Mutation::PromiseIgnoresHints,
        "promise-ignores-hints",
        "a node promises in spite of what it keeps for others",
    ),
    (
        Mutation::HorizonWithoutAllOwners,
        "horizon-without-all-owners",
        "a horizon advances when one owner has all",
    ),
    (
        Mutation::ExpiredUncoversOlder,
        "expired-uncovers-older",
        "what is past its time is gone before all have it",
    ),
    (
        Mutation::LateRecordIsStored,
        "late-record-is-stored",
        "a record below the horizon is merged as any",
    ),
    (
        Mutation::CopyBelowHorizonServes,
        "copy-below-horizon-serves",
        "a copy takes a horizon that it has not all of",
    ),
    (Mutation::ScanToLongest, "scan-to-longest", "a page of a scan goes as far as any answer"),
];

impl Mutation {
    /// All of them.
    pub const ALL: [Self; DESCRIBED.len()] = {
        let mut all = [Self::AckBeforeQuorum; DESCRIBED.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = DESCRIBED[at].0;
            at += 1;
        }
        all
    };

    /// What it is called, and what is wrong with it on.
    #[must_use]
    pub fn describe(self) -> (&'static str, &'static str) {
        let (_, name, mistake) = DESCRIBED[self as usize];
        (name, mistake)
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.describe().0
    }

    /// The one that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A set of mistakes: empty but in a simulation that is to find one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mutations(u64);

impl Mutations {
    /// Whether a mistake is on.
    #[inline]
    #[must_use]
    pub fn has(self, mutation: Mutation) -> bool {
        self.0 >> mutation as u8 & 1 == 1
    }

    /// With one more.
    #[must_use]
    pub fn with(self, mutation: Mutation) -> Self {
        Self(self.0 | 1 << mutation as u8)
    }

    /// Those that are on.
    pub fn iter(self) -> impl Iterator<Item = Mutation> {
        Mutation::ALL.into_iter().filter(move |&it| self.has(it))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_and_a_place_of_its_own() {
        let names: BTreeSet<&str> = Mutation::ALL.into_iter().map(Mutation::name).collect();
        assert_eq!(names.len(), Mutation::ALL.len());
        for (at, mutation) in Mutation::ALL.into_iter().enumerate() {
            assert_eq!(mutation as usize, at);
            assert_eq!(Mutation::named(mutation.name()), Some(mutation));
            let one = Mutations::default().with(mutation);
            assert!(one.iter().eq([mutation]));
        }
        assert_eq!(Mutation::named("none"), None);
        assert_eq!(Mutations::default().iter().count(), 0);
    }
}
