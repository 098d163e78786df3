//! The decision where a replay stops: pure, one row a case.
//!
//! A scan takes batches as long as each has the sequence that should come. Whatever stops it (a
//! bad sum, another segment's bytes, zeros, the end of the file), what lies behind decides:
//!
//! | case | this segment shows | next segment begins | batches behind | decision |
//! |---|---|---|---|---|
//! | A | no batch of its own | - | none | the log ends here |
//! | B | a torn batch of its own | - | none | its end was never acknowledged: drop it |
//! | C | anything | where we are | any | an earlier start dropped this tail: go on there |
//! | D | anything | - | the first of them is where we are, all between is settled | go on there |
//! | E | anything | - | none knew what is missing to be durable | unsynced: drop them all |
//! | F | anything | - | one knew what is missing to be durable | acknowledged and damaged: stop |
//!
//! "Where we are" is the first sequence that is missing; sequences that are *settled* (in tables
//! already, or given up by a repair) do not count as missing. C comes before D to F: a segment is
//! begun by every start of a log, at the sequence that follows what it found, so where one begins
//! everything before it was decided then. (Were a dropped tail looked at again, a batch that
//! reached the disk late could come back.) A damaged last batch that nothing follows, not even a
//! seal, cannot be told from one that was torn: case B.

use super::Sequence;

/// What is known where a scan stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stop {
    /// The first sequence that has not come and is not settled.
    pub(super) missing: Sequence,
    /// There are bytes of a batch of this segment that cannot be used.
    pub(super) torn: bool,
    /// The sequence at the beginning of the next segment that has one.
    pub(super) next_segment: Option<Sequence>,
    /// The least sequence among valid batches behind.
    pub(super) behind: Option<Sequence>,
    /// What those batches, all together, knew to be durable.
    pub(super) durable_behind: Sequence,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Case {
    /// A: the log ends here.
    End,
    /// B: drop the torn batch; the log ends here.
    DropTorn,
    /// C: go on at the beginning of the next segment that has one.
    NextSegment,
    /// D: go on at the first batch behind.
    Resume,
    /// E: drop everything behind; the log ends here.
    DropUnsynced,
    /// F: acknowledged batches are missing.
    Damaged,
}

/// Decides.
pub(super) fn decide(stop: &Stop) -> Case {
    if stop.next_segment.is_some_and(|first| first <= stop.missing) {
        return Case::NextSegment;
    }
    match stop.behind {
        None if stop.torn => Case::DropTorn,
        None => Case::End,
        Some(first) if first <= stop.missing => Case::Resume,
        Some(_) if stop.durable_behind >= stop.missing => Case::Damaged,
        Some(_) => Case::DropUnsynced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table() {
        // (torn, next segment, first behind, durable behind) where 10 is missing
        let rows = [
            ('A', false, None, None, 0, Case::End),
            ('B', true, None, None, 0, Case::DropTorn),
            ('C', false, Some(10), None, 0, Case::NextSegment),
            ('C', true, Some(10), Some(11), 9, Case::NextSegment),
            ('C', true, Some(7), Some(11), 9, Case::NextSegment),
            ('D', true, None, Some(10), 9, Case::Resume),
            ('D', false, None, Some(8), 9, Case::Resume),
            ('D', true, Some(20), Some(10), 19, Case::Resume),
            ('E', true, None, Some(11), 9, Case::DropUnsynced),
            ('E', false, None, Some(30), 0, Case::DropUnsynced),
            ('F', true, None, Some(11), 10, Case::Damaged),
            ('F', false, None, Some(11), 10, Case::Damaged),
            ('F', false, Some(11), Some(11), 10, Case::Damaged),
            ('F', true, Some(20), Some(12), 19, Case::Damaged),
        ];
        for (letter, torn, next, behind, durable, expected) in rows {
            let stop = Stop {
                missing: Sequence(10),
                torn,
                next_segment: next.map(Sequence),
                behind: behind.map(Sequence),
                durable_behind: Sequence(durable),
            };
            assert_eq!(decide(&stop), expected, "case {letter}: {stop:?}");
        }
    }
}
