//! Giving a name straight to another actor.

use std::sync::Arc;

use ractor::{ActorCell, ActorRef, Message};

use super::error::RegistryError;
use super::holder::{Holder, Origin};
use super::name_guard::NameGuard;
use super::service_registry::ServiceRegistry;
use super::table::{HandOverError, LookupError};
use super::via::explain;
use crate::namespace::ServiceKey;
use crate::supervisor::StartError;

impl ServiceRegistry {
    /// Gives a name straight from its live holder to another live actor of the same message type.
    ///
    /// A lookup at any time finds one of the two holders, and a [`Via`](crate::Via) follows. The metadata is kept. The
    /// old holder lives on without the name, and its end no longer frees it; the new holder's end does, as if it had
    /// been [registered](Self::register). A child that is to be restarted waits until it can have its name back, or as
    /// [`ChildSpec::on_name_taken`](crate::ChildSpec::on_name_taken) says; to give a child's name to its successor,
    /// [`replace`](Self::replace) it.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] if no live actor has the name; [`RegistryError::WrongType`] if it answers to another
    /// message type; [`RegistryError::AlreadyRegistered`] if the actor that is to get the name has it;
    /// [`RegistryError::Dead`] if it has ended, [`RegistryError::WrongReference`] if it answers to another type. In
    /// each case the name stays where it is.
    pub fn hand_over<M: Message>(&self, key: &ServiceKey<M>, to: &ActorRef<M>) -> Result<(), RegistryError> {
        let (table, name) = (&self.state().table, key.name());
        let registry = self.state().registry.upgrade().ok_or_else(|| self.not_running())?;
        self.check_reference(name, to)?;
        let name_guard = NameGuard::unclaimed(table, Arc::new(Holder::new::<M>(name.clone(), Origin::Foreign, 0)));
        let mut handed = None;
        let kept = registry.keep(to, name_guard, &mut |name_guard, actor| {
            let handed = handed.insert(table.hand_over::<M>(None, name_guard.holder(), actor));
            handed.is_ok() && !table.is_closed()
        });
        let old = handed.transpose().map_err(|error| self.explain_hand_over(key, to, error))?;
        if let Some(old) = old
            && let Some(actor) = old.actor()
        {
            self.forget(actor, &old);
        }
        kept.map_err(|error| self.explain_keep(name.clone(), to.get_id(), error))
    }

    /// Gives a child's name straight to its successor, which holds this name guard.
    pub(super) fn succeed<M: Message>(
        &self,
        name_guard: &NameGuard,
        from: &ActorCell,
        to: &ActorRef<M>,
    ) -> Result<(), StartError> {
        let key = ServiceKey::<M>::from(name_guard.holder().name().clone());
        let handed = self.state().table.hand_over::<M>(Some(from.get_id()), name_guard.holder(), to.get_cell());
        handed.map(drop).map_err(|error| match error {
            HandOverError::Lookup(LookupError::Absent) => StartError::failed(format!(
                "actor {} does not have the name {} any more, which its successor was to get",
                from.get_id(),
                key.name()
            )),
            error => StartError::failed(self.explain_hand_over(&key, to, error)),
        })
    }

    fn explain_hand_over<M: Message>(
        &self,
        key: &ServiceKey<M>,
        to: &ActorRef<M>,
        error: HandOverError,
    ) -> RegistryError {
        match error {
            HandOverError::Lookup(miss) => explain(&self.state().table, key, miss),
            HandOverError::HasIt => RegistryError::AlreadyRegistered {
                namespace: self.namespace(),
                name: key.name().clone(),
                holder: Some(to.get_id()),
            },
        }
    }
}
