//! Foreign texts as errors and logs show them.

use std::borrow::Cow;

/// The longest excerpt, in characters.
const EXCERPT: usize = 300;
/// Ends a text that is cut off.
const CUT_OFF: &str = "…";

/// The text on one line: characters that would break the line, move in it or change its direction are escaped.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unruly) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_unruly(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    Cow::Owned(line)
}

/// The same of a text that may be long: its first 300 characters.
pub fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => one_line(&text[..end]).into_owned() + "…",
        None => one_line(text).into_owned(),
    }
}

/// The beginning of a text, at most this many bytes of it, with the mark `…` (3 bytes) if it is cut off; nothing if not even
/// the mark has room.
///
/// ```
/// use foundation_kernel::text::shortened_to;
///
/// assert_eq!(shortened_to("größer", 6), "gr…");
/// assert_eq!((shortened_to("größer", 8), shortened_to("größer", 2)), ("größer".to_owned(), String::new()));
/// ```
pub fn shortened_to(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let Some(room) = max_bytes.checked_sub(CUT_OFF.len()) else { return String::new() };
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{CUT_OFF}", &text[..end])
}

/// Control characters, line separators, and characters that change the direction of writing.
fn is_unruly(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_one_line_already_stays_as_it_is() {
        for text in ["", "/etc/app.toml", "it's \"fine\"", r"C:\app", "größer 🦀"] {
            assert_eq!(one_line(text), text);
        }
    }

    #[test]
    fn what_would_break_the_line_or_turn_it_round_is_escaped() {
        assert_eq!(one_line("a\nb\0\u{1b}[31m\u{2028}\u{202e}c"), r"a\nb\u{0}\u{1b}[31m\u{2028}\u{202e}c");
    }

    #[test]
    fn of_a_long_text_the_beginning_is_shown() {
        assert_eq!(excerpt(&"ä".repeat(300)), "ä".repeat(300));
        assert_eq!(excerpt(&"ä".repeat(301)), "ä".repeat(300) + "…");
        assert_eq!(excerpt("a\nb"), r"a\nb");
    }
}
