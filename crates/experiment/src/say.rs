//! What is said to people, on the standard error, and what is printed, on the standard output.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::Result;

/// Characters that a message has at most: its beginning and its end.
const LONGEST: usize = 2000;

/// Says a line on the standard error. Where it cannot be written, the work goes on without it.
pub fn tell(line: impl Display) {
    let line = printable(&line.to_string()) + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Prints lines on the standard output.
///
/// # Errors
/// If it is closed or full.
pub fn print(lines: impl Display) -> Result<()> {
    let text: String = lines.to_string().split('\n').map(|line| escaped(line) + "\n").collect();
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Unprinted)?)
}

/// The standard output took no more.
#[derive(Debug, thiserror::Error)]
#[error("standard output: {0}")]
pub(crate) struct Unprinted(io::Error);

impl Unprinted {
    /// Whether whoever read has enough, which is no error to be told.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// One line of printable characters, the middle of a long one left out.
pub(crate) fn printable(text: &str) -> String {
    let line = escaped(text);
    let letters = line.chars().count();
    if letters <= LONGEST {
        return line;
    }
    let begin: String = line.chars().take(LONGEST / 2).collect();
    let end: String = line.chars().skip(letters - LONGEST / 2).collect();
    format!("{begin} ... ({} characters) ... {end}", letters - LONGEST)
}

/// With `\u{1b}` for a character that does something else than being seen.
fn escaped(text: &str) -> String {
    let is_seen = |letter: char| !letter.is_control() && !directs(letter);
    let escape = |letter: char| match is_seen(letter) {
        true => letter.to_string(),
        false => letter.escape_default().to_string(),
    };
    text.chars().map(escape).collect()
}

/// Characters that direct others: joined, hidden, or from right to left.
fn directs(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_characters_that_can_be_seen() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}\u{9b}é 漢"), "a\\u{1b}[31mb\\nc\\u{202e}\\u{9b}é 漢");
        let long = printable(&("x".repeat(60_000) + "expected a dict"));
        assert!(long.chars().count() < LONGEST + 50 && long.ends_with("expected a dict"), "{long}");
        assert!(long.contains("x ... (58015 characters) ... x"), "{long}");
    }
}
