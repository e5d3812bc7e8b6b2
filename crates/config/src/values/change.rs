use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ConfigError;
use super::layers::wrong_type;
use super::origin::Origin;
use super::path::ConfigPath;
use super::tree::ConfigTree;
use super::value_type::{ValueType, fit};

/// The decision to change one value at run time, not yet carried out.
///
/// [`decide`](Self::decide) and [`reset`](Self::reset) check everything and touch nothing; [`ConfigTree::apply`]
/// carries it out. In between, the change can be recorded: it serialises to `{"path", "old", "new"}`, and `"reset":
/// true` if it drops an override. To replay a recorded change on a configuration that was loaded anew, decide again
/// with its path and its new value.
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

impl ConfigChange {
    /// The change that sets a value, as an override.
    ///
    /// The value has to be of the type that the current one has; an integer is taken for a float, and
    /// anything but a section for `null`. Setting the value that the layers below have, where an override
    /// has another one, drops the override, exactly as [`reset`](Self::reset) does; setting the value that is in force
    /// already changes nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownPath`] and [`ConfigError::InvalidPath`]; [`ConfigError::IsSection`], since
    /// only single values can be set; [`ConfigError::NotUpdatable`] and [`ConfigError::Secret`];
    /// [`ConfigError::OverLimit`]; [`ConfigError::WrongType`].
    pub fn decide(tree: &ConfigTree, path: impl AsRef<str>, new: Value) -> Result<Self, ConfigError> {
        let (path, old) = leaf(tree, path.as_ref())?;
        tree.limits().check_value(&path, &new, &Origin::Override)?;
        let is_below = |new: &Value| tree.below(&path) == Some(new);
        let new = if is_below(&new) { new } else { fitted(&path, &old, new)? };
        let reset = new != old && is_below(&new);
        Ok(Self { path, old, new, reset })
    }

    /// The same change, decided on a tree that may have changed since.
    pub(super) fn decide_again(&self, tree: &ConfigTree) -> Result<Self, ConfigError> {
        match self.reset {
            true => Self::reset(tree, &self.path),
            false => Self::decide(tree, &self.path, self.new.clone()),
        }
    }

    /// The change that drops an override, so that the value of the layers below shows again.
    ///
    /// Without an override it is a [no-op](Self::is_noop).
    ///
    /// ```
    /// use foundation_config_server::{ConfigChange, ConfigSources};
    ///
    /// let tree = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.updatable("port")?.load()?;
    /// assert!(ConfigChange::reset(&tree, "port")?.is_noop());
    ///
    /// let changed = tree.apply(&ConfigChange::decide(&tree, "port", 81.into())?)?;
    /// assert_eq!(ConfigChange::reset(&changed, "port")?.new, 80);
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownPath`], [`ConfigError::InvalidPath`], [`ConfigError::IsSection`],
    /// [`ConfigError::NotUpdatable`] and [`ConfigError::Secret`].
    pub fn reset(tree: &ConfigTree, path: impl AsRef<str>) -> Result<Self, ConfigError> {
        let (path, old) = leaf(tree, path.as_ref())?;
        let new = tree.below(&path).unwrap_or(&old).clone();
        let reset = tree.is_overridden(&path);
        Ok(Self { path, old, new, reset })
    }

    /// Whether nothing changes, so that there is nothing to record or to publish.
    pub fn is_noop(&self) -> bool {
        self.old == self.new && !self.reset
    }
}

/// The checked path of a single value that may be changed, and that value.
fn leaf(tree: &ConfigTree, path: &str) -> Result<(ConfigPath, Value), ConfigError> {
    let value = tree.get(path)?;
    let path = ConfigPath::new(path)?;
    match value {
        Value::Object(_) => Err(is_section(tree, &path)),
        _ if tree.hides(path.as_str()) => Err(ConfigError::Secret { path: path.to_string() }),
        _ if !tree.may_change(&path) => Err(not_updatable(tree, &path)),
        value => Ok((path, value.clone())),
    }
}

/// The error for a value that may not change, with some of those that may.
pub(super) fn not_updatable(tree: &ConfigTree, path: &ConfigPath) -> ConfigError {
    let updatable = tree.updatable_paths().take(10).map(ConfigPath::to_string).collect();
    ConfigError::NotUpdatable { path: path.to_string(), updatable }
}

fn is_section(tree: &ConfigTree, section: &ConfigPath) -> ConfigError {
    let inside = tree.paths().filter(|path| path.is_within(section));
    ConfigError::IsSection { path: section.to_string(), keys: inside.take(10).map(ConfigPath::to_string).collect() }
}

fn fitted(path: &ConfigPath, old: &Value, new: Value) -> Result<Value, ConfigError> {
    let (wanted, found) = (ValueType::of(old), ValueType::of(&new));
    match fit(wanted, new) {
        Some(value) if found != ValueType::Section => Ok(value),
        Some(_) => Err(wrong_type(path.as_str(), "single value", found, Origin::Override)),
        None => Err(wrong_type(path.as_str(), wanted.to_string(), found, Origin::Override)),
    }
}
