//! How one tree leads to the next.

use std::collections::BTreeSet;

use super::*;
use crate::change::{ConfigChange, not_updatable};

impl ConfigTree {
    /// The tree after a change; this one stays as it is. Costs a copy of all values.
    ///
    /// A change that changes nothing gives an equal tree, of the same generation.
    ///
    /// ```
    /// use foundation_config_server::{ConfigChange, ConfigSources};
    ///
    /// let old = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.updatable("port")?.load()?;
    /// let change = ConfigChange::decide(&old, "port", 81.into())?;
    /// let new = old.apply(&change)?;
    /// assert_eq!((old.get("port")?.as_u64(), new.get("port")?.as_u64()), (Some(80), Some(81)));
    /// assert_eq!((old.generation(), new.generation()), (1, 2));
    /// # Ok::<(), foundation_config_server::ConfigError>(())
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
        let decided: Vec<_> = changes.iter().map(|change| self.decided_again(change)).collect::<Result<_, _>>()?;
        let real: Vec<_> = decided.into_iter().filter(|change| !change.is_noop()).collect();
        if real.is_empty() {
            return Ok(self.clone());
        }
        let mut next = self.clone();
        real.iter().for_each(|change| next.carry_out(change));
        next.sections = next.read_sections(|section| real.iter().any(|change| change.path.is_within(section)))?;
        next.generation += 1;
        Ok(next)
    }

    fn decided_again(&self, change: &ConfigChange) -> Result<ConfigChange, ConfigError> {
        let decided = change.decide_again(self)?;
        match decided.old == change.old {
            true => Ok(decided),
            false => Err(ConfigError::Stale { path: change.path.to_string() }),
        }
    }

    fn carry_out(&mut self, change: &ConfigChange) {
        self.values.replace(&change.path, change.new.clone());
        match change.reset {
            true => drop(self.overrides.remove(&change.path)),
            false => drop(self.overrides.insert(change.path.clone(), change.new.clone())),
        }
    }

    /// The layers of this tree alone. Its sections are not read yet.
    pub(crate) fn without_overrides(&self) -> Self {
        let values = Values::new(self.base.values().clone());
        Self { values, overrides: BTreeMap::new(), ..self.clone() }
    }

    /// The layers of this tree with exactly these overrides over them, which it does not have yet; of the same
    /// generation.
    ///
    /// # Errors
    ///
    /// The error of [`ConfigChange::decide`] for the first one that does not fit; [`ConfigError::InvalidSection`].
    pub(crate) fn with_overrides(mut self, overrides: Overrides) -> Result<Self, ConfigError> {
        for (path, value) in &overrides {
            let fitted = ConfigChange::decide(&self, path, value.clone()).map_err(|error| orphaned(path, error))?;
            self.values.replace(path, fitted.new);
        }
        self.overrides = overrides;
        self.sections = self.read_sections(|_| true)?;
        Ok(self)
    }

    /// The tree with the layers of another one below the overrides of this one, and what that changes. Secrets are
    /// redacted in the changes. If it changes nothing, the generation stays; lines may have moved nevertheless.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotUpdatable`] for the first value that may not change; [`ConfigError::Orphaned`] and the errors
    /// of [`ConfigChange::decide`] about overrides that do not fit any more; [`ConfigError::InvalidSection`].
    pub(crate) fn rebase(&self, loaded: Self) -> Result<(Self, Vec<ConfigChange>), ConfigError> {
        let next = Self { generation: self.generation, ..loaded };
        let mut next = next.with_overrides(self.overrides.clone())?;
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
    pub(crate) fn differences(&self, next: &Self) -> Vec<ConfigChange> {
        let paths: BTreeSet<_> = self.paths().chain(next.paths()).collect();
        let changes = paths.into_iter().filter_map(|path| {
            let (old, new) = (self.value(path), next.value(path));
            let shown = |value| self.shown(path, value);
            (old != new).then(|| ConfigChange { path: path.clone(), old: shown(old), new: shown(new), reset: false })
        });
        changes.collect()
    }

    /// The same as a tree of the next generation.
    pub(crate) fn advanced(mut self) -> Self {
        self.generation += 1;
        self
    }
}

fn orphaned(path: &ConfigPath, error: ConfigError) -> ConfigError {
    match error {
        ConfigError::UnknownPath { .. } => ConfigError::Orphaned { path: path.to_string() },
        other => other,
    }
}
