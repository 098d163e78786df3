#![expect(clippy::disallowed_methods, reason = "corpora are files of the repository")]

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Inputs that each corpus has at least.
const CORPUS_MIN: usize = 10;
/// Bytes of a corpus at most: more is not more coverage.
const CORPUS_BYTES_MAX: u64 = 300 << 10;

fn corpus(target: &Target) -> Vec<PathBuf> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    let directory = corpora.join(target.name);
    let inputs = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    let mut inputs: Vec<PathBuf> = inputs.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn what_encoders_make_is_read() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() >= 3, "{} has {} seeds", target.name, seeds.len());
        for (number, seed) in seeds.iter().enumerate() {
            assert!((target.run)(seed), "{}: seed {number} is not sound", target.name);
        }
    }
}

/// Whatever a fuzzer has come upon is read again: a decoder that has learned to panic is found.
#[test]
fn every_corpus_is_replayed() {
    for target in TARGETS {
        let inputs = corpus(target);
        assert!(inputs.len() >= CORPUS_MIN, "{} has {} inputs", target.name, inputs.len());
        let (mut bytes, mut sound) = (0, 0);
        for input in inputs {
            let input = fs::read(&input).unwrap();
            bytes += input.len() as u64;
            sound += usize::from((target.run)(&input));
        }
        assert!(sound > 0, "{}: nothing is sound", target.name);
        assert!(bytes <= CORPUS_BYTES_MAX, "{} has {bytes} bytes", target.name);
    }
}
