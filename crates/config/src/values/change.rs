use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::path::ConfigPath;

/// The decision to change one value at run time, not yet carried out.
///
/// [`decide`](Self::decide) and [`reset`](Self::reset) check everything and touch nothing;
/// [`ConfigTree::apply`](crate::ConfigTree::apply) carries it out. In between, the change can be recorded: it serialises
/// to `{"path", "old", "new"}`, and `"reset": true` if it drops an override. To replay a recorded change on a
/// configuration that was loaded anew, decide again with its path and its new value.
///
/// ```
/// use foundation_config_server::{ConfigChange, ConfigSources};
///
/// let tree = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.updatable("port")?.load()?;
/// let change = ConfigChange::decide(&tree, "port", 81.into())?;
/// let recorded = serde_json::to_value(&change).expect("a change is plain JSON");
/// assert_eq!(recorded, serde_json::json!({ "path": "port", "old": 80, "new": 81 }));
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The path of the value.
    pub path: ConfigPath,
    /// The value before.
    pub old: Value,
    /// The value after.
    pub new: Value,
    /// Whether the change drops an override, so that the value after it is that of the layers below. That is a change
    /// even if both are equal at the moment: the layers below may change later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

// Its decisions, `decide` and `reset`, are with the tree that they are about: a record has changes and knows no tree.
impl ConfigChange {
    /// Whether nothing changes, so that there is nothing to record or to publish.
    pub fn is_noop(&self) -> bool {
        self.old == self.new && !self.reset
    }
}
