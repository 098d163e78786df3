//! Directory trees to move through a server: one made up of everything that is awkward, and any
//! tree there is, read whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use kvclient::protocol::limits::VALUE_BYTES_MAX;

/// The files of a tree: path below it, and content.
pub(crate) type Files = BTreeMap<Vec<u8>, Vec<u8>>;

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
        let bytes = [index, 4000 + index, 16 * index * index][index % 3];
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
pub(crate) fn read(root: &Path) -> Files {
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
                let key = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
                files.insert(key, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Asserts that two trees have the same files with the same bytes; says which differ.
pub(crate) fn assert_same(expected: &Files, found: &Files) {
    let show = |key: &Vec<u8>| String::from_utf8_lossy(key).escape_debug().to_string();
    let is_other = |(key, value): &(&Vec<u8>, &Vec<u8>)| found.get(*key) != Some(*value);
    let mut differ: Vec<String> =
        expected.iter().filter(is_other).map(|(key, _)| show(key)).collect();
    differ.extend(found.keys().filter(|key| !expected.contains_key(*key)).map(show));
    assert!(
        differ.is_empty(),
        "{} files differ: {:?}",
        differ.len(),
        &differ[..differ.len().min(9)]
    );
}
