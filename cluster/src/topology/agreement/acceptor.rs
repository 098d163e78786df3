//! [`Acceptor`]: a voter's promise and what it accepted, for one epoch.
//!
//! - It accepts nothing under a ballot below the one it promised, and promises none below that.
//! - What it says of itself is only said once it is on disk: that is its owner's part.

use schemas::ids::NodeId;

use crate::topology::Encoded;

/// An attempt to have an epoch decided. Greater ones take precedence; no two attempts have the
/// same: a node's rounds only go up, as its own acceptor promises each before anybody hears of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ballot {
    /// Above all that its proposer had heard of.
    pub round: u64,
    /// Its proposer.
    pub node: NodeId,
}

/// What a voter is bound to in one epoch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Acceptor {
    pub(super) promised: Option<Ballot>,
    /// At most `promised`.
    pub(super) accepted: Option<(Ballot, Encoded)>,
}

impl Acceptor {
    /// Promises `ballot`, and says what was accepted before.
    ///
    /// # Errors
    /// The greater ballot that is promised.
    pub(super) fn prepare(&mut self, ballot: Ballot) -> Result<Option<(Ballot, Encoded)>, Ballot> {
        self.promise(ballot)?;
        Ok(self.accepted.clone())
    }

    /// Accepts `value` under `ballot`.
    ///
    /// # Errors
    /// The greater ballot that is promised.
    pub(super) fn accept(&mut self, ballot: Ballot, value: Encoded) -> Result<(), Ballot> {
        self.promise(ballot)?;
        self.accepted = Some((ballot, value));
        Ok(())
    }

    fn promise(&mut self, ballot: Ballot) -> Result<(), Ballot> {
        match self.promised.filter(|promised| *promised > ballot) {
            Some(promised) => Err(promised),
            None => {
                self.promised = Some(ballot);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::sample::{first, node};

    #[test]
    fn it_keeps_what_it_promised_and_tells_what_it_accepted() {
        let ballot = |round, number| Ballot { round, node: node(number) };
        let mut acceptor = Acceptor::default();
        let value = Encoded::new(first());
        assert_eq!(acceptor.prepare(ballot(2, 1)), Ok(None));
        assert_eq!(acceptor.prepare(ballot(1, 9)), Err(ballot(2, 1)));
        assert_eq!(acceptor.accept(ballot(1, 9), value.clone()), Err(ballot(2, 1)));
        assert_eq!(acceptor.prepare(ballot(2, 1)), Ok(None), "a message that came twice");
        assert_eq!(acceptor.prepare(ballot(2, 2)), Ok(None));
        assert_eq!(acceptor.accept(ballot(2, 1), value.clone()), Err(ballot(2, 2)));
        assert_eq!(acceptor.accept(ballot(3, 1), value.clone()), Ok(()));
        assert_eq!(acceptor.prepare(ballot(2, 2)), Err(ballot(3, 1)), "accepting promises, too");
        assert_eq!(acceptor.prepare(ballot(4, 2)), Ok(Some((ballot(3, 1), value))));
    }
}
