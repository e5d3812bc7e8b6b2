//! The declarations about a configuration, independent of its layers.

use std::collections::BTreeSet;

use super::audit::Audit;
use super::error::ConfigError;
use super::limits::ConfigLimits;
use super::path::ConfigPath;
use super::section::{ConfigSection, SectionType};

/// A relative path that stands for the whole section.
const EVERYTHING: &str = "*";

#[derive(Clone, Default)]
pub(super) struct Schema {
    sections: Vec<SectionType>,
    updatable: BTreeSet<ConfigPath>,
    secrets: BTreeSet<ConfigPath>,
    pub(super) limits: ConfigLimits,
    pub(super) audit: Audit,
}

impl Schema {
    /// Adds a section type with all its declarations; adding it again changes nothing.
    pub(super) fn add<T: ConfigSection>(&mut self) -> Result<(), ConfigError> {
        let section = SectionType::of::<T>()?;
        if self.index_of::<T>().is_none() {
            self.sections.push(section);
        }
        for path in T::UPDATABLE {
            self.updatable.insert(inside::<T>(path)?);
        }
        for path in T::SECRETS {
            self.secrets.insert(inside::<T>(path)?);
        }
        Ok(())
    }

    pub(super) fn add_updatable(&mut self, path: ConfigPath) {
        self.updatable.insert(path);
    }

    pub(super) fn add_secret(&mut self, path: ConfigPath) {
        self.secrets.insert(path);
    }

    pub(super) fn sections(&self) -> &[SectionType] {
        &self.sections
    }

    pub(super) fn index_of<T: ConfigSection>(&self) -> Option<usize> {
        self.sections.iter().position(SectionType::is::<T>)
    }

    /// Whether the value may change while the program runs.
    pub(super) fn is_updatable(&self, path: &ConfigPath) -> bool {
        path.ancestry().any(|part| self.updatable.contains(part))
    }

    /// Whether the value, or a part of it, is never shown. The path may be that of an error and end in indices.
    pub(super) fn is_secret(&self, path: &str) -> bool {
        let path = path.split('[').next().unwrap_or_default();
        let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
        let mut around = ends.map(|end| &path[..end]);
        around.any(|part| self.secrets.contains(part))
    }

    /// Whether a section has a secret in it; the empty path stands for everything.
    pub(super) fn has_secrets_in(&self, section: &str) -> bool {
        let is_inside = |secret: &ConfigPath| section.is_empty() || secret.ancestry().any(|part| part == section);
        self.secrets.iter().any(is_inside)
    }
}

fn inside<T: ConfigSection>(path: &str) -> Result<ConfigPath, ConfigError> {
    match path {
        EVERYTHING => ConfigPath::new(T::PATH),
        path => ConfigPath::new(format!("{}.{path}", T::PATH)),
    }
}
