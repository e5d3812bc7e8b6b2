//! After the end nothing is left: no actor, no destructor that has not run, no name, no task, no reference.

use super::super::history::{At, History};
use super::super::record::Record;

pub(super) fn nothing_left(history: &History<'_>) -> Result<(), String> {
    let Record { ended, tasks_left, names_left, references_left, .. } = history.record;
    if !ended {
        return Err("the shutdown does not come to an end".to_owned());
    }
    if let Some((life, _)) = history.lives.iter().find(|(_, span)| span.gone() == At::MAX) {
        return Err(format!("{} is never gone", history.describe(*life)));
    }
    match (tasks_left, names_left, references_left) {
        (0, 0, 0) => still_there_at_the_end(history),
        (0, 0, references) => Err(format!("{references} references to the run are held by something that was leaked")),
        (0, names, _) => Err(format!("{names} names are left")),
        (tasks, ..) => Err(format!("{tasks} tasks are left")),
    }
}

/// A run with more entries at one time than any should have never ends: it is cut off.
pub(super) fn time_goes_on(history: &History<'_>) -> Result<(), String> {
    match history.record.cut_off {
        true => Err(format!("after {} entries in the log there is no end", history.record.log.len())),
        false => Ok(()),
    }
}

/// A shutdown that has returned leaves no actor that is about to end.
fn still_there_at_the_end(history: &History<'_>) -> Result<(), String> {
    let Some(over) = history.over else { return Ok(()) };
    match history.lives.iter().find(|(_, span)| span.is_alive(over)) {
        Some((life, _)) => Err(format!("the shutdown is over, while {} is not gone", history.describe(*life))),
        None => Ok(()),
    }
}
