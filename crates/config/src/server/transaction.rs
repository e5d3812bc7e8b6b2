//! Requested changes, not decided yet.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::update_error::ConfigUpdateError;
use crate::values::ConfigPath;

/// Several changes that belong together: applied all or none, and validated as a whole.
///
/// Of two operations on the same path the later one counts. An invalid operation, such as one on an invalid path, fails
/// the whole transaction with the error of [`ConfigServer::transaction`](crate::ConfigServer::transaction).
#[must_use = "a transaction does nothing until it is returned to `ConfigServer::transaction`"]
#[derive(Debug, Default)]
pub struct Transaction {
    ops: BTreeMap<ConfigPath, Op>,
    error: Option<ConfigUpdateError>,
}

/// An operation on one value.
pub(super) enum Op {
    Set(Value),
    Reset,
}

/// What the server is asked to change.
#[derive(Debug)]
pub(super) enum Proposal {
    These(BTreeMap<ConfigPath, Op>),
    ResetAll,
}

impl Transaction {
    /// Sets a value.
    pub fn set(self, path: impl AsRef<str>, value: impl Serialize) -> Self {
        let op = |path: &ConfigPath| {
            serde_json::to_value(value)
                .map(Op::Set)
                .map_err(|error| ConfigUpdateError::Unwritable { path: path.clone(), error })
        };
        self.add(path.as_ref(), op)
    }

    /// Drops the value that was set at run time.
    pub fn reset(self, path: impl AsRef<str>) -> Self {
        self.add(path.as_ref(), |_| Ok(Op::Reset))
    }

    fn add(mut self, path: &str, op: impl FnOnce(&ConfigPath) -> Result<Op, ConfigUpdateError>) -> Self {
        let path = ConfigPath::new(path).map_err(ConfigUpdateError::from);
        match path.and_then(|path| Ok((op(&path)?, path))) {
            Ok((op, path)) => drop(self.ops.insert(path, op)),
            // The first error is reported; the others may follow from it.
            Err(error) => drop(self.error.get_or_insert(error)),
        }
        self
    }
}

/// What the transaction asks for, or its first invalid operation.
impl TryFrom<Transaction> for Proposal {
    type Error = ConfigUpdateError;

    fn try_from(transaction: Transaction) -> Result<Self, ConfigUpdateError> {
        match transaction.error {
            Some(error) => Err(error),
            None => Ok(Self::These(transaction.ops)),
        }
    }
}

/// Shows no value: it is not checked yet, and may be a secret.
impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Set(_) => "Set",
            Self::Reset => "Reset",
        })
    }
}
