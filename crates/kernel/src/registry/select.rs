//! Finding services by a predicate.

use std::sync::Arc;

use ractor::ActorCell;
use scc::Guard;

use super::change::Registration;
use super::holder::{Holder, Origin};
use super::metadata::Metadata;
use super::service_registry::ServiceRegistry;
use super::view::NameIncarnation;
use crate::namespace::ServiceName;

/// What a predicate sees of a service: borrowed, for the time of one call.
pub struct ServiceEntry<'a> {
    holder: &'a Holder,
    actor: &'a ActorCell,
    metadata: Option<&'a Metadata>,
}

impl<'a> ServiceEntry<'a> {
    /// Its name.
    pub fn name(&self) -> &'a ServiceName {
        self.holder.name()
    }

    /// The actor that has the name.
    pub fn actor(&self) -> &'a ActorCell {
        self.actor
    }

    /// The metadata that its owner has set.
    pub fn metadata(&self) -> Option<&'a Metadata> {
        self.metadata
    }

    /// The message type that it answers to, for display.
    pub fn message(&self) -> &'static str {
        self.holder.message()
    }

    /// How often the child that registers this name was started again, since it has its present specification.
    pub fn restarts(&self) -> u32 {
        self.holder.restarts()
    }

    /// Whether it was started elsewhere and only registered here.
    pub fn is_foreign(&self) -> bool {
        self.holder.origin() == Origin::Foreign
    }
}

/// Elixir's `match`, `select`, `count_match` and `unregister_match`, with a function in the place of a match
/// specification. Each visits every live service of the namespace once, without a lock: services that come or go
/// meanwhile may or may not be seen.
impl ServiceRegistry {
    /// The live services that a predicate accepts, sorted by name.
    pub fn select(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Vec<Registration> {
        let accepted = self.accepted(accepts);
        accepted
            .iter()
            .filter_map(|holder| holder.registration(holder.versioned_metadata().map(|(_, metadata)| metadata)))
            .collect()
    }

    /// The first live service, by name, that a predicate accepts.
    ///
    /// ```
    /// # use foundation_kernel::{Namespace, ProcessRegistry};
    /// # async fn example(names: foundation_kernel::ServiceRegistry) {
    /// let in_europe = names.find(|service| {
    ///     service.metadata().and_then(|it| it.get("zone")).is_some_and(|zone| zone == "eu")
    /// });
    /// # let _ = in_europe;
    /// # }
    /// ```
    pub fn find(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Option<Registration> {
        self.select(accepts).into_iter().next()
    }

    /// How many live services a predicate accepts.
    pub fn count_matching(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> usize {
        self.accepted(accepts).len()
    }

    /// Takes the names away from those that a predicate accepts; the actors live on without them. The names, sorted.
    pub fn unregister_matching(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Vec<ServiceName> {
        let accepted = self.accepted(accepts).into_iter();
        accepted.filter(|holder| self.take_away(holder)).map(|holder| holder.name().clone()).collect()
    }

    fn accepted(&self, mut accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Vec<Arc<Holder>> {
        let guard = Guard::new();
        let mut accepted = Vec::new();
        self.state().table.each(&guard, |holder| {
            let Some(actor) = holder.live() else { return };
            let metadata = holder.description(&guard).map(|description| &description.metadata);
            if accepts(&ServiceEntry { holder, actor, metadata }) {
                accepted.push(Arc::clone(holder));
            }
        });
        accepted.sort_by(|a, b| a.name().cmp(b.name()));
        // A table that grows meanwhile shows some twice.
        accepted.dedup_by(|a, b| a.name() == b.name());
        accepted
    }
}
