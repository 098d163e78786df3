//! Which keys are sound paths below a root.
//!
//! A sound path is relative, has no empty, `.` or `..` part and no NUL byte. So two keys are never
//! the same file, and no key is a file elsewhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The key as a path below a root.
///
/// # Errors
/// Why it is none.
pub(super) fn relative(key: &[u8]) -> Result<&Path, &'static str> {
    if key.first() == Some(&b'/') {
        return Err("an absolute path");
    }
    if key.contains(&0) {
        return Err("a path with a NUL byte");
    }
    for part in key.split(|&byte| byte == b'/') {
        match part {
            b"" => return Err("a path with an empty part"),
            b"." | b".." => return Err("a path with a part . or .."),
            _ => {}
        }
    }
    Ok(Path::new(OsStr::from_bytes(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_paths_pass() {
        for key in ["a", "a/b.html", "a/...", "..a/b", " ", "a\\b", "C:/x", "-", "\u{e9}"] {
            assert_eq!(relative(key.as_bytes()), Ok(Path::new(key)), "{key}");
        }
        assert_eq!(relative(b"\xff\n").map(Path::as_os_str), Ok(OsStr::from_bytes(b"\xff\n")));
        for key in [
            "",
            "/",
            "/etc/passwd",
            "//a",
            "a//b",
            "a/",
            ".",
            "..",
            "./a",
            "a/.",
            "../a",
            "a/../b",
            "a/..",
            "a\0b",
        ] {
            assert!(relative(key.as_bytes()).is_err(), "{key:?}");
        }
    }
}
