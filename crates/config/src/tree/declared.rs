//! The declarations of a tree: sections with types, updatable values, and secrets.

use super::*;
use crate::layers::replace;
use foundation_kernel::text::excerpt;

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

impl ConfigTree {
    /// A section as its declared type, as read and validated when this tree was made.
    ///
    /// Costs a search in the list of the declared types and a count of the `Arc`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UndeclaredSection`].
    pub fn section<T: ConfigSection>(&self) -> Result<Arc<T>, ConfigError> {
        let index = self.section_index::<T>()?;
        self.section_at(index).map(Arc::clone).ok_or_else(undeclared::<T>)
    }

    pub(crate) fn section_index<T: ConfigSection>(&self) -> Result<usize, ConfigError> {
        self.schema.index_of::<T>().ok_or_else(undeclared::<T>)
    }

    pub(crate) fn section_at<T: ConfigSection>(&self, index: usize) -> Option<&Arc<T>> {
        self.sections.get(index).and_then(typed)
    }

    /// All snapshots of sections, in the order of their declaration.
    pub(crate) fn snapshots(&self) -> Arc<[Snapshot]> {
        Arc::clone(&self.sections)
    }

    /// The values that may change at run time, sorted.
    ///
    /// ```
    /// use foundation_config_server::ConfigSources;
    ///
    /// let defaults = serde_json::json!({ "server": { "host": "localhost", "port": 80 } });
    /// let tree = ConfigSources::new().defaults(defaults)?.updatable("server.port")?.load()?;
    /// assert!(tree.updatable_paths().map(|path| path.as_str()).eq(["server.port"]));
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    pub fn updatable_paths(&self) -> impl Iterator<Item = &ConfigPath> {
        self.paths().filter(|path| self.may_change(path) && !self.schema.is_secret(path.as_str()))
    }

    /// Whether the value was declared to be updatable.
    pub(crate) fn may_change(&self, path: &ConfigPath) -> bool {
        self.schema.is_updatable(path)
    }

    /// Whether a message about this path must not contain its value: it is a secret, or a section with one in it. The
    /// path may lead to a part of an array; the empty path stands for everything.
    pub(crate) fn hides(&self, path: &str) -> bool {
        self.schema.is_secret(path) || self.schema.has_secrets_in(path)
    }

    /// The value as it may be shown.
    pub(crate) fn shown(&self, path: &ConfigPath, value: Value) -> Value {
        if value.is_null() || !self.schema.is_secret(path.as_str()) { value } else { Value::from(REDACTED) }
    }

    /// The whole configuration, with `"[redacted]"` in place of each secret: to write it down or to send it away. Costs
    /// a copy of all values.
    ///
    /// ```
    /// use foundation_config_server::ConfigSources;
    /// use serde_json::json;
    ///
    /// let defaults = json!({ "database": { "user": "app", "password": "hunter2" } });
    /// let tree = ConfigSources::new().defaults(defaults)?.secret("database.password")?.load()?;
    /// assert_eq!(tree.export(), json!({ "database": { "user": "app", "password": "[redacted]" } }));
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    pub fn export(&self) -> Value {
        let mut values = self.values.root().clone();
        for path in self.paths().filter(|path| self.schema.is_secret(path.as_str())) {
            let shown = self.shown(path, self.value(path));
            replace(&mut values, path, shown);
        }
        values
    }

    /// The value at the path of a leaf; `null` if there is none.
    pub(super) fn value(&self, path: &ConfigPath) -> Value {
        self.values.get(path.as_str()).cloned().unwrap_or_default()
    }

    pub(crate) fn limits(&self) -> ConfigLimits {
        self.schema.limits
    }

    pub(crate) fn audit(&self) -> Audit {
        self.schema.audit
    }

    pub(crate) fn source(&self) -> Option<Arc<dyn Source>> {
        self.source.clone()
    }

    /// The snapshots of all sections: those that have to be read are read anew, the others are taken over.
    pub(super) fn read_sections(
        &self,
        has_changed: impl Fn(&ConfigPath) -> bool,
    ) -> Result<Arc<[Snapshot]>, ConfigError> {
        let sections = self.schema.sections().iter().enumerate();
        let snapshots = sections.map(|(index, section)| match self.sections.get(index) {
            Some(snapshot) if !has_changed(section.path()) => Ok(Arc::clone(snapshot)),
            _ => self.read_section(section),
        });
        snapshots.collect()
    }

    fn read_section(&self, section: &SectionType) -> Result<Snapshot, ConfigError> {
        let path = section.path().as_str();
        let nothing = Value::Object(serde_json::Map::new());
        let values = self.values.get(path).unwrap_or(&nothing);
        section.read(values).map_err(|fault| match fault {
            SectionError::Unreadable(fault) => self.misfit(path, &fault),
            SectionError::Invalid(faults) => {
                let values = faults.into_iter().map(|(field, reason)| self.invalid(path, &field, reason));
                ConfigError::InvalidSection { section: path.to_owned(), values: values.collect() }
            }
            SectionError::Panicked(reason) => {
                // The reason may contain the value.
                let reason = if self.hides(path) { "there is a secret in it".to_owned() } else { excerpt(&reason) };
                ConfigError::Panicked { what: format!("the check of config section {path}"), reason }
            }
        })
    }

    fn invalid(&self, section: &str, field: &str, reason: String) -> InvalidValue {
        let path = if field.is_empty() { section.to_owned() } else { format!("{section}.{field}") };
        // The message of a hand-written check may contain the value.
        let reason = if self.hides(&path) { "not valid, and a secret".to_owned() } else { excerpt(&reason) };
        InvalidValue { origin: self.origin_of_part(&path), path, reason }
    }
}
