//! A supervisor stops by itself when its significant children have ended for good, and only then.

use foundation::Strategy;
use foundation::supervision::AutoShutdown;

use super::super::causes::wants;
use super::super::history::{History, Line, Reign};
use super::super::record::Reported;
use super::super::shape::Who;

pub(super) fn counted(history: &History<'_>) -> Result<(), String> {
    for ((supervisor, _), reign) in &history.reigns {
        for line in &reign.lines {
            match line.reported {
                Reported::AutoShutdown => had_a_reason(history, *supervisor, reign, line)?,
                Reported::Exited(..) => had_an_effect(history, *supervisor, reign, line)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether this report says that a significant child has ended by itself, and for good.
fn is_for_good(history: &History<'_>, line: &Line<'_>) -> bool {
    let member = &history.shape.members[line.child];
    let Reported::Exited(_, reason) = line.reported else { return false };
    member.significant && !wants(member.restart, reason)
}

fn had_a_reason(history: &History<'_>, supervisor: Who, reign: &Reign<'_>, line: &Line<'_>) -> Result<(), String> {
    let own = reign.lines.iter().rfind(|earlier| earlier.child == line.child && earlier.index < line.index);
    let others = history.lives.iter().find(|(life, span)| {
        let member = &history.shape.members[life.who];
        let sibling = member.parent == Some(supervisor) && life.who != line.child && !life.rival;
        sibling && member.significant && span.is_active(line.index)
    });
    let others = others.filter(|_| history.shape.auto(supervisor) == AutoShutdown::AllSignificant);
    let (name, child, time) = (history.name(supervisor), history.name(line.child), line.at);
    match (own.is_some_and(|own| is_for_good(history, own)), others) {
        (true, None) if history.shape.auto(supervisor) != AutoShutdown::Never => Ok(()),
        (true, Some((life, _))) => {
            Err(format!("{name} stops at {time} ms, while {} is there", history.describe(*life)))
        }
        _ => Err(format!("{name} stops at {time} ms for {child}, which has not ended for good")),
    }
}

/// One-for-one decides at the moment of the end; elsewhere a plan for a sibling may come before.
fn had_an_effect(history: &History<'_>, supervisor: Who, reign: &Reign<'_>, line: &Line<'_>) -> Result<(), String> {
    let any = history.shape.auto(supervisor) == AutoShutdown::AnySignificant;
    let one_for_one = history.shape.rules(supervisor).is_some_and(|(strategy, _)| strategy == Strategy::OneForOne);
    let ended = reign.lines.iter().any(|earlier| earlier.reported.is_the_end() && earlier.index < line.index);
    if !any || !one_for_one || ended || !is_for_good(history, line) {
        return Ok(());
    }
    match reign.lines.iter().find(|next| next.index > line.index) {
        Some(next) if *next.reported == Reported::AutoShutdown => Ok(()),
        _ => {
            let (name, child) = (history.name(supervisor), history.name(line.child));
            Err(format!("{name} goes on at {} ms, although its significant child {child} has ended", line.at))
        }
    }
}
