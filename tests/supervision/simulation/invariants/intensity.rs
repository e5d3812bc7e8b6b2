//! The restart intensity, computed once more from the reports and their times.

use std::collections::VecDeque;

use foundation::Strategy;
use foundation::supervision::RestartIntensity;

use super::super::causes::causes;
use super::super::history::{Begin, History, Reign};
use super::super::record::Reported;
use super::super::shape::Who;

/// One-for-one decides at the moment of the cause, so its decisions can be predicted one by one. The other strategies
/// decide when the round before is over: there the rounds that were begun must fit.
pub(super) fn kept(history: &History<'_>) -> Result<(), String> {
    for ((supervisor, _), reign) in &history.reigns {
        match history.shape.rules(*supervisor) {
            Some((Strategy::OneForOne, intensity)) => each_decision(history, *supervisor, reign, intensity)?,
            Some((_, intensity)) => rounds(history, *supervisor, reign, intensity)?,
            None => {}
        }
    }
    Ok(())
}

fn each_decision(
    history: &History<'_>,
    supervisor: Who,
    reign: &Reign<'_>,
    intensity: RestartIntensity,
) -> Result<(), String> {
    let within = intensity.within.as_millis() as u64;
    let mut recent: VecDeque<u64> = VecDeque::new();
    for cause in causes(history.shape, reign) {
        while recent.front().is_some_and(|then| cause.at - then > within) {
            recent.pop_front();
        }
        let next = reign.lines.iter().find(|line| line.index > cause.index);
        let gives_up = next.is_some_and(|line| *line.reported == Reported::GaveUp && line.child == cause.child);
        let (name, child, time) = (history.name(supervisor), history.name(cause.child), cause.at);
        let count = recent.len();
        if count < intensity.max_restarts as usize {
            if gives_up {
                return Err(format!("{name} gives up on {child} at {time} ms after {count} restarts: {intensity}"));
            }
            recent.push_back(cause.at);
        } else if !gives_up {
            return Err(format!("{name} does not give up on {child} at {time} ms after {count} restarts: {intensity}"));
        }
    }
    Ok(())
}

/// A round of restarts, with the times between which it was decided.
struct Round {
    from: u64,
    until: u64,
}

fn rounds(
    history: &History<'_>,
    supervisor: Who,
    reign: &Reign<'_>,
    intensity: RestartIntensity,
) -> Result<(), String> {
    let rounds = begun(history, reign);
    let (most, within) = (intensity.max_restarts as usize, intensity.within.as_millis() as u64);
    for (first, last) in rounds.iter().zip(rounds.iter().skip(most)) {
        if last.until - first.from <= within {
            let (name, time, count) = (history.name(supervisor), last.until, most + 1);
            return Err(format!("{name} begins {count} rounds of restarts until {time} ms: {intensity}"));
        }
    }
    Ok(())
}

/// A round continues for as long as its starts come in start order; so there were at least these.
fn begun(history: &History<'_>, reign: &Reign<'_>) -> Vec<Round> {
    let Some(first) = causes(history.shape, reign).first().map(|cause| cause.index) else { return Vec::new() };
    let mut rounds = Vec::new();
    let mut latest: Option<(usize, usize)> = None;
    for begin in reign.begins.iter().filter(|begin| begin.index > first && !begin.requested) {
        let place = history.place(begin.child, reign, begin.index);
        if latest.is_none_or(|latest| place <= latest) {
            rounds.push(Round { from: decided_after(history, reign, begin), until: begin.at });
        }
        latest = Some(place);
    }
    rounds
}

/// The starts of the round before are over when a round is decided. Those of children that come earlier may belong to this
/// round already: of some starts only the outcome is visible.
fn decided_after(history: &History<'_>, reign: &Reign<'_>, begin: &Begin) -> u64 {
    let outcome = |reported: &Reported| {
        matches!(reported, Reported::Started(_) | Reported::Ignored | Reported::StartFailed(_) | Reported::NameTaken)
    };
    let place = |who| history.place(who, reign, begin.index);
    let mut before = reign.lines.iter().rev().filter(|line| line.index < begin.index && outcome(line.reported));
    before.find(|line| place(line.child) >= place(begin.child)).map_or(0, |line| line.at)
}

pub(super) fn given_up_for_a_reason(history: &History<'_>) -> Result<(), String> {
    for ((supervisor, _), reign) in &history.reigns {
        let Some((_, intensity)) = history.shape.rules(*supervisor) else { continue };
        let given_up = reign.lines.iter().find(|line| *line.reported == Reported::GaveUp);
        let causes = causes(history.shape, reign).len();
        if let Some(line) = given_up.filter(|_| causes <= intensity.max_restarts as usize) {
            let (name, time) = (history.name(*supervisor), line.at);
            return Err(format!("{name} gives up at {time} ms after {causes} causes in its life: {intensity}"));
        }
    }
    Ok(())
}
