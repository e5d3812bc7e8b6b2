use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::{Event, EventId};

/// The causal tree of events: the first one, its effects, their effects, and so on.
///
/// Pruned events are not part of it: the tree begins with the oldest ancestor that is still held. As text it has one
/// line per event, each below its cause.
///
/// ```
/// use foundation_events::{EventStorage, EventStore, NewEvent};
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(EventStore::service(EventStorage::memory()))
/// #     .start().await?;
/// # let events = EventStore::of(&root.namespace(Namespace::Production).await?);
/// let placed = events.append(NewEvent::new("order_placed")?.source("shop")).await?;
/// let placed = events.get(placed).await?.expect("it was just recorded");
/// let paid = events.append(NewEvent::new("order_paid")?.child_of(&placed)).await?;
///
/// let chain = events.chain(paid).await?.expect("it was just recorded");
/// assert_eq!(chain.to_string(), "1 order_placed by shop\n└─ 2 order_paid");
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EventChain {
    links: Vec<ChainLink>,
}

/// One event of an [`EventChain`].
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct ChainLink {
    /// The event.
    pub event: Arc<Event>,
    /// How many causes are above it; 0 for the first.
    pub depth: usize,
    /// Whether it is the last of the effects of its cause.
    pub is_last: bool,
}

impl EventChain {
    /// The tree below `root`, out of these events; the others are left out.
    pub(crate) fn below(root: EventId, events: &BTreeMap<EventId, Arc<Event>>) -> Self {
        let mut effects: HashMap<EventId, Vec<&Arc<Event>>> = HashMap::new();
        for event in events.values() {
            if let Some(cause) = event.causation_id {
                effects.entry(cause).or_default().push(event);
            }
        }
        // No recursion: a chain may be as long as a log. An effect comes after its cause, so this ends.
        let mut links = Vec::new();
        let mut open: Vec<_> = events.get(&root).map(|event| (event, 0, true)).into_iter().collect();
        while let Some((event, depth, is_last)) = open.pop() {
            links.push(ChainLink { event: Arc::clone(event), depth, is_last });
            let below = effects.remove(&event.id).unwrap_or_default();
            let newest_first = below.into_iter().rev().enumerate();
            open.extend(newest_first.map(|(place, event)| (event, depth + 1, place == 0)));
        }
        Self { links }
    }

    /// The events, each before its effects, and the effects of an event in ascending order.
    pub fn links(&self) -> &[ChainLink] {
        &self.links
    }

    /// The event at the root.
    pub fn root(&self) -> Option<&Arc<Event>> {
        self.links.first().map(|link| &link.event)
    }

    /// The direct effects of an event of the tree.
    pub fn effects(&self, id: EventId) -> impl Iterator<Item = &Arc<Event>> {
        self.links.iter().map(|link| &link.event).filter(move |event| event.causation_id == Some(id))
    }
}

impl fmt::Display for EventChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // For each level above, whether more effects follow there.
        let mut goes_on: Vec<bool> = Vec::new();
        for (index, ChainLink { event, depth, is_last }) in self.links.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if let Some(above) = depth.checked_sub(1) {
                goes_on.truncate(above);
                goes_on.iter().try_for_each(|more| f.write_str(if *more { "│  " } else { "   " }))?;
                f.write_str(if *is_last { "└─ " } else { "├─ " })?;
                goes_on.push(!is_last);
            }
            write!(f, "{} {}", event.id, event.kind)?;
            if let Some(source) = &event.source {
                // Escaped, so that any source stays on its line.
                write!(f, " by {}", source.to_string().escape_debug())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::NewEvent;

    /// Events with these causes, by number; 0 for none.
    fn events(causes: &[u64]) -> BTreeMap<EventId, Arc<Event>> {
        let event = |(number, cause): (u64, &u64)| {
            let id = EventId::new(number).unwrap();
            let mut event = NewEvent::new("noted").unwrap().record(id, "production", UNIX_EPOCH);
            event.causation_id = EventId::new(*cause);
            (id, Arc::new(event))
        };
        (1..).zip(causes).map(event).collect()
    }

    #[test]
    fn each_event_stands_below_its_cause_and_what_does_not_belong_is_left_out() {
        let events = events(&[0, 1, 1, 2, 0, 4, 3, 2]);
        let chain = EventChain::below(EventId::FIRST, &events);
        let drawn = "\
1 noted
├─ 2 noted
│  ├─ 4 noted
│  │  └─ 6 noted
│  └─ 8 noted
└─ 3 noted
   └─ 7 noted";
        assert_eq!(chain.to_string(), drawn);
        assert_eq!(chain.effects(EventId::new(2).unwrap()).count(), 2);
    }

    #[test]
    fn a_chain_as_long_as_a_log_overflows_nothing() {
        let causes: Vec<u64> = (0..200_000).collect();
        let chain = EventChain::below(EventId::FIRST, &events(&causes));
        assert_eq!(chain.links().last().map(|link| link.depth), Some(199_999));
    }
}
