//! Which children are started again, and which are left alone.

use foundation::{Restart, Strategy};

use super::super::causes::causes;
use super::super::history::{At, Begin, History, Reign};
use super::super::record::{Answer, Reported};
use super::super::script::Verb;
use super::super::shape::Who;

/// A temporary child is started once, unless another start is requested.
pub(super) fn temporary(history: &History<'_>) -> Result<(), String> {
    for reign in history.reigns.values() {
        let temporary = |begin: &&Begin| history.shape.members[begin.child].restart == Restart::Temporary;
        for begin in reign.begins.iter().filter(temporary).filter(|begin| !begin.requested) {
            if before(reign, begin).is_some() {
                return Err(format!("{} is started again at {} ms", history.name(begin.child), begin.at));
            }
        }
    }
    Ok(())
}

fn before<'a>(reign: &'a Reign<'_>, begin: &Begin) -> Option<&'a Begin> {
    reign.begins.iter().rev().find(|other| other.child == begin.child && other.index < begin.index)
}

/// A supervisor starts a child again only after a cause. In one-for-one this is the child's own, and its latest
/// report: so a child that was terminated, or ended well as a transient child, stays down.
pub(super) fn caused(history: &History<'_>) -> Result<(), String> {
    for ((supervisor, _), reign) in &history.reigns {
        let Some((strategy, _)) = history.shape.rules(*supervisor) else { continue };
        let causes: Vec<(At, Who)> = causes(history.shape, reign).iter().map(|line| (line.index, line.child)).collect();
        for begin in reign.begins.iter().filter(|begin| !begin.requested) {
            let Some(before) = before(reign, begin) else { continue };
            let cause = causes.iter().rev().find(|(index, child)| {
                *index < begin.index && (strategy != Strategy::OneForOne || *child == begin.child)
            });
            let own = strategy != Strategy::OneForOne || cause.is_some_and(|(index, _)| *index > before.index);
            let (name, time) = (history.name(begin.child), begin.at);
            let Some((cause, _)) = cause.filter(|_| own) else {
                return Err(format!("{name} is started again at {time} ms, and nothing calls for it"));
            };
            if strategy == Strategy::OneForOne && terminated_since(history, begin, *cause) {
                return Err(format!("{name} is started again at {time} ms, after it was terminated"));
            }
        }
    }
    Ok(())
}

/// Whether a termination was requested and done between a cause and a start, without a concurrent request to start it.
fn terminated_since(history: &History<'_>, begin: &Begin, cause: At) -> bool {
    history.requests.iter().any(|request| {
        let done = request.verb == Verb::Terminate && request.answer == Some(&Answer::Done);
        done && request.who == begin.child && cause < request.answered && request.answered < begin.index
    })
}

/// A supervisor that continues stops no child outside its strategy.
pub(super) fn siblings_alone(history: &History<'_>) -> Result<(), String> {
    for ((supervisor, _), reign) in &history.reigns {
        let Some((strategy, _)) = history.shape.rules(*supervisor) else { continue };
        let causes = causes(history.shape, reign);
        let last_start = reign.begins.iter().map(|begin| begin.index).max().unwrap_or(0);
        for line in reign.lines.iter().filter(|line| line.index < last_start) {
            let asked = history.is_asked(line.child, &[Verb::Terminate], line.index);
            if !matches!(line.reported, Reported::Stopped(..)) || asked {
                continue;
            }
            let place = history.place(line.child, reign, line.index);
            let concerned = causes.iter().any(|cause| {
                let before = history.place(cause.child, reign, line.index) < place;
                cause.index < line.index
                    && match strategy {
                        Strategy::OneForOne => false,
                        Strategy::OneForAll => true,
                        Strategy::RestForOne => before,
                    }
            });
            if !concerned {
                let (name, time) = (history.name(line.child), line.at);
                return Err(format!("{name} is stopped at {time} ms, and no end of a sibling concerns it: {strategy}"));
            }
        }
    }
    Ok(())
}
