//! Rows one after the other in one piece of memory.

use crate::record::Record;

/// Records that were copied, in the order they were pushed.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// Adds a record.
    pub fn push(&mut self, record: &Record<'_>) {
        let start = self.bytes.len();
        self.bytes.resize(start + record.row_len(), 0);
        record.write_row(&mut self.bytes[start..]);
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all rows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at `index`; `None` past the last.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(Record::from_row(&self.bytes[start..end]).expect("push wrote the row"))
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map_while(|index| self.get(index))
    }
}
