//! Each name has at most one actor at a time, and an actor that is reported as gone is gone.

use std::collections::HashMap;

use foundation::supervision::ExitReason;

use super::super::history::{History, Span};
use super::super::record::{Answer, Life, Moment, Reported};
use super::super::script::Verb;
use super::super::shape::Who;

/// From the construction of the one to the last destructor of the other.
pub(super) fn one_at_a_time(history: &History<'_>) -> Result<(), String> {
    let mut latest: HashMap<Who, Life> = HashMap::new();
    let mut births: Vec<_> = history.lives.iter().map(|(life, span)| (span.built(), *life)).collect();
    births.sort();
    for (born, life) in births {
        let before = latest.insert(life.who, life);
        if let Some(other) = before.filter(|other| history.lives[other].is_alive(born)) {
            let (new, old, time) = (history.describe(life), history.describe(other), history.time(born));
            return Err(format!("{new} is there at {time} ms, while {old} is not gone"));
        }
    }
    Ok(())
}

pub(super) fn in_order(history: &History<'_>) -> Result<(), String> {
    for (life, span) in &history.lives {
        let moments: Vec<Moment> = span.moments.iter().map(|(moment, _)| *moment).collect();
        // State and handler are dropped in an order that depends on how the actor ends.
        let alive: Vec<Moment> = moments.iter().copied().filter(|moment| *moment < Moment::StateDropped).collect();
        let drops = |which| moments.iter().filter(|moment| **moment == which).count();
        let twice = drops(Moment::StateDropped) > 1 || drops(Moment::Dropped) > 1;
        if twice || moments[..alive.len()] != alive || alive.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(format!("{} went through {moments:?}", history.describe(*life)));
        }
    }
    Ok(())
}

/// When a supervisor reports that it has stopped a child, this child is gone, with all below it.
pub(super) fn stopped_is_gone(history: &History<'_>) -> Result<(), String> {
    for line in history.reigns.values().flat_map(|reign| &reign.lines) {
        if let Reported::Stopped(..) = line.reported {
            none_within(history, line.child, line.index, "was reported as stopped")?;
        }
    }
    Ok(())
}

fn none_within(history: &History<'_>, who: Who, at: usize, what: &str) -> Result<(), String> {
    match history.lives_within(who).find(|(_, span)| span.is_active(at)) {
        Some((life, _)) => {
            let (time, name) = (history.time(at), history.name(who));
            Err(format!("{name} {what} at {time} ms, while {} is not gone", history.describe(life)))
        }
        None => Ok(()),
    }
}

/// The life that existed when a termination was requested is gone when the request is answered.
pub(super) fn terminated_is_gone(history: &History<'_>) -> Result<(), String> {
    for request in &history.requests {
        if request.verb != Verb::Terminate || request.answer != Some(&Answer::Done) {
            continue;
        }
        let there = |at| move |(_, span): &(Life, &Span)| span.is_alive(at);
        let mut lives = history.lives_within(request.who).filter(there(request.asked));
        if let Some((life, _)) = lives.find(there(request.answered)) {
            let time = history.time(request.answered);
            return Err(format!("{} outlives its termination, which is over at {time} ms", history.describe(life)));
        }
    }
    Ok(())
}

/// An actor that is reported to have ended in order has run its `post_stop`, and a killed one has not.
pub(super) fn ends_as_reported(history: &History<'_>) -> Result<(), String> {
    for line in history.reigns.values().flat_map(|reign| &reign.lines) {
        let Reported::Exited(actor, reason) = line.reported else { continue };
        let Some(life) = history.actors.get(actor) else { continue };
        let down = history.lives[life].at(Moment::Down).is_some();
        let wrong = match reason {
            ExitReason::Normal | ExitReason::Shutdown(_) => !down,
            ExitReason::Killed => down,
            _ => false,
        };
        if wrong {
            let came = if down { "came" } else { "did not come" };
            let (life, time) = (history.describe(*life), line.at);
            return Err(format!(
                "{life} is reported to have ended as {reason} at {time} ms, and {came} through its post_stop"
            ));
        }
    }
    Ok(())
}
