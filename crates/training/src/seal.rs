//! A checksum that lies in what it is of: CRC-32C, which finds every flipped bit.

use std::fmt::Display;

/// Where the checksum will stand while it is computed.
const BLANK: &str = "00000000";
/// How a sealed JSON object begins.
const FIRST: &str = "{\"checksum\":\"";

/// The text of a JSON object with its checksum as the first field. `about` is not in the text and goes into the checksum: the
/// text is then no other's.
pub fn sealed(about: &str, json: &str) -> String {
    let mut text = blank(json);
    let sum = checksum(about, text.as_bytes(), FIRST.len());
    text.replace_range(FIRST.len()..FIRST.len() + BLANK.len(), &sum);
    text
}

/// Checks the text of a JSON object that [`sealed`] made.
///
/// # Errors
/// What is wrong: it has no checksum, or another.
pub fn check_sealed(about: &str, text: &[u8]) -> Result<(), String> {
    if !text.starts_with(FIRST.as_bytes()) {
        return Err("has no checksum: an earlier version wrote it, or something has changed it".to_owned());
    }
    check(about, text, FIRST.len())
}

/// The text of a JSON object with room for a checksum as the first field.
pub(crate) fn blank(json: &str) -> String {
    let rest = json.trim_start().strip_prefix('{').unwrap_or(json);
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{FIRST}{BLANK}\"{comma}{rest}")
}

/// Writes into the room at `at` the checksum of all `bytes`.
pub(crate) fn seal(bytes: &mut [u8], at: usize) {
    let sum = checksum("", bytes, at);
    bytes[at..at + BLANK.len()].copy_from_slice(sum.as_bytes());
}

/// Checks the checksum of all `bytes` that lies at `at`.
pub(crate) fn check(about: &str, bytes: &[u8], at: usize) -> Result<(), String> {
    let wrong = |found: &dyn Display, expected: &dyn Display| {
        Err(format!(
            "its checksum is {expected}, and that of its content {found}: it is damaged, or something has changed it"
        ))
    };
    match bytes.get(at..at + BLANK.len()) {
        None => wrong(&"nothing", &"cut short"),
        Some(expected) => match checksum(about, bytes, at) {
            sum if sum.as_bytes() == expected => Ok(()),
            sum => wrong(&sum, &String::from_utf8_lossy(expected).escape_debug()),
        },
    }
}

/// Of `about` and of all `bytes`, those at `at` taken as blank.
fn checksum(about: &str, bytes: &[u8], at: usize) -> String {
    let (before, rest) = bytes.split_at(at);
    let parts = [about.as_bytes(), before, BLANK.as_bytes(), &rest[BLANK.len()..]];
    let sum = parts.into_iter().fold(0, crc32c::crc32c_append);
    format!("{sum:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let text = sealed("about", r#"{"epoch": 3, "name": "rule"}"#);
        assert_eq!(&text[21..], r#"","epoch": 3, "name": "rule"}"#);
        check_sealed("about", text.as_bytes()).unwrap();
        for bit in 0..8 * text.len() {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check_sealed("about", &flipped).unwrap_err();
        }
    }

    #[test]
    fn what_is_about_something_else_is_not_taken() {
        let text = sealed("one run", "{}");
        assert_eq!(text.len(), FIRST.len() + BLANK.len() + 2);
        assert!(check_sealed("another run", text.as_bytes()).unwrap_err().contains("damaged"));
        for cut in 0..text.len() {
            check_sealed("one run", &text.as_bytes()[..cut]).unwrap_err();
        }
    }
}
