//! Lines of a stream, with bounded memory.

use std::io::{self, BufRead};

use crate::limits::LINE_BYTES_MAX;

/// A line of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line<'a> {
    /// Its bytes, without the newline.
    Bytes(&'a [u8]),
    /// It was longer than any record's; its bytes were skipped.
    TooLong,
}

/// Reads lines, of [`LINE_BYTES_MAX`] bytes at most.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// The number of the line read last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; `None` at the end. The last line may lack its newline.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        self.number += 1;
        let (mut any, mut too_long) = (false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let newline = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..newline.unwrap_or(buffer.len())];
            too_long |= self.line.len() + part.len() > LINE_BYTES_MAX;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(newline.is_some());
            self.input.consume(taken);
            self.bytes += taken as u64;
            if newline.is_some() {
                break;
            }
        }
        Ok(any.then_some(if too_long { Line::TooLong } else { Line::Bytes(&self.line) }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _};

    use super::*;

    fn all(input: impl BufRead) -> Vec<Result<Vec<u8>, u64>> {
        let mut lines = Lines::new(input);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push(match line {
                Line::Bytes(bytes) => Ok(bytes.to_vec()),
                Line::TooLong => Err(0),
            });
            if seen.last() == Some(&Err(0)) {
                *seen.last_mut().unwrap() = Err(lines.number());
            }
        }
        seen
    }

    #[test]
    fn lines_are_cut_at_newlines_however_the_stream_is_cut() {
        let text = b"one\n\ntwo\nlast";
        for capacity in [1, 2, 3, 64] {
            let lines = all(BufReader::with_capacity(capacity, &text[..]));
            let wanted = ["one", "", "two", "last"].map(|line| Ok(line.as_bytes().to_vec()));
            assert_eq!(lines, wanted);
        }
        assert!(all(&b""[..]).is_empty());
        assert_eq!(all(&b"a\n"[..]).len(), 1, "a newline ends a line and starts none");
    }

    #[test]
    fn a_line_without_end_is_skipped_and_the_next_one_read() {
        let long = io::repeat(b'x').take(LINE_BYTES_MAX as u64 + 1);
        let lines = all(BufReader::new(long.chain(&b"\nnext"[..])));
        assert_eq!(lines, [Err(1), Ok(b"next".to_vec())]);
        let fits = io::repeat(b'x').take(LINE_BYTES_MAX as u64);
        assert!(
            matches!(all(BufReader::new(fits))[..], [Ok(ref line)] if line.len() == LINE_BYTES_MAX)
        );
    }
}
