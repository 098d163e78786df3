//! Where an import's records come from.

use std::io::BufRead;
use std::path::Path;

use anyhow::Context as _;
use kvclient::protocol::limits::VALUE_BYTES_MAX;

use crate::encoding::show;
use crate::entry::{Entry, Outcome, Problem, check_lengths};
use crate::format::{Format, Line, Lines};
use crate::progress::Progress;
use crate::tree::{Found, Walk, read_file};

/// What a source has next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// A record.
    Entry(Entry),
    /// Something that is none.
    Problem(Problem),
    /// A directory without entries.
    EmptyDirectory,
}

/// A stream of records.
pub(crate) trait Source {
    /// The next one.
    ///
    /// # Errors
    /// Nothing more can be read.
    fn next(&mut self) -> anyhow::Result<Option<Item>>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next(&mut self) -> anyhow::Result<Option<Item>> {
        (**self).next()
    }
}

/// The files of a tree.
#[derive(Debug)]
pub(crate) struct TreeSource {
    walk: Walk,
    progress: Progress,
    seen: u64,
}

impl TreeSource {
    /// The tree at `root`, which is walked once more before, to know how far there is to go.
    ///
    /// # Errors
    /// If `root` is no directory that can be read.
    pub(crate) fn new(root: &Path, progress: Progress) -> anyhow::Result<Self> {
        let walk = || {
            Walk::new(root)
                .with_context(|| format!("{} cannot be read as a directory", root.display()))
        };
        progress.goal(walk()?.count() as u64);
        Ok(Self { walk: walk()?, progress, seen: 0 })
    }
}

impl Source for TreeSource {
    fn next(&mut self) -> anyhow::Result<Option<Item>> {
        let Some(found) = self.walk.next() else { return Ok(None) };
        self.seen += 1;
        self.progress.at(self.seen);
        let (key, path) = match found {
            Found::File { key, path } => (key, path),
            Found::Problem(problem) => return Ok(Some(Item::Problem(problem))),
            Found::EmptyDirectory => return Ok(Some(Item::EmptyDirectory)),
        };
        let problem = |outcome, why| Item::Problem(Problem::new(outcome, show(&key), why));
        Ok(Some(match read_file(&path, VALUE_BYTES_MAX) {
            Ok(Some(value)) => {
                Item::Entry(Entry { key: key.into(), value: value.into(), expires_at_ms: None })
            }
            Ok(None) => problem(Outcome::Refused, "the file grew past the limit".to_owned()),
            Err(error) => problem(Outcome::Failed, error.to_string()),
        }))
    }
}

/// The lines of a file.
pub(crate) struct LineSource<R, F> {
    lines: Lines<R>,
    format: F,
    progress: Progress,
}

impl<R: BufRead, F: Format> LineSource<R, F> {
    /// The lines of `input`, `bytes` long where that is known.
    pub(crate) fn new(input: R, bytes: Option<u64>, format: F, progress: Progress) -> Self {
        progress.goal(bytes.unwrap_or(0));
        Self { lines: Lines::new(input), format, progress }
    }
}

impl<R: BufRead + Send, F: Format + Send> Source for LineSource<R, F> {
    fn next(&mut self) -> anyhow::Result<Option<Item>> {
        loop {
            let number = self.lines.number() + 1;
            let entry = match self.lines.next().context("cannot read the input")? {
                None => return Ok(None),
                Some(Line::Bytes(b"")) => continue,
                Some(Line::Bytes(line)) => self.format.read(line),
                Some(Line::TooLong) => Err("longer than any record".to_owned()),
            };
            self.progress.at(self.lines.bytes());
            let entry = entry.and_then(|entry| {
                check_lengths(entry.key.len(), entry.value.len() as u64).map(|()| entry)
            });
            return Ok(Some(match entry {
                Ok(entry) => Item::Entry(entry),
                Err(why) => {
                    let what = format!("line {number}");
                    Item::Problem(Problem::new(Outcome::Refused, what, why))
                }
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::format::Tsv;

    fn all(mut source: impl Source) -> Vec<String> {
        std::iter::from_fn(|| source.next().unwrap())
            .map(|item| match item {
                Item::Entry(entry) => format!("{}={}", show(&entry.key), show(&entry.value)),
                Item::Problem(problem) => format!("{}: {}", problem.what, problem.why),
                Item::EmptyDirectory => "(empty)".to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_wrong_line_is_named_and_the_others_are_read() {
        let text = b"a\t1\nwrong\n\n\tno key\nb\t2";
        let source = LineSource::new(&text[..], None, Tsv, Progress::new(true));
        let seen = all(source);
        assert_eq!((seen[0].as_str(), seen[3].as_str()), ("a=1", "b=2"));
        assert!(seen[1].starts_with("line 2: a line has two fields"), "{}", seen[1]);
        assert!(seen[2].starts_with("line 4: the key is empty"), "{}", seen[2]);
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_tree_gives_keys_and_contents() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("d/none")).unwrap();
        fs::write(root.path().join("d/f"), "content").unwrap();
        let source = TreeSource::new(root.path(), Progress::new(true)).unwrap();
        assert_eq!(all(source), ["d/f=content", "(empty)"]);
    }
}
