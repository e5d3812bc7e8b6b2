//! Every request is answered.

use super::super::history::History;
use super::super::script::Ending;

/// Except on a runtime that is dropped.
pub(super) fn answered(history: &History<'_>) -> Result<(), String> {
    let dropped = history.record.ending == Ending::DropRuntime;
    let limit = history.rest.unwrap_or(if dropped { 0 } else { usize::MAX });
    for request in &history.requests {
        if request.answer.is_none() && request.asked < limit {
            let (verb, name, time) = (request.verb, history.name(request.who), history.time(request.asked));
            return Err(format!("{verb:?} {name}, asked at {time} ms, is never answered"));
        }
    }
    Ok(())
}
