//! [`Watermark`]: up to which key, in the order in which they were begun, all writes have ended
//! well. A transfer that ended early can go on behind it.

use std::collections::VecDeque;

use kvclient::Bytes;

/// The writes that were begun after the first one that has not ended, in order.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    /// Each key, and whether its write has ended.
    writes: VecDeque<(Bytes, bool)>,
    last: Option<Bytes>,
    /// One has failed: nothing behind it counts.
    stuck: bool,
}

impl Watermark {
    /// A write of `key` was begun; none of that key is under way.
    pub(super) fn begun(&mut self, key: Bytes) {
        if !self.stuck {
            self.writes.push_back((key, false));
        }
    }

    /// The write of `key` that was under way has ended, well or not.
    pub(super) fn ended(&mut self, key: &[u8], well: bool) {
        // Its write is the one under way: of one key there may be others, which have ended.
        let write = self.writes.iter_mut().find(|(it, ended)| it == key && !*ended);
        if let Some((_, ended)) = write {
            *ended = true;
        }
        if !well && !self.stuck {
            self.stuck = true;
            let failed = self.writes.iter().rposition(|(it, _)| it == key);
            self.writes.truncate(failed.unwrap_or(0));
        }
        while let Some((key, _)) = self.writes.pop_front_if(|(_, ended)| *ended) {
            self.last = Some(key);
        }
    }

    /// Writes that it remembers.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// The last key up to which all have ended well; `None`: not even the first has.
    pub(super) fn last(&self) -> Option<Bytes> {
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(keys: &[&'static str]) -> Watermark {
        let mut watermark = Watermark::default();
        keys.iter().for_each(|&key| watermark.begun(Bytes::from(key)));
        watermark
    }

    #[test]
    fn it_rises_when_all_before_have_ended() {
        let mut watermark = begun(&["a", "b", "c"]);
        watermark.ended(b"b", true);
        assert_eq!(watermark.last(), None);
        watermark.ended(b"a", true);
        assert_eq!((watermark.last(), watermark.len()), (Some("b".into()), 1));
        watermark.begun("b".into());
        watermark.ended(b"b", true);
        assert_eq!(watermark.last(), Some("b".into()), "c has not ended");
        watermark.ended(b"c", true);
        assert_eq!((watermark.last(), watermark.len()), (Some("b".into()), 0));
    }

    #[test]
    fn nothing_behind_a_failure_counts() {
        let mut watermark = begun(&["a", "b", "c", "d"]);
        watermark.ended(b"c", false);
        watermark.ended(b"d", true);
        watermark.ended(b"b", true);
        assert_eq!(watermark.last(), None);
        watermark.begun("e".into());
        watermark.ended(b"a", true);
        watermark.ended(b"e", true);
        assert_eq!((watermark.last(), watermark.len()), (Some("b".into()), 0));
    }
}
