//! Collecting the causal tree of an event, in few and large queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::EventChain;
use super::client::EventStore;
use super::event::Event;
use super::id::EventId;
use super::query::Query;
use super::store_error::EventStoreError;

/// The most causes of one query.
const MAX_CAUSES: usize = 500;

type Known = BTreeMap<EventId, Arc<Event>>;

impl EventStore {
    /// The causal tree of an event: its oldest known ancestor and all its effects, direct and indirect; `None` if there
    /// is no such event.
    ///
    /// Whole requests are read at once, by their correlation id: the cost grows with the events of all requests that
    /// the tree touches.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn chain(&self, id: EventId) -> Result<Option<EventChain>, EventStoreError> {
        let mut known = Known::new();
        let Some(event) = self.get(id).await? else { return Ok(None) };
        self.learn_request(&event, &mut known).await?;
        let root = self.root_of(event, &mut known).await?;
        self.learn_effects(&mut known).await?;
        Ok(Some(EventChain::below(root, &known)))
    }

    /// Adds an event and all others of its request; returns the new ones.
    async fn learn_request(&self, event: &Arc<Event>, known: &mut Known) -> Result<Vec<EventId>, EventStoreError> {
        let mut new = self.by_correlation(event.correlation_id).await?;
        // It may have been pruned in the meantime.
        new.push(Arc::clone(event));
        new.retain(|event| known.insert(event.id, Arc::clone(event)).is_none());
        Ok(new.into_iter().map(|event| event.id).collect())
    }

    async fn root_of(&self, event: Arc<Event>, known: &mut Known) -> Result<EventId, EventStoreError> {
        let mut root = event;
        while let Some(id) = root.causation_id {
            if let Some(cause) = known.get(&id) {
                root = Arc::clone(cause);
                continue;
            }
            let Some(cause) = self.get(id).await? else { break };
            self.learn_request(&cause, known).await?;
            root = cause;
        }
        Ok(root.id)
    }

    /// Adds the effects of the known events in other requests, and these requests, until there are no more.
    async fn learn_effects(&self, known: &mut Known) -> Result<(), EventStoreError> {
        let mut unasked: Vec<EventId> = known.keys().copied().collect();
        while !unasked.is_empty() {
            let asked = unasked.split_off(unasked.len().saturating_sub(MAX_CAUSES));
            let query = asked.into_iter().fold(Query::new(), Query::causation);
            for effect in self.query(query).await? {
                if !known.contains_key(&effect.id) {
                    unasked.extend(self.learn_request(&effect, known).await?);
                }
            }
        }
        Ok(())
    }
}
