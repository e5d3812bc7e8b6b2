//! Giving a name straight to another actor.

use std::sync::Arc;

use ractor::{ActorCell, ActorRef, Message};

use super::error::RegistryError;
use super::holder::{Holder, Origin};
use super::lease::Lease;
use super::service_registry::ServiceRegistry;
use super::table::{Miss, Refusal};
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
        let (table, name) = (&self.space().table, key.name());
        let registry = self.space().registry.upgrade().ok_or_else(|| self.not_running())?;
        self.check_reference(name, to)?;
        let lease = Lease::in_prospect(table, Arc::new(Holder::new::<M>(name.clone(), Origin::Foreign, 0)));
        let mut handed = None;
        let kept = registry.keep(to, lease, &mut |lease, actor| {
            let handed = handed.insert(table.hand_over::<M>(None, lease.holder(), actor));
            handed.is_ok() && !table.is_closed()
        });
        let old = handed.transpose().map_err(|refusal| self.explain_refusal(key, to, refusal))?;
        if let Some(old) = old
            && let Some(actor) = old.actor()
        {
            self.forget(actor, &old);
        }
        kept.map_err(|unkept| self.unkept(name.clone(), to.get_id(), unkept))
    }

    /// Gives a child's name straight to its successor, which holds this lease.
    pub(super) fn succeed<M: Message>(
        &self,
        lease: &Lease,
        from: &ActorCell,
        to: &ActorRef<M>,
    ) -> Result<(), StartError> {
        let key = ServiceKey::<M>::from(lease.holder().name().clone());
        let handed = self.space().table.hand_over::<M>(Some(from.get_id()), lease.holder(), to.get_cell());
        handed.map(drop).map_err(|refusal| match refusal {
            Refusal::Miss(Miss::Absent) => StartError::failed(format!(
                "actor {} does not have the name {} any more, which its successor was to get",
                from.get_id(),
                key.name()
            )),
            refusal => StartError::failed(self.explain_refusal(&key, to, refusal)),
        })
    }

    fn explain_refusal<M: Message>(&self, key: &ServiceKey<M>, to: &ActorRef<M>, refusal: Refusal) -> RegistryError {
        match refusal {
            Refusal::Miss(miss) => explain(&self.space().table, key, miss),
            Refusal::HasIt => RegistryError::AlreadyRegistered {
                namespace: self.namespace(),
                name: key.name().clone(),
                holder: Some(to.get_id()),
            },
        }
    }
}
