//! Watching the names of a namespace.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::task::coop::poll_proceed;

use super::change::{NameChange, Registration};
use super::holder::Holder;
use super::inbox::Found;
use super::service_registry::ServiceRegistry;
use super::table::Table;
use super::view::View;
use super::watches::FactInbox;
use crate::namespace::{ServiceKey, ServiceName};

/// How many changes are kept for a slow reader.
const CAPACITY: usize = 1_024;

/// An item of a [`Watch`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// The current registrations, sorted by name; the first item of a watch.
    Snapshot(Vec<Registration>),
    /// The reader was too slow: so many changes or more were dropped, and this is the current state. The changes go on
    /// from here; earlier state is obsolete.
    Lagged {
        /// How many facts were dropped, of which each could have been a change.
        missed: u64,
        /// As in [`Snapshot`](Self::Snapshot).
        snapshot: Vec<Registration>,
    },
    /// Something has changed since.
    Change(NameChange),
}

/// The current names of a namespace, and then each change of them. Elixir's listeners of a `Registry`, as a stream.
///
/// The first item is a snapshot; the changes go on from it with neither gap nor duplicate. They come in the order in
/// which they happened, for each name strictly. Across names all watches of a namespace show the same order, and a
/// change that was finished before another began comes before it; but a death comes when its reason is known, which may
/// be after later changes of other names.
///
/// No writer ever waits for a reader. For a slow reader [`capacity`](Watch::capacity) facts are kept; beyond that they
/// are dropped, and the reader gets a fresh snapshot with [`Watched::Lagged`]. Changes are reported after they have
/// been made: a lookup finds a name that was shown, unless it has ended meanwhile.
///
/// It ends when the namespace does. Dropped, it is gone at once.
///
/// A watch costs its reader a map of the names that it knows, and a writer one lock and a push for each watch. Without
/// a watch a writer pays one read of a number, and a lookup never pays anything. The first watch of a name has the
/// process registry monitor its actor, in order to report why it ended.
///
/// ```
/// use foundation_kernel::{NameChange, Namespace, ProcessRegistry, ServiceKey, Watched};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// const CLERK: ServiceKey<u64> = ServiceKey::new("clerk");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let names = registry.namespace(Namespace::test()).await?;
/// let mut watch = names.watch();
/// assert_eq!(watch.next().await, Some(Watched::Snapshot(Vec::new())));
///
/// let clerk = names.spawn(&CLERK, Clerk, ()).await?;
/// let Some(Watched::Change(NameChange::Registered(service))) = watch.next().await else { panic!() };
/// assert_eq!(service.actor, clerk.get_id());
///
/// clerk.kill();
/// let Some(Watched::Change(died)) = watch.next().await else { panic!() };
/// assert!(died.to_string().ends_with("ended: killed"));
///
/// registry.shutdown().await;
/// assert_eq!(watch.next().await, None);
/// # Ok(())
/// # }
/// ```
#[must_use = "a watch that is dropped sees nothing"]
pub struct Watch {
    table: Arc<Table>,
    /// The name that it watches; all of them if there is none.
    name: Option<ServiceName>,
    inbox: Arc<FactInbox>,
    view: View<Arc<Holder>>,
    unshown: VecDeque<Watched>,
    over: bool,
}

impl ServiceRegistry {
    /// Watches all names of this namespace.
    ///
    /// Cost: linear in what the namespace holds.
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.state().table), None)
    }

    /// Watches one name, whether it is taken or not.
    pub fn watch_service<M>(&self, key: &ServiceKey<M>) -> Watch {
        Watch::new(Arc::clone(&self.state().table), Some(key.name().clone()))
    }
}

impl Watch {
    fn new(table: Arc<Table>, name: Option<ServiceName>) -> Self {
        let inbox = Arc::new(FactInbox::new(CAPACITY));
        // Subscribe before reading: a change between the two is noticed.
        table.watches().enter(name.as_ref(), &inbox);
        let view = table.snapshot(name.as_ref());
        let unshown = VecDeque::from([Watched::Snapshot(view.snapshot())]);
        Self { table, name, inbox, view, unshown, over: false }
    }

    /// Keeps this many unread changes, at least 1, before the reader counts as slow. Default: 1,024.
    pub fn capacity(self, changes: usize) -> Self {
        self.inbox.set_capacity(changes);
        self
    }

    /// The next item; `None` when the namespace has ended. This method is cancel safe.
    pub async fn next(&mut self) -> Option<Watched> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Watched>> {
        // A reader with many changes does not keep its thread from other tasks.
        let turn = ready!(poll_proceed(context));
        let shown = self.show(context);
        if shown.is_ready() {
            turn.made_progress();
        }
        shown
    }

    fn show(&mut self, context: &Context<'_>) -> Poll<Option<Watched>> {
        loop {
            if let Some(watched) = self.unshown.pop_front() {
                return Poll::Ready(Some(watched));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let unshown = &mut self.unshown;
            let mut show = |change| unshown.push_back(Watched::Change(change));
            match self.inbox.take(context) {
                Found::Fact(fact) => self.view.apply(fact, &mut show),
                Found::Missed(missed) => {
                    self.view = self.table.snapshot(self.name.as_ref());
                    self.unshown.push_back(Watched::Lagged { missed, snapshot: self.view.snapshot() });
                }
                Found::Closed => {
                    self.view.close(&mut show);
                    self.over = true;
                }
                Found::Nothing => return Poll::Pending,
            }
        }
    }
}

impl Stream for Watch {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Watched>> {
        self.poll(context)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.table.watches().leave(self.name.as_ref(), &self.inbox);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = self.name.as_ref().map_or("all names", ServiceName::as_str);
        write!(f, "Watch({what} in {})", self.table.namespace())
    }
}
