//! What a power cut leaves of what was not synced.

use fastrand::Rng;

use super::content::{Change, Content};

/// A class of outcomes of a power cut. Which one of the class is drawn from a seed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Crash {
    /// Nothing that was not synced is there.
    LoseAll,
    /// Everything is there, even what was still in flight.
    KeepAll,
    /// Of each file, and of the names, the first so many changes.
    Prefix,
    /// As `Prefix`, and of the first change of a file that is lost some sectors are there.
    Torn,
    /// Each sector and each name for itself.
    Random,
    /// All names and all sizes, none of the bytes: files are zeros where they grew.
    ZeroFilled,
}

impl Crash {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::LoseAll, Self::KeepAll, Self::Prefix, Self::Torn, Self::Random, Self::ZeroFilled];

    /// Which of `count` changes of names are kept.
    pub(super) fn names(self, count: usize, rng: &mut Rng) -> Vec<bool> {
        match self {
            Self::LoseAll => vec![false; count],
            Self::KeepAll | Self::ZeroFilled => vec![true; count],
            Self::Prefix | Self::Torn => {
                let kept = rng.usize(..=count);
                (0..count).map(|index| index < kept).collect()
            }
            Self::Random => (0..count).map(|_| rng.bool()).collect(),
        }
    }

    /// Applies to `durable` what is left of `changes`, oldest first.
    pub(super) fn content(self, durable: &mut Content, changes: &[&Change], rng: &mut Rng) {
        match self {
            Self::LoseAll => {}
            Self::KeepAll => changes.iter().for_each(|change| durable.apply(change)),
            Self::Prefix => {
                let kept = rng.usize(..=changes.len());
                changes[..kept].iter().for_each(|change| durable.apply(change));
            }
            Self::Torn => {
                let kept = rng.usize(..=changes.len());
                changes[..kept].iter().for_each(|change| durable.apply(change));
                if let Some(torn) = changes.get(kept) {
                    durable.apply_sectors(torn, tear(torn.sectors(), rng));
                }
            }
            Self::Random => {
                for change in changes {
                    durable.apply_sectors(change, |_| rng.bool());
                }
            }
            Self::ZeroFilled => {
                for change in changes {
                    durable.extend_to(change.end);
                }
            }
        }
    }
}

/// Chooses some of `sectors`: those before a point, those from it on, or any.
pub(super) fn tear(sectors: usize, rng: &mut Rng) -> impl FnMut(usize) -> bool + use<'_> {
    let (shape, point) = (rng.u8(..3), rng.usize(..=sectors));
    move |sector| match shape {
        0 => sector < point,
        1 => sector >= point,
        _ => rng.bool(),
    }
}
