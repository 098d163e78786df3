//! Bytes as text: escapes for TSV and for messages, hexadecimal for keys on the command line.
//!
//! Escaped text is printable wherever the bytes are ASCII or UTF-8, one line, and reversible: tab,
//! newline, carriage return and backslash are `\t \n \r \\`, every other control byte is `\xNN`.

/// Appends `bytes` to `out`, escaped.
pub(crate) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0..0x20 | 0x7f => {
                out.extend_from_slice(b"\\x");
                out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
}

/// The bytes that `text` is the escaped form of.
///
/// # Errors
/// A sentence that names what is no escape.
pub(crate) fn unescape(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            out.push(byte);
            rest = tail;
            continue;
        }
        let (byte, taken) = match tail {
            [b't', ..] => (b'\t', 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => {
                let byte = hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high << 4 | low);
                (byte.ok_or("\\x is followed by two hexadecimal digits")?, 3)
            }
            _ => return Err("a backslash is followed by none of t, n, r, x and \\".to_owned()),
        };
        out.push(byte);
        rest = &tail[taken..];
    }
    Ok(out)
}

/// Bytes for a person to read, on one line: escaped, what is no UTF-8 replaced.
pub(crate) fn show(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    escape(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The bytes that `text` spells in hexadecimal.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn from_hex(text: &[u8]) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) {
        return Err("hexadecimal has two digits a byte".to_owned());
    }
    let pairs = text.chunks_exact(2);
    let bytes = pairs.map(|pair| Some(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?));
    bytes.collect::<Option<_>>().ok_or_else(|| "a digit is not hexadecimal".to_owned())
}

/// Bytes in hexadecimal.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_and_stays_on_its_line() {
        let all: Vec<u8> = (0..=255).chain("caf\u{e9}\\\t".bytes()).collect();
        let mut text = Vec::new();
        escape(&all, &mut text);
        assert!(text.iter().all(|&byte| byte >= 0x20 && byte != 0x7f));
        assert_eq!(unescape(&text).unwrap(), all);
    }

    #[test]
    fn what_is_no_escape_is_refused() {
        for text in ["\\", "\\a", "\\x", "\\x1", "\\xzz", "a\\"] {
            assert!(unescape(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(unescape(b"\\x0A\\x7f").unwrap(), b"\n\x7f");
    }

    #[test]
    fn hexadecimal_has_two_digits_a_byte() {
        assert_eq!(from_hex(b"00fFa0").unwrap(), [0, 0xff, 0xa0]);
        assert_eq!(to_hex(&[0, 0xff, 0xa0]), "00ffa0");
        assert!(from_hex(b"0").is_err() && from_hex(b"0g").is_err() && from_hex(b"+1").is_err());
    }
}
