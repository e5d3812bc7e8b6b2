//! Without further faults, a tree comes to rest, and then its supervisors know their children.

use super::super::causes::causes;
use super::super::history::{At, History};
use super::super::record::{Doing, Reported};
use super::super::shape::{Role, Who};

pub(super) fn settled(history: &History<'_>) -> Result<(), String> {
    for (at, supervisor, children) in &history.listed {
        for (child, doing) in *children {
            known(history, *at, *child, *doing)?;
        }
        unlisted(history, *at, *supervisor, children)?;
        if let Role::Dynamic { max_children, .. } = history.shape.members[*supervisor].role
            && children.len() > max_children
        {
            let (name, count) = (history.name(*supervisor), children.len());
            return Err(format!("{name} has {count} children, and may have {max_children}"));
        }
    }
    every_cause_had_an_effect(history)?;
    no_child_stays_stopped(history)
}

fn known(history: &History<'_>, at: At, child: Who, doing: Doing) -> Result<(), String> {
    let name = history.name(child);
    let alive = |actor| history.actors.get(&actor).is_some_and(|life| history.lives[life].is_alive(at));
    match doing {
        Doing::Moving => Err(format!("{name} is still on its way")),
        Doing::Waiting if !has_rival(history, child, at) => Err(format!("{name} waits for a name that is free")),
        Doing::Running(actor) if history.shape.is_worker(child) && !alive(actor) => {
            Err(format!("{name} is reported to run as actor {actor}, which is not there"))
        }
        _ => Ok(()),
    }
}

fn has_rival(history: &History<'_>, child: Who, at: At) -> bool {
    history.lives.iter().any(|(life, span)| life.rival && life.who == child && span.is_alive(at))
}

fn unlisted(history: &History<'_>, at: At, supervisor: Who, children: &[(Who, Doing)]) -> Result<(), String> {
    let here = |life: &Who| history.shape.members[*life].parent == Some(supervisor);
    let alive = history.lives.iter().filter(|(life, span)| here(&life.who) && !life.rival && span.is_alive(at));
    for (life, span) in alive {
        let listed = children.iter().any(|(_, doing)| span.actor.is_some_and(|actor| *doing == Doing::Running(actor)));
        if !listed {
            let (life, name) = (history.describe(*life), history.name(supervisor));
            return Err(format!("{life} is there, and its supervisor {name} does not know of it"));
        }
    }
    Ok(())
}

/// A child that was to be restarted was started, or stopped, or its supervisor has ended or given up.
fn every_cause_had_an_effect(history: &History<'_>) -> Result<(), String> {
    for (_, supervisor, children) in &history.listed {
        let reigns = history.reigns.range((*supervisor, 0)..=(*supervisor, u32::MAX));
        let Some((_, reign)) = reigns.last() else { continue };
        if reign.lines.iter().any(|line| line.reported.is_the_end()) {
            continue;
        }
        for cause in causes(history.shape, reign) {
            let latest = reign.lines.iter().rfind(|line| line.child == cause.child && line.index < history.ending);
            let terminated = history.requests.iter().any(|request| {
                let over = cause.index < request.answered;
                request.who == cause.child && over
            });
            let is_latest = latest.is_some_and(|line| line.index == cause.index);
            let runs = children.iter().any(|(who, doing)| *who == cause.child && matches!(doing, Doing::Running(_)));
            if is_latest && !terminated && !runs && is_one_for_one(history, *supervisor) {
                let (name, time) = (history.name(cause.child), cause.at);
                return Err(format!("{name} was to be restarted after {} at {time} ms, and was not", cause.reported));
            }
        }
    }
    Ok(())
}

/// A child that was stopped for a sibling runs again, unless the end of one of them was requested.
fn no_child_stays_stopped(history: &History<'_>) -> Result<(), String> {
    for (_, supervisor, children) in &history.listed {
        let reigns = history.reigns.range((*supervisor, 0)..=(*supervisor, u32::MAX));
        let Some((_, reign)) = reigns.last() else { continue };
        let meddled = history.requests.iter().any(|request| {
            history.shape.members[request.who].parent == Some(*supervisor) && reign.since < request.answered
        });
        let gave_up = reign.lines.iter().any(|line| line.reported.is_the_end());
        for (child, _) in children.iter().filter(|(_, doing)| *doing == Doing::Stopped && !meddled && !gave_up) {
            let latest = reign.lines.iter().rfind(|line| line.child == *child && line.index < history.ending);
            if let Some(line) = latest.filter(|line| matches!(line.reported, Reported::Stopped(..))) {
                let (name, time) = (history.name(*child), line.at);
                return Err(format!("{name} was stopped at {time} ms on behalf of a sibling, and stays so"));
            }
        }
    }
    Ok(())
}

fn is_one_for_one(history: &History<'_>, supervisor: Who) -> bool {
    let rules = history.shape.rules(supervisor);
    rules.is_some_and(|(strategy, _)| strategy == foundation::Strategy::OneForOne)
}
