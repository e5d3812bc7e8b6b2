//! Finding a supervisor by its name.

use futures::future::BoxFuture;

use super::error::ChildError;

/// A name, and its current holder. Implemented by the layer above, to which the names belong.
pub trait Find<T>: Send + Sync {
    /// The name, for display.
    fn name(&self) -> &str;

    /// The holder that takes requests now.
    fn live(&self) -> Result<T, ChildError>;

    /// The holder that takes requests; waits for one within a limit.
    fn wait_for_live(&self) -> BoxFuture<'_, Result<T, ChildError>>;

    /// The holder now, whatever it is doing.
    fn holder(&self) -> NameHolder<T>;
}

/// The holder of a name.
#[derive(Debug)]
pub enum NameHolder<T> {
    /// There is none.
    Absent,
    /// It is being started.
    Starting,
    /// It is being started, after another incarnation.
    Restarting,
    /// It takes requests, or it did and is not gone yet.
    Begun(T),
}

impl<T> NameHolder<T> {
    /// The same with another value.
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> NameHolder<U> {
        match self {
            Self::Absent => NameHolder::Absent,
            Self::Starting => NameHolder::Starting,
            Self::Restarting => NameHolder::Restarting,
            Self::Begun(holder) => NameHolder::Begun(map(holder)),
        }
    }
}
