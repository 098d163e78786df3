//! A history as JSON Lines: one operation a line, behind a first line that names the format.
//!
//! ```text
//! {"kvcore_history":1}
//! {"process":3,"kind":"put","namespace":1,"policy":"lww","key":5,"value":7,...,"outcome":"ok"}
//! ```
//! Fields are those of [`Operation`]; what is nothing is left out, the moment of return of an
//! operation that never did too. A file that was read is a history that can be judged: whatever is
//! wrong with it is told with its line, and no more than a line is read ahead of what is kept.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};
use std::num::{NonZeroU32, NonZeroU64};

use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Version};
use serde::{Deserialize, Serialize};

use super::operation::{Kind, Level, NEVER, Operation, Outcome, Policy};
use super::record::{History, Refused};
use crate::limits::LINE_BYTES_MAX;

/// The format that is written and read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    kvcore_history: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    process: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<NonZeroU32>,
    kind: Kind,
    namespace: u32,
    policy: Policy,
    key: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    value: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_in: Option<Cow<'a, [u64]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_out: Option<Cow<'a, [u64]>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    context_entries: u16,
    #[serde(default, skip_serializing_if = "is_empty")]
    siblings: Cow<'a, [u64]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<Stamp>,
    #[serde(default, skip_serializing_if = "is_zero")]
    seen: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ns: Option<u64>,
    level: Level,
    #[serde(default, skip_serializing_if = "is_false")]
    blocking_repair: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    settled: bool,
    call_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    return_ns: Option<u64>,
    outcome: Outcome,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    hlc: u64,
    node: NonZeroU64,
    boot: u32,
    counter: u64,
}

/// What is wrong with a saved history, and on which line.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct ReadError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    #[source]
    pub error: LineError,
}

/// What is wrong with a line of a saved history.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It could not be read.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// It is too long.
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// It is not the JSON of an operation.
    #[error("{0}")]
    Json(#[source] serde_json::Error),
    /// The first line names no format, or another one.
    #[error("not a history: it begins with {{\"kvcore_history\":{FORMAT}}}")]
    Format,
    /// It is no operation, or none of this history.
    #[error("{0}")]
    Refused(#[source] Refused),
    /// An earlier line wrote the same value.
    #[error("writes {value}, as line {first_line} does: every write has a value of its own")]
    WrittenTwice {
        /// The value.
        value: u64,
        /// The line that wrote it first.
        first_line: u64,
    },
}

/// Writes a history.
///
/// # Errors
///
/// If `out` cannot be written to.
pub fn write(history: &History, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Head { kvcore_history: FORMAT })?;
    out.write_all(b"\n")?;
    for (_, operation) in history.operations() {
        serde_json::to_writer(&mut *out, &Line::of(&operation))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads a history that was written.
///
/// # Errors
///
/// If `input` cannot be read, or is not a history that can be judged.
pub fn read(input: &mut impl BufRead) -> Result<History, ReadError> {
    let mut history = History::new();
    let mut text = Vec::new();
    let mut line = 1;
    let mut next = |line: u64, text: &mut Vec<u8>| {
        read_line(input, text).map_err(|error| ReadError { line, error })
    };
    next(line, &mut text)?;
    let head: Option<Head> = serde_json::from_slice(&text).ok();
    if head.is_none_or(|head| head.kvcore_history != FORMAT) {
        return Err(ReadError { line, error: LineError::Format });
    }
    loop {
        line += 1;
        if !next(line, &mut text)? {
            break;
        }
        let parsed = serde_json::from_slice::<Line<'_>>(&text).map_err(LineError::Json);
        let pushed =
            parsed.and_then(|parsed| history.push(&parsed.operation()).map_err(LineError::Refused));
        pushed.map_err(|error| ReadError { line, error })?;
    }
    if let Some(twice) = history.written_twice() {
        let (first_line, line) = (line_of(twice.operations.0), line_of(twice.operations.1));
        let error = LineError::WrittenTwice { value: twice.value, first_line };
        return Err(ReadError { line, error });
    }
    Ok(history)
}

/// The line of the operation of a number.
fn line_of(number: u32) -> u64 {
    u64::from(number) + 2
}

/// Reads one line without its end; false if there is none.
fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> Result<bool, LineError> {
    text.clear();
    let limit = LINE_BYTES_MAX as u64 + 1;
    input.by_ref().take(limit).read_until(b'\n', text).map_err(LineError::Io)?;
    let is_there = !text.is_empty();
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    if text.len() > LINE_BYTES_MAX { Err(LineError::TooLong) } else { Ok(is_there) }
}

impl<'a> Line<'a> {
    fn of(operation: &Operation<'a>) -> Self {
        let known = |moment: u64| (moment != NEVER).then_some(moment);
        Self {
            process: operation.process,
            session: operation.session,
            kind: operation.kind,
            namespace: operation.namespace.0,
            policy: operation.policy,
            key: operation.key,
            value: operation.value,
            context_in: operation.context_in.map(Cow::Borrowed),
            context_out: operation.context_out.map(Cow::Borrowed),
            context_entries: operation.context_entries,
            siblings: Cow::Borrowed(operation.siblings),
            stamp: operation.stamp.map(Stamp::of),
            seen: operation.seen.0,
            expires_ns: known(operation.expires_ns),
            level: operation.level,
            blocking_repair: operation.blocking_repair,
            settled: operation.settled,
            call_ns: operation.call_ns,
            return_ns: known(operation.return_ns),
            outcome: operation.outcome,
        }
    }

    fn operation(&self) -> Operation<'_> {
        Operation {
            process: self.process,
            session: self.session,
            kind: self.kind,
            namespace: NamespaceId(self.namespace),
            policy: self.policy,
            key: self.key,
            value: self.value,
            context_in: self.context_in.as_deref(),
            context_out: self.context_out.as_deref(),
            context_entries: self.context_entries,
            siblings: &self.siblings,
            stamp: self.stamp.map(Stamp::version),
            seen: Hlc(self.seen),
            expires_ns: self.expires_ns.unwrap_or(NEVER),
            level: self.level,
            blocking_repair: self.blocking_repair,
            settled: self.settled,
            call_ns: self.call_ns,
            return_ns: self.return_ns.unwrap_or(NEVER),
            outcome: self.outcome,
        }
    }
}

impl Stamp {
    fn of(version: Version) -> Self {
        let Version { hlc, dot: Dot { actor, counter } } = version;
        Self { hlc: hlc.0, node: actor.node.0, boot: actor.boot, counter }
    }

    fn version(self) -> Version {
        let actor = Actor { node: NodeId(self.node), boot: self.boot };
        Version { hlc: Hlc(self.hlc), dot: Dot { actor, counter: self.counter } }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_empty(list: &[u64]) -> bool {
    list.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "{\"kvcore_history\":1}\n";
    const PUT: &str = concat!(
        r#"{"process":1,"kind":"put","namespace":1,"policy":"lww","key":5,"value":7,"#,
        r#""level":"quorum","call_ns":1,"return_ns":2,"outcome":"ok"}"#
    );

    fn refusal(text: &[u8]) -> (u64, String) {
        let error = read(&mut &*text).unwrap_err();
        (error.line, error.to_string())
    }

    #[test]
    fn a_history_is_read_back_as_it_was_written() {
        let stamp = Stamp { hlc: u64::MAX, node: NonZeroU64::MAX, boot: 3, counter: 1 << 60 };
        let mut history = History::new();
        let put = Operation {
            value: u64::MAX,
            stamp: Some(stamp.version()),
            session: NonZeroU32::new(9),
            seen: Hlc(5),
            expires_ns: 77,
            level: Level::Sloppy,
            call_ns: 3,
            return_ns: NEVER,
            outcome: Outcome::Unknown,
            ..Operation::new(Kind::Put, Policy::Lww, u64::MAX)
        };
        let delete = Operation {
            namespace: NamespaceId(2),
            value: 8,
            context_in: Some(&[]),
            context_out: Some(&[1, 8]),
            context_entries: 4,
            level: Level::Weak,
            ..Operation::new(Kind::Delete, Policy::Siblings, 0)
        };
        let get = Operation {
            namespace: NamespaceId(2),
            siblings: &[4, 6],
            settled: true,
            blocking_repair: true,
            ..Operation::new(Kind::Get, Policy::Siblings, 0)
        };
        for operation in [put, delete, get] {
            history.push(&operation).unwrap();
        }
        let mut text = Vec::new();
        write(&history, &mut text).unwrap();
        let again = read(&mut &*text).unwrap();
        let both = [&history, &again].map(|it| it.operations().map(|it| it.1).collect::<Vec<_>>());
        assert_eq!(both[0], both[1]);
    }

    /// The file is an interface: other programs write and read it.
    #[test]
    fn the_format_is_what_it_is() {
        let history = read(&mut format!("{HEAD}{PUT}").as_bytes()).unwrap();
        let mut text = Vec::new();
        write(&history, &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), format!("{HEAD}{PUT}\n"));
    }

    #[test]
    fn hostile_files_are_refused_with_their_line() {
        let other = PUT.replace("\"value\":7", "\"value\":8");
        let cases = [
            (String::new(), 1, "begins with"),
            (PUT.to_owned(), 1, "begins with"),
            (HEAD.replace('1', "2"), 1, "begins with"),
            (format!("{HEAD}\n"), 2, "EOF"),
            (format!("{HEAD}{PUT}\n{other}\n{{\"process\":"), 4, "EOF"),
            (format!("{HEAD}{PUT}{other}\n"), 2, "trailing"),
            (format!("{HEAD}{}", PUT.replace("put", "cas")), 2, "unknown variant"),
            (format!("{HEAD}{}", PUT.replace("key", "clef")), 2, "unknown field"),
            (format!("{HEAD}{}", PUT.replace(":7", ":-7")), 2, "invalid value"),
            (format!("{HEAD}{}", PUT.replace(":5", ":99999999999999999999")), 2, "invalid type"),
            (format!("{HEAD}{}", PUT.replace(":7", ":0")), 2, "needs a value"),
            (format!("{HEAD}{}", PUT.replace("_ns\":2", "_ns\":0")), 2, "before it was called"),
            (format!("{HEAD}{PUT}\n{other}\n{PUT}\n"), 4, "as line 2"),
        ];
        for (text, line, part) in cases {
            let (got, sentence) = refusal(text.as_bytes());
            assert!(got == line && sentence.contains(part), "{sentence}, not {line}, {part}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept_in_memory() {
        let endless = HEAD.as_bytes().chain(io::repeat(b' '));
        let error = read(&mut io::BufReader::new(endless)).unwrap_err();
        assert!(matches!(error, ReadError { line: 2, error: LineError::TooLong }), "{error}");
    }

    #[test]
    fn any_bytes_are_refused_or_read() {
        let mut rng = fastrand::Rng::with_seed(1);
        let good = format!("{HEAD}{PUT}\n").into_bytes();
        let mut read_whole = 0;
        for _ in 0..3000 {
            let mut bytes = good.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(..=bytes.len()));
            read_whole += u32::from(read(&mut &*bytes).is_ok());
        }
        assert!(read_whole > 0, "changes of a digit make other histories");
    }
}
