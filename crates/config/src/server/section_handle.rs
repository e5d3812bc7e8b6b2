use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use super::current::Current;
use crate::values::{ConfigError, ConfigSection, ConfigTree};

/// A handle on a declared section, for a caller that reads it often. It works while the config server is away.
///
/// [`latest`](Self::latest) is the fastest way to a setting: a comparison of two pointers while nothing has changed,
/// and no write to shared memory. [`get`](Self::get) needs no `&mut` and counts the `Arc`. Both return a section that
/// does not change under its reader. A clone has a cache of its own, so give one to each task.
///
/// ```
/// use foundation_config_server::{ConfigSection, ConfigServer, ConfigSources};
/// use foundation_events::{EventStorage, EventStore};
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, garde::Validate)]
/// struct Http {
///     #[garde(range(min = 1))]
///     port: u16,
/// }
///
/// impl ConfigSection for Http {
///     const PATH: &'static str = "http";
///     const UPDATABLE: &'static [&'static str] = &["port"];
///
///     fn defaults() -> serde_json::Value {
///         serde_json::json!({ "port": 8080 })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let sources = ConfigSources::new().section::<Http>()?;
/// # let base = std::sync::Arc::new(sources.load()?);
/// # let root = ProcessRegistry::builder()
/// #     .service(EventStore::service(EventStorage::memory()))
/// #     .service(ConfigServer::service(base.clone()))
/// #     .start().await?;
/// # let config = ConfigServer::new(&root.namespace(Namespace::Production).await?, &base);
/// let mut http = config.section_handle::<Http>()?;
/// assert_eq!(http.latest().port, 8080);
///
/// config.update("http.port", 9090).await?;
/// assert_eq!(http.latest().port, 9090);
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Section<T> {
    tree: Cache<Arc<ArcSwap<ConfigTree>>, Arc<ConfigTree>>,
    index: usize,
    /// The address of the tree that `section` is from. The cache keeps that tree alive, so no other tree can have this
    /// address while it is compared.
    seen: usize,
    section: Arc<T>,
}

impl<T: ConfigSection> Section<T> {
    pub(super) fn new(current: &Current) -> Result<Self, ConfigError> {
        let mut cache = Cache::new(current.tree_cell());
        let tree: &Arc<ConfigTree> = cache.load();
        let (index, section, seen) = (tree.section_index::<T>()?, tree.section::<T>()?, address(tree));
        Ok(Self { tree: cache, index, seen, section })
    }

    /// The section as it is now. Costs about a nanosecond while nothing changes.
    #[inline]
    pub fn latest(&mut self) -> &Arc<T> {
        if address(self.tree.load()) != self.seen {
            self.take_new();
        }
        &self.section
    }

    #[cold]
    fn take_new(&mut self) {
        let tree = self.tree.load();
        self.seen = address(tree);
        // Every tree of a namespace has the same sections, so there always is one.
        if let Some(section) = tree.section_at(self.index) {
            self.section = Arc::clone(section);
        }
    }

    /// The section as it is now, shared. Costs a load of the current tree and a count of the `Arc`.
    pub fn get(&self) -> Arc<T> {
        let tree = self.tree.arc_swap().load();
        Arc::clone(tree.section_at(self.index).unwrap_or(&self.section))
    }
}

fn address(tree: &Arc<ConfigTree>) -> usize {
    Arc::as_ptr(tree).addr()
}

impl<T> Clone for Section<T> {
    fn clone(&self) -> Self {
        Self { tree: self.tree.clone(), index: self.index, seen: self.seen, section: Arc::clone(&self.section) }
    }
}

impl<T> fmt::Debug for Section<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section<{}>", std::any::type_name::<T>())
    }
}
