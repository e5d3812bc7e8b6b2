//! The display of events: always one line, with an optional limit of its length.

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use super::child_spec::NameTaken;
use super::report::{ChildEvent, Report, Stopped};

/// One line, with line breaks and other control characters escaped; `{:.80}` gives at most 80 characters, the last of
/// them `…` if there were more.
///
/// ```
/// use foundation_kernel::{ChildId, ChildEvent, Report};
///
/// let happened = ChildEvent::StartFailed { cause: "no desk".into() };
/// let report = Report { supervisor: "top/office".into(), child: ChildId::from("clerk"), happened };
/// assert_eq!(report.to_string(), "top/office: child clerk did not start: no desk");
/// assert_eq!(format!("{report:.20}"), "top/office: child c…");
/// ```
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Report { supervisor, child, happened } = self;
        OneLine::write(f, format_args!("{supervisor}: child {child} {happened}"))
    }
}

/// One line, to be read after the child's name; limited as a [`Report`].
impl Display for ChildEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { actor, restarts: 0, .. } => OneLine::write(f, format_args!("started, as actor {actor}")),
            Self::Started { actor, restarts, cause: None } => {
                OneLine::write(f, format_args!("started again, as actor {actor}, restart {restarts}"))
            }
            Self::Started { actor, restarts, cause: Some(cause) } => {
                OneLine::write(f, format_args!("started again, as actor {actor}, restart {restarts}, since {cause}"))
            }
            Self::Ignored => OneLine::write(f, format_args!("is not wanted now")),
            Self::StartFailed { cause } => OneLine::write(f, format_args!("did not start: {cause}")),
            Self::NameTaken { cause, rule: NameTaken::Wait } => {
                OneLine::write(f, format_args!("waits until its name is free: {cause}"))
            }
            Self::NameTaken { cause, rule: NameTaken::Rest } => {
                OneLine::write(f, format_args!("is left stopped, as its name is taken: {cause}"))
            }
            Self::NameTaken { cause, rule: NameTaken::Fail } => {
                OneLine::write(f, format_args!("did not start, as its name is taken: {cause}"))
            }
            Self::Exited { actor, reason, escalation: None } => {
                OneLine::write(f, format_args!("exited, as actor {actor}: {reason}"))
            }
            Self::Exited { actor, reason, escalation: Some(below) } => {
                OneLine::write(f, format_args!("exited, as actor {actor}: {reason}, after {below:#}"))
            }
            Self::Restarting { cause, delay: Duration::ZERO } => {
                OneLine::write(f, format_args!("is to be restarted, since {cause}"))
            }
            Self::Restarting { cause, delay } => {
                OneLine::write(f, format_args!("is to be restarted in {delay:?}, since {cause}"))
            }
            Self::NotRestarted { reason, rule } => {
                OneLine::write(f, format_args!("is not restarted after {reason}, as it is {rule}"))
            }
            Self::Stopped { actor, how } => OneLine::write(f, format_args!("{how}, as actor {actor}")),
            Self::GaveUp { cause } => {
                OneLine::write(f, format_args!("failed once too often: the supervisor gives up after {cause:#}"))
            }
            Self::AutoShutdown { mode } => {
                OneLine::write(f, format_args!("was significant and has ended: the supervisor stops ({mode})"))
            }
        }
    }
}

impl Display for Stopped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InTime => "was stopped",
            Self::Brutally => "was killed, as its rule says",
            Self::Killed => "did not stop in time and was killed",
        })
    }
}

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
