//! What is done to each engine, and how much of it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A piece of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// New keys in order, values of 100 bytes, not synced
    LoadOrdered100,
    /// New keys in no order, values of 100 bytes, not synced
    LoadShuffled100,
    /// New keys in order, values of 1 KiB, not synced
    LoadOrdered1k,
    /// New keys in no order, values of 1 KiB, not synced
    LoadShuffled1k,
    /// New keys in no order, values of 100 bytes, 256 at a time made durable
    LoadDurable100,
    /// Known keys whose values are in memory
    ReadCached100,
    /// Known keys, data five times the cache or more, 16 at a time
    ReadMiss1k,
    /// Keys that were never written, the same data
    ReadAbsent1k,
    /// All records of 100 bytes in order
    Scan100,
    /// Known keys as for read-miss1k, beside a writer of 10 MiB/s
    ReadWhileWriting1k,
    /// All keys ten times in no order, values of 1 KiB
    Overwrite1k,
}

/// What a scenario does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    Load { shuffled: bool },
    Read { absent: bool, in_flight: usize },
    ReadBesideWriter { in_flight: usize, puts_per_s: u64 },
    Scan,
    Overwrite { times: u64 },
}

/// How an engine is set up for a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Setup {
    /// Memory for what was written last, in bytes.
    pub(crate) write_memory: usize,
    /// Memory for what was read, in bytes.
    pub(crate) cache: usize,
    /// A put counts when it is on the disk.
    pub(crate) durable: bool,
}

impl Scenario {
    /// All, in the order in which they are run: those that need data after those that make it.
    pub(crate) const ALL: &[Self] = &[
        Self::LoadOrdered100,
        Self::LoadOrdered1k,
        Self::LoadDurable100,
        Self::LoadShuffled100,
        Self::ReadCached100,
        Self::Scan100,
        Self::LoadShuffled1k,
        Self::ReadMiss1k,
        Self::ReadAbsent1k,
        Self::ReadWhileWriting1k,
        Self::Overwrite1k,
    ];

    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("no scenario is skipped").get_name().to_owned()
    }

    /// The scenario that makes the data it begins with; `None` for an empty directory.
    pub(crate) fn base(self) -> Option<Self> {
        match self.work() {
            Work::Load { .. } => None,
            _ if self.value_bytes() == 100 => Some(Self::LoadShuffled100),
            _ => Some(Self::LoadShuffled1k),
        }
    }

    pub(crate) fn value_bytes(self) -> usize {
        match self {
            Self::LoadOrdered100
            | Self::LoadShuffled100
            | Self::LoadDurable100
            | Self::ReadCached100
            | Self::Scan100 => 100,
            _ => 1024,
        }
    }

    pub(crate) fn work(self) -> Work {
        match self {
            Self::LoadOrdered100 | Self::LoadOrdered1k => Work::Load { shuffled: false },
            Self::LoadShuffled100 | Self::LoadShuffled1k | Self::LoadDurable100 => {
                Work::Load { shuffled: true }
            }
            Self::ReadCached100 => Work::Read { absent: false, in_flight: 1 },
            Self::ReadMiss1k => Work::Read { absent: false, in_flight: 16 },
            Self::ReadAbsent1k => Work::Read { absent: true, in_flight: 16 },
            Self::ReadWhileWriting1k => {
                Work::ReadBesideWriter { in_flight: 16, puts_per_s: 10 << 10 }
            }
            Self::Scan100 => Work::Scan,
            Self::Overwrite1k => Work::Overwrite { times: 10 },
        }
    }

    /// Keys that are there, or that a load makes.
    pub(crate) fn keys(self, quick: bool) -> u64 {
        let full = match self.value_bytes() {
            100 => 8_000_000,
            _ => 2_000_000,
        };
        match (self, quick) {
            (Self::LoadDurable100, false) => full / 8,
            (Self::LoadDurable100, true) => full / 16,
            (_, false) => full,
            (_, true) => full / 8,
        }
    }

    /// A quarter of the data for values of 1 KiB is memory, half of it for reads; all of it and
    /// more where everything is to be read from memory.
    pub(crate) fn setup(self, quick: bool) -> Setup {
        let memory = if quick { 64 << 20 } else { 512 << 20 };
        let data = self.keys(quick) as usize * (self.value_bytes() + 64);
        let cache = if self == Self::ReadCached100 { 2 * data } else { memory / 2 };
        Setup { write_memory: memory / 2, cache, durable: self == Self::LoadDurable100 }
    }

    /// How long scenarios that could go on for ever do, in seconds.
    pub(crate) fn seconds(quick: bool) -> f64 {
        if quick { 4.0 } else { 20.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_made_before_it_is_needed_and_all_scenarios_are_run() {
        assert_eq!(Scenario::ALL.len(), Scenario::value_variants().len());
        for (at, scenario) in Scenario::ALL.iter().enumerate() {
            let made = scenario.base().is_none_or(|base| Scenario::ALL[..at].contains(&base));
            assert!(made, "{}", scenario.name());
            for quick in [false, true] {
                if let Some(base) = scenario.base() {
                    assert_eq!(base.keys(quick), scenario.keys(quick));
                }
                let data = scenario.keys(quick) as usize * scenario.value_bytes();
                let misses = matches!(scenario, Scenario::ReadMiss1k | Scenario::ReadAbsent1k);
                assert!(!misses || data >= 5 * scenario.setup(quick).cache);
            }
        }
    }
}
