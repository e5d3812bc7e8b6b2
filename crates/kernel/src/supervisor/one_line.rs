//! Texts on one line, with an optional limit of their length.

use std::fmt::{self, Formatter, Write};

/// Passes a text on without its line breaks, up to a limit.
pub(crate) struct OneLine<'a, 'b> {
    out: &'a mut Formatter<'b>,
    /// The characters that still fit.
    room: usize,
    /// The last one that fits, until it is known whether more follow.
    last: Option<char>,
}

impl<'a, 'b> OneLine<'a, 'b> {
    pub(crate) fn write(out: &'a mut Formatter<'b>, text: fmt::Arguments<'_>) -> fmt::Result {
        let room = out.precision().unwrap_or(usize::MAX);
        let mut line = OneLine { out, room, last: None };
        line.write_fmt(text)?;
        line.last.map_or(Ok(()), |last| line.out.write_char(last))
    }

    fn put(&mut self, character: char) -> fmt::Result {
        match (self.room, self.last) {
            (0, None) => Ok(()),
            (0, Some(_)) => {
                self.last = None;
                self.out.write_char('…')
            }
            (1, _) => {
                (self.room, self.last) = (0, Some(character));
                Ok(())
            }
            _ => {
                self.room -= 1;
                self.out.write_char(character)
            }
        }
    }
}

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                character.escape_default().try_for_each(|part| self.put(part))?;
            } else {
                self.put(character)?;
            }
        }
        Ok(())
    }
}
