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

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 43] = [
        Self::AckBeforeQuorum,
        Self::AckBeforeOwnDisk,
        Self::AckBeforeReplicaDisk,
        Self::CountRefusals,
        Self::CountDoubledAnswers,
        Self::StrictCountsStandIns,
        Self::TimeoutIsFailure,
        Self::SendBeforeOwnStore,
        Self::BeginTwice,
        Self::IgnoreSeenStamp,
        Self::ReuseDots,
        Self::ForgetSentHint,
        Self::ForgetHintsAtStart,
        Self::HintsReplaceNewer,
        Self::DropNewerHint,
        Self::ReadBelowQuorum,
        Self::IgnoreNewerDigest,
        Self::ReadFirstData,
        Self::RepairWithoutWaiting,
        Self::LastArrivalWins,
        Self::TombstoneLoses,
        Self::JoinAfterPage,
        Self::JoinLaterClock,
        Self::CompareOneLeaf,
        Self::CompareKeysAlone,
        Self::VoidWithoutGivers,
        Self::NewerIsJoined,
        Self::LossKeepsClock,
        Self::DropSibling,
        Self::ServeOldEpoch,
        Self::CountSuccessors,
        Self::SettleEarly,
        Self::FinishEarly,
        Self::DecideWithMinority,
        Self::ForgetPromise,
        Self::DocumentGoesBack,
        Self::PurgeBelowNoHorizon,
        Self::PromiseIgnoresHints,
        Self::HorizonWithoutAllOwners,
        Self::ExpiredUncoversOlder,
        Self::LateRecordIsStored,
        Self::CopyBelowHorizonServes,
        Self::ScanToLongest,
    ];

    /// What it is called, and what is wrong with it on.
    #[must_use]
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::AckBeforeQuorum => {
                ("ack-before-quorum", "a write is acknowledged when one copy has it")
            }
            Self::AckBeforeOwnDisk => {
                ("ack-before-own-disk", "a coordinator counts its copy before its disk has it")
            }
            Self::AckBeforeReplicaDisk => {
                ("ack-before-replica-disk", "a replica answers a write before its disk has it")
            }
            Self::CountRefusals => ("count-refusals", "a replica that refused counts"),
            Self::CountDoubledAnswers => {
                ("count-doubled-answers", "an answer that comes twice counts for two copies")
            }
            Self::StrictCountsStandIns => {
                ("strict-counts-stand-ins", "stand-ins count for strict writes")
            }
            Self::TimeoutIsFailure => {
                ("timeout-is-failure", "a write whose time is over is told to have failed")
            }
            Self::SendBeforeOwnStore => {
                ("send-before-own-store", "others have a write that the own store may refuse")
            }
            Self::BeginTwice => {
                ("begin-twice", "a forwarded request that arrives twice is begun twice")
            }
            Self::IgnoreSeenStamp => {
                ("ignore-seen-stamp", "a stamp may be below what its client has seen")
            }
            Self::ReuseDots => ("reuse-dots", "a node gives the same dots in each of its lives"),
            Self::ForgetSentHint => ("forget-sent-hint", "a hint is forgotten once it was sent"),
            Self::ForgetHintsAtStart => {
                ("forget-hints-at-start", "a node that starts does not look for hints")
            }
            Self::HintsReplaceNewer => {
                ("hints-replace-newer", "a hint takes the place of a newer one")
            }
            Self::DropNewerHint => {
                ("drop-newer-hint", "a hint is dropped though a newer one has its place")
            }
            Self::ReadBelowQuorum => ("read-below-quorum", "one answer is enough for a read"),
            Self::IgnoreNewerDigest => {
                ("ignore-newer-digest", "what another copy has that is newer is not fetched")
            }
            Self::ReadFirstData => ("read-first-data", "a read tells the first data that comes"),
            Self::RepairWithoutWaiting => {
                ("repair-without-waiting", "a read that is to repair first does not wait")
            }
            Self::LastArrivalWins => {
                ("last-arrival-wins", "what a store was given last replaces what is newer")
            }
            Self::TombstoneLoses => ("tombstone-loses", "a tombstone loses against any value"),
            Self::JoinAfterPage => {
                ("join-after-page", "a comparison joins the clock behind its first page")
            }
            Self::JoinLaterClock => ("join-later-clock", "a comparison joins the clock of its end"),
            Self::CompareOneLeaf => {
                ("compare-one-leaf", "a comparison looks at one leaf that differs")
            }
            Self::CompareKeysAlone => {
                ("compare-keys-alone", "a comparison takes records of one key for equal")
            }
            Self::VoidWithoutGivers => {
                ("void-without-givers", "counters are void, though hints may have them")
            }
            Self::NewerIsJoined => {
                ("newer-is-joined", "a set is taken to be stored where a greater version is")
            }
            Self::LossKeepsClock => {
                ("loss-keeps-clock", "what was seen of a vnode counts though some of it is lost")
            }
            other => other.describe_more(),
        }
    }

    /// As above, of the topology and of what is purged, and of pages.
    fn describe_more(self) -> (&'static str, &'static str) {
        match self {
            Self::DropSibling => ("drop-sibling", "of concurrent values the newest alone stays"),
            Self::ServeOldEpoch => {
                ("serve-old-epoch", "a replica serves an older epoch of a vnode than its own")
            }
            Self::CountSuccessors => {
                ("count-successors", "a successor counts as the reader that it is to replace")
            }
            Self::SettleEarly => ("settle-early", "vnodes settle before successors have caught up"),
            Self::FinishEarly => {
                ("finish-early", "vnodes are stable before those that gave them away know it")
            }
            Self::DecideWithMinority => {
                ("decide-with-minority", "half of the voters, or less, decide an epoch")
            }
            Self::ForgetPromise => {
                ("forget-promise", "a voter that starts has forgotten what it is bound to")
            }
            Self::DocumentGoesBack => {
                ("document-goes-back", "a node takes an older document for the newer one")
            }
            Self::PurgeBelowNoHorizon => {
                ("purge-below-no-horizon", "what is dead is purged at once")
            }
            Self::PromiseIgnoresHints => {
                ("promise-ignores-hints", "a node promises in spite of what it keeps for others")
            }
            Self::HorizonWithoutAllOwners => {
                ("horizon-without-all-owners", "a horizon advances when one owner has all")
            }
            Self::ExpiredUncoversOlder => {
                ("expired-uncovers-older", "what is past its time is gone before all have it")
            }
            Self::LateRecordIsStored => {
                ("late-record-is-stored", "a record below the horizon is merged as any")
            }
            Self::CopyBelowHorizonServes => {
                ("copy-below-horizon-serves", "a copy takes a horizon that it has not all of")
            }
            Self::ScanToLongest => {
                ("scan-to-longest", "a page of a scan goes as far as any answer")
            }
            other => unreachable!("{other:?} is described above"),
        }
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
