//! Children start in start order and stop in the reverse of it.

use std::collections::HashSet;

use foundation::Strategy;

use super::super::history::{At, Begin, History, Reign};
use super::super::record::{Life, Moment, Reported};
use super::super::script::Verb;
use super::super::shape::Who;

/// When a supervisor starts a child by itself, no later child exists, and no earlier child is still starting.
/// One-for-one keeps to that at its own start only.
pub(super) fn starts(history: &History<'_>) -> Result<(), String> {
    for ((supervisor, _), reign) in &history.reigns {
        if history.shape.is_dynamic(*supervisor) {
            continue;
        }
        let one_for_one = history.shape.rules(*supervisor).is_some_and(|(strategy, _)| strategy == Strategy::OneForOne);
        let mut begun = HashSet::new();
        for begin in &reign.begins {
            let first = begun.insert(begin.child);
            if !begin.requested && (first || !one_for_one) {
                one_start(history, reign, begin)?;
            }
        }
    }
    Ok(())
}

fn one_start(history: &History<'_>, reign: &Reign<'_>, begin: &Begin) -> Result<(), String> {
    let (name, time) = (history.name(begin.child), begin.at);
    if let Some(life) = later_sibling(history, reign, begin.child, begin.index) {
        return Err(format!(
            "{name} is started at {time} ms, while {} is there, which comes after it",
            history.describe(life)
        ));
    }
    for sibling in siblings(history, begin.child) {
        let starting = history.lives.iter().find(|(life, span)| {
            let coming = span.at(Moment::Up).is_none_or(|up| up > begin.index);
            life.who == sibling && !life.rival && span.is_alive(begin.index) && coming
        });
        // The start of the other one may have been requested; then it is not part of the same round.
        let asked = history.is_asked(sibling, &[Verb::Start, Verb::Restart], begin.index);
        if let Some((life, _)) = starting.filter(|_| !asked) {
            return Err(format!("{name} is started at {time} ms, while {} is still starting", history.describe(*life)));
        }
    }
    Ok(())
}

/// When a static supervisor stops a child of its own accord, no later child exists any more.
pub(super) fn stops(history: &History<'_>) -> Result<(), String> {
    for ((supervisor, _), reign) in &history.reigns {
        if history.shape.is_dynamic(*supervisor) {
            continue;
        }
        for line in &reign.lines {
            let Reported::Stopped(actor, _) = line.reported else { continue };
            if history.is_asked(line.child, &[Verb::Terminate], line.index) {
                continue;
            }
            let when = end_of(history, *actor).unwrap_or(line.index);
            if let Some(later) = later_sibling(history, reign, line.child, when) {
                let (name, time) = (history.name(line.child), history.time(when));
                let later = history.describe(later);
                return Err(format!("{name} is stopped at {time} ms, while {later} is there, which comes after it"));
            }
        }
    }
    Ok(())
}

/// The position of this life's `post_stop`, if only its supervisor has begun it. An end without one may have come
/// from further up, by a kill.
fn end_of(history: &History<'_>, actor: u32) -> Option<At> {
    let span = &history.lives[history.actors.get(&actor)?];
    span.at(Moment::Stopping).filter(|_| span.struck.is_none())
}

fn siblings<'a>(history: &'a History<'_>, child: Who) -> impl Iterator<Item = Who> + 'a {
    let parent = history.shape.members[child].parent;
    history.shape.all().filter(move |who| *who != child && history.shape.members[*who].parent == parent)
}

fn later_sibling(history: &History<'_>, reign: &Reign<'_>, child: Who, at: At) -> Option<Life> {
    let place = history.place(child, reign, at);
    let later = siblings(history, child).filter(|sibling| history.place(*sibling, reign, at) > place);
    later.flat_map(|sibling| history.lives_within(sibling)).find(|(_, span)| span.is_active(at)).map(|(life, _)| life)
}
