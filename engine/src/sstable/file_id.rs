//! [`FileId`]: the name of a table file, unique in a node for ever.
//!
//! ```text
//! | generation 16 bits | shard 16 bits | number 32 bits |
//! ```
//! A file keeps its id when it is hard-linked into another shard's directory: its sums are seeded
//! with it.

use std::fmt;

use schemas::ids::ShardId;

/// Names a table file, for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u64);

impl FileId {
    /// The `number`-th file of `shard` in `generation` of the data directory.
    #[must_use]
    pub fn new(generation: u16, shard: ShardId, number: u32) -> Self {
        Self(u64::from(generation) << 48 | u64::from(shard.0) << 32 | u64::from(number))
    }

    /// Its number among the files of the shard that made it.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0 as u32
    }

    /// The file's name in its directory.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{self}.sst")
    }

    /// The id that a file name tells; `None` for the name of anything else.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".sst").filter(|digits| digits.len() == 16)?;
        let id = Self(u64::from_str_radix(digits, 16).ok()?);
        (id.file_name() == name).then_some(id)
    }

    /// Whether a file of this name is a table that was not written to its end.
    #[must_use]
    pub fn names_unfinished(name: &str) -> bool {
        name.strip_suffix(".tmp").and_then(Self::from_file_name).is_some()
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_id() {
        let id = FileId::new(1, ShardId(2), 3);
        assert_eq!(id.file_name(), "0001000200000003.sst");
        assert_eq!(FileId::from_file_name("0001000200000003.sst"), Some(id));
        assert_eq!(id.number(), 3);
        for other in [
            "MANIFEST",
            "0001000200000003",
            "0001000200000003.sst.tmp",
            "000100020000003.sst",
            "000100020000000A.sst",
            "+001000200000003.sst",
            "00010002000000003.sst",
        ] {
            assert_eq!(FileId::from_file_name(other), None, "{other}");
            assert_eq!(FileId::names_unfinished(other), other.ends_with(".tmp"), "{other}");
        }
    }
}
