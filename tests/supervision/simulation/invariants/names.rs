//! A lookup returns the live actor of a name or none.

use foundation::supervision::Shutdown;

use super::super::history::{At, History, Span};
use super::super::record::{Actor, Entry, Fact, Moment};
use super::super::shape::Who;

pub(super) fn found(history: &History<'_>) -> Result<(), String> {
    for (index, Entry { fact, .. }) in history.record.log.iter().enumerate() {
        match fact {
            // ractor reports an actor that is killed before its first message, or whose task is aborted, as dead only
            // after its destructors have run; so these may still find it, and no other can on this one thread.
            Fact::Came(life, Moment::StateDropped | Moment::Dropped, Some(actor))
                if history.lives[life].actor == Some(*actor) && history.lives[life].at(Moment::Stopping).is_none() => {}
            Fact::Came(life, _, Some(actor)) => is_live(history, life.who, *actor, index)?,
            Fact::Found(who, Some(actor)) => is_live(history, *who, *actor, index)?,
            Fact::Found(who, None) => no_actor_is_missed(history, *who, index)?,
            _ => {}
        }
    }
    Ok(())
}

/// A found actor is up, and its end has not begun.
fn is_live(history: &History<'_>, who: Who, actor: Actor, at: At) -> Result<(), String> {
    let (name, time) = (history.name(who), history.time(at));
    let Some(life) = history.actors.get(&actor) else {
        return Err(format!("a lookup of {name} gives actor {actor} at {time} ms, which is unknown"));
    };
    let span = &history.lives[life];
    let up = span.at(Moment::Up).is_some_and(|up| up < at);
    if life.who != who || !up || span.end_begins() <= at {
        return Err(format!(
            "a lookup of {name} gives {} at {time} ms, which is not live then",
            history.describe(*life)
        ));
    }
    Ok(())
}

/// While nothing moves, every actor that is up is found. One that drains takes no message, and is not found any more.
fn no_actor_is_missed(history: &History<'_>, who: Who, at: At) -> Result<(), String> {
    let drains = matches!(history.shape.members[who].shutdown, Shutdown::Drain(_));
    let may_drain = |span: &Span| drains && span.gone() != At::MAX;
    let live = history.lives.iter().find(|(life, span)| {
        let is_up = span.at(Moment::Up).is_some_and(|up| up < at) && at < span.end_begins();
        life.who == who && is_up && !may_drain(span)
    });
    match live {
        Some((life, _)) => {
            let (name, time) = (history.name(who), history.time(at));
            Err(format!("a lookup of {name} gives no actor at {time} ms, while {} is up", history.describe(*life)))
        }
        None => Ok(()),
    }
}
