//! How many replicas must answer.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

/// The consistency level of one request: the replicas that must answer before it is done.
///
/// On the wire it is a byte: 0 for the namespace's default, 1 to 127 for that many replicas, from
/// 128 the named levels. `ONE`, `TWO` and `THREE` are the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Consistency {
    /// What the namespace says.
    #[default]
    Default,
    /// This many replicas, at most 127.
    Count(NonZeroU8),
    /// A majority of all replicas.
    Quorum,
    /// Every replica.
    All,
    /// One replica in the coordinator's data centre.
    LocalOne,
    /// A majority of the replicas in the coordinator's data centre.
    LocalQuorum,
    /// A majority of the replicas in each data centre.
    EachQuorum,
}

impl Consistency {
    /// One replica.
    pub const ONE: Self = Self::Count(NonZeroU8::MIN);

    /// This many replicas; `None` for 0 and for more than 127.
    #[must_use]
    pub fn count(replicas: u8) -> Option<Self> {
        NonZeroU8::new(replicas).filter(|n| n.get() < 128).map(Self::Count)
    }

    /// The byte on the wire. A count over 127, which [`Consistency::count`] never makes, becomes
    /// 127.
    #[inline]
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Count(n) if n.get() > 127 => 127,
            Self::Count(n) => n.get(),
            Self::Quorum => 128,
            Self::All => 129,
            Self::LocalOne => 130,
            Self::LocalQuorum => 131,
            Self::EachQuorum => 132,
        }
    }

    /// The level that `byte` names; `None` for a name this version does not know.
    #[inline]
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Default,
            128 => Self::Quorum,
            129 => Self::All,
            130 => Self::LocalOne,
            131 => Self::LocalQuorum,
            132 => Self::EachQuorum,
            133..=255 => return None,
            n => match NonZeroU8::new(n) {
                Some(n) => Self::Count(n),
                None => Self::Default,
            },
        })
    }

    /// Whether it is about the coordinator's data centre alone.
    #[must_use]
    pub const fn is_local(self) -> bool {
        matches!(self, Self::LocalOne | Self::LocalQuorum)
    }

    /// Replicas that must answer where one data centre holds `copies` of each key; `None` where
    /// that cannot be met.
    #[must_use]
    pub fn needed(self, copies: u8) -> Option<u8> {
        let quorum = copies / 2 + 1;
        let needed = match self {
            Self::Count(n) => n.get(),
            Self::LocalOne => 1,
            Self::All => copies,
            Self::Default | Self::Quorum | Self::LocalQuorum | Self::EachQuorum => quorum,
        };
        (needed <= copies).then_some(needed)
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("DEFAULT"),
            Self::Count(n) => match n.get() {
                1 => f.write_str("ONE"),
                2 => f.write_str("TWO"),
                3 => f.write_str("THREE"),
                n => write!(f, "{n}"),
            },
            Self::Quorum => f.write_str("QUORUM"),
            Self::All => f.write_str("ALL"),
            Self::LocalOne => f.write_str("LOCAL_ONE"),
            Self::LocalQuorum => f.write_str("LOCAL_QUORUM"),
            Self::EachQuorum => f.write_str("EACH_QUORUM"),
        }
    }
}

/// A text that names no consistency level.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no consistency level: use ONE, TWO, THREE, QUORUM, ALL, LOCAL_ONE, LOCAL_QUORUM, \
     EACH_QUORUM, DEFAULT or a number from 1 to 127"
)]
pub struct ParseConsistencyError(String);

impl FromStr for Consistency {
    type Err = ParseConsistencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let level = match text.to_ascii_uppercase().replace('-', "_").as_str() {
            "DEFAULT" => Some(Self::Default),
            "ONE" => Self::count(1),
            "TWO" => Self::count(2),
            "THREE" => Self::count(3),
            "QUORUM" => Some(Self::Quorum),
            "ALL" => Some(Self::All),
            "LOCAL_ONE" => Some(Self::LocalOne),
            "LOCAL_QUORUM" => Some(Self::LocalQuorum),
            "EACH_QUORUM" => Some(Self::EachQuorum),
            number => number.parse().ok().and_then(Self::count),
        };
        level.ok_or_else(|| ParseConsistencyError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_a_text_and_a_level_name_each_other() {
        for byte in 0..=u8::MAX {
            let Some(level) = Consistency::from_byte(byte) else {
                assert!(byte > 132);
                continue;
            };
            assert_eq!(level.to_byte(), byte);
            assert_eq!(level.to_string().parse(), Ok(level));
        }
    }

    #[test]
    fn texts_that_name_no_level_are_refused() {
        for text in ["", "0", "128", "-1", "MOST", "QUORUM "] {
            assert!(text.parse::<Consistency>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_level_needs_what_its_name_says() {
        let needed =
            |text: &str, copies| text.parse::<Consistency>().expect("a level").needed(copies);
        assert_eq!(needed("QUORUM", 1), Some(1));
        assert_eq!(needed("QUORUM", 3), Some(2));
        assert_eq!(needed("QUORUM", 4), Some(3));
        assert_eq!(needed("ALL", 5), Some(5));
        assert_eq!(needed("THREE", 3), Some(3));
        assert_eq!(needed("THREE", 2), None);
    }
}
