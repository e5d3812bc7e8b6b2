//! How one tree leads to the next.

use std::collections::BTreeSet;

use super::*;
use crate::config::change::{ConfigChange, not_updatable};

impl ConfigTree {
    /// The tree after a change; this one stays as it is. Costs a copy of all values.
    ///
    /// A change that changes nothing gives an equal tree, of the same generation.
    ///
    /// ```
    /// use foundation::{ConfigChange, ConfigSources};
    ///
    /// let old = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.updatable("port")?.load()?;
    /// let change = ConfigChange::decide(&old, "port", 81.into())?;
    /// let new = old.apply(&change)?;
    /// assert_eq!((old.get("port")?.as_u64(), new.get("port")?.as_u64()), (Some(80), Some(81)));
    /// assert_eq!((old.generation(), new.generation()), (1, 2));
    /// # Ok::<(), foundation::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Stale`] if the change was decided when the path had another value; those of
    /// [`ConfigChange::decide`] if it was not decided on this configuration at all.
    pub fn apply(&self, change: &ConfigChange) -> Result<Self, ConfigError> {
        self.apply_all(std::slice::from_ref(change))
    }

    /// The tree after several changes, all or none: they lead to one generation, and are validated as a whole.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); [`ConfigError::InvalidSection`] if a declared section does not pass its validation
    /// with all of the changes made.
    pub fn apply_all(&self, changes: &[ConfigChange]) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        for change in changes {
            let decided = ConfigChange::decide(self, &change.path, change.new.clone())?;
            if decided.old != change.old {
                let path = change.path.to_string();
                return Err(ConfigError::Stale { path });
            }
            next.set(decided.path, decided.new);
        }
        let mut real = changes.iter().filter(|change| !change.is_noop()).peekable();
        if real.peek().is_none() {
            return Ok(self.clone());
        }
        let paths: Vec<_> = real.map(|change| &change.path).collect();
        next.sections = next.read_sections(|section| paths.iter().any(|path| path.is_within(section)))?;
        next.generation += 1;
        Ok(next)
    }

    fn set(&mut self, path: ConfigPath, value: Value) {
        self.values.replace(&path, value.clone());
        if self.below(&path) == Some(&value) {
            self.overrides.remove(&path);
        } else {
            self.overrides.insert(path, value);
        }
    }

    /// The tree with the layers of another one below the overrides of this one, and what that changes. Secrets are
    /// redacted in the changes. If it changes nothing, the generation stays; lines may have moved all the same.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotUpdatable`] for the first value that may not change; [`ConfigError::Orphaned`] and whatever
    /// [`ConfigChange::decide`] says about overrides that do not fit any more; [`ConfigError::InvalidSection`].
    pub(in crate::config) fn rebase(&self, loaded: Self) -> Result<(Self, Vec<ConfigChange>), ConfigError> {
        let mut next = Self { generation: self.generation, ..loaded };
        for (path, value) in &self.overrides {
            let kept = ConfigChange::decide(&next, path, value.clone()).map_err(|error| orphaned(path, error))?;
            next.set(kept.path, kept.new);
        }
        next.sections = next.read_sections(|_| true)?;
        let changes = self.differences(&next);
        match changes.iter().find(|change| !self.may_change(&change.path)) {
            Some(change) => Err(not_updatable(self, &change.path)),
            None => {
                next.generation += u64::from(!changes.is_empty());
                Ok((next, changes))
            }
        }
    }

    /// What has another value in the next tree, or is only in one of the two.
    fn differences(&self, next: &Self) -> Vec<ConfigChange> {
        let paths: BTreeSet<_> = self.paths().chain(next.paths()).collect();
        let changes = paths.into_iter().filter_map(|path| {
            let (old, new) = (self.value(path), next.value(path));
            let shown = |value| self.shown(path, value);
            (old != new).then(|| ConfigChange { path: path.clone(), old: shown(old), new: shown(new) })
        });
        changes.collect()
    }
}

fn orphaned(path: &ConfigPath, error: ConfigError) -> ConfigError {
    match error {
        ConfigError::UnknownPath { .. } => ConfigError::Orphaned { path: path.to_string() },
        other => other,
    }
}
