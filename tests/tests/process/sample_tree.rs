//! Directory trees to move through a server: one made up of everything that is awkward, and any
//! tree there is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kvclient::protocol::limits::VALUE_BYTES_MAX;

/// The files of a tree: path below it, and where the file is.
pub(crate) type Files = BTreeMap<Vec<u8>, PathBuf>;

/// Makes a tree of some 300 files at `root`: names with blanks, newlines, quotes, dots, a leading
/// dash, bytes that are no UTF-8; empty files, binary files, files as large as a value may be; a
/// path 60 directories deep, and one of names as long as a file system takes.
pub(crate) fn make(root: &Path, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut write = |path: &[u8], bytes: usize| {
        let path = root.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
        fs::write(path, content).unwrap();
    };
    for index in 0..280usize {
        let path = format!("pages/{:x}/{}/page {index}.html", index % 16, index % 3);
        // All lengths from 0 on, and around that of a block of a table and of the disk.
        let bytes = [index, 4000 + index, 2 * index * index][index % 3];
        write(path.as_bytes(), bytes.min(VALUE_BYTES_MAX));
    }
    let names: [&[u8]; 10] = [
        b" ",
        b"-rf",
        b".hidden",
        b"...",
        b"two\nlines\tand a tab\r",
        b"back\\slash \\x00 \"quoted\" 'too'",
        b"\xff\xfe\x80 no UTF-8",
        "\u{e4}\u{4e2d}\u{1f980}".as_bytes(),
        b"\x01\x1b[31m\x7f",
        &[b'n'; 255],
    ];
    for (index, name) in names.iter().enumerate() {
        write(name, index);
        write(&[b"odd/", *name, b"/", *name].concat(), 1000 + index);
    }
    write(&[&b"d/".repeat(60)[..], b"bottom"].concat(), 10);
    write([[b'l'; 250], [b'm'; 250], [b'n'; 250]].join(&b'/').as_slice(), 10);
    write(b"large/just fits", VALUE_BYTES_MAX);
    write(b"large/nearly", VALUE_BYTES_MAX - 1);
}

/// All regular files below `root`.
pub(crate) fn list(root: &Path) -> Files {
    let mut files = Files::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let key = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
                files.insert(key.to_vec(), path);
            }
        }
    }
    files
}

/// Asserts that two trees have the same files with the same bytes; says which differ.
pub(crate) fn assert_same(expected: &Files, found: &Files) {
    let same = |key: &Vec<u8>| match (expected.get(key), found.get(key)) {
        (Some(expected), Some(found)) => fs::read(expected).unwrap() == fs::read(found).unwrap(),
        _ => false,
    };
    let keys: BTreeSet<&Vec<u8>> = expected.keys().chain(found.keys()).collect();
    let differ: Vec<String> = keys
        .into_iter()
        .filter(|key| !same(key))
        .map(|key| String::from_utf8_lossy(key).escape_debug().to_string())
        .collect();
    let first = &differ[..differ.len().min(9)];
    assert!(differ.is_empty(), "{} files differ: {first:?}", differ.len());
}
