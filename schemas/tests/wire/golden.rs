//! The bytes of released frames never change: each sample is kept under `golden/` as hex, with
//! what it decodes to.
//!
//! `KVCORE_BLESS=1 cargo test -p schemas --test wire golden` writes the files of new samples, and
//! what known bytes decode to; it never changes the bytes of a file that is there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use schemas::frame;
use schemas::limits::FRAME_BYTES_MAX;

use super::samples::{self, Sample};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Offset and 16 bytes a line, then what they mean.
fn text(sample: &Sample) -> String {
    let mut text = String::new();
    for (line, bytes) in sample.bytes.chunks(16).enumerate() {
        write!(text, "{:04x} ", line * 16).expect("strings take all");
        for byte in bytes {
            write!(text, " {byte:02x}").expect("strings take all");
        }
        text.push('\n');
    }
    let mut wrapped = "=".to_owned();
    for word in meaning(&sample.bytes).split(' ') {
        if wrapped.len() + word.len() > 99 {
            writeln!(text, "{}", std::mem::replace(&mut wrapped, "=".to_owned()))
                .expect("as above");
        }
        write!(wrapped, " {word}").expect("as above");
    }
    writeln!(text, "{wrapped}").expect("as above");
    text
}

fn meaning(bytes: &[u8]) -> String {
    let (frame, len) = frame::read(bytes, FRAME_BYTES_MAX).expect("sound").expect("whole");
    assert_eq!(len, bytes.len());
    let kind = frame.kind().expect("known");
    let decoded = samples::decode(&frame).expect("sound");
    format!("{kind:?} {:?} {decoded}", frame.header).trim_end().to_owned()
}

fn bytes(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('='));
    lines
        .flat_map(|line| line.split_whitespace().skip(1))
        .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
        .collect()
}

#[test]
fn frames_are_written_as_they_were_released() {
    let bless = std::env::var_os("KVCORE_BLESS").is_some();
    for sample in samples::all() {
        let path = directory().join(format!("{}.hex", sample.name));
        let released = fs::read_to_string(&path).ok();
        if bless && released.is_none_or(|text| bytes(&text) == sample.bytes) {
            fs::write(&path, text(&sample)).expect("the directory can be written");
        }
        let golden = fs::read_to_string(&path).expect(sample.name);
        assert_eq!(text(&sample), golden, "{}", sample.name);
    }
}

#[test]
fn released_frames_are_read_as_they_were_meant() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let golden = fs::read_to_string(&path).expect("readable");
        let sample = Sample { name: "", bytes: bytes(&golden) };
        assert_eq!(text(&sample), golden, "{}", path.display());
        names.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
    }
    let known: BTreeSet<String> = samples::all().iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(names, known, "a golden file without a sample, or the other way round");
}
