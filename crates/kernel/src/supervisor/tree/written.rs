//! How serde writes a tree: empty fields are left out, and a tree that is too deep is an error.

use std::time::Duration;

use serde::ser::{Error as _, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use super::Tree;

/// The most levels of a tree that serde writes, whose formats go deeper on the stack for each: by some 0.6 KB for JSON,
/// and by 1.5 KB for a `serde_json::Value`, if nothing is optimised.
pub(super) const MAX_WRITTEN: usize = 1_024;

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.levels() {
            ..=MAX_WRITTEN => Nested(self).serialize(serializer),
            levels => {
                let Self { id, .. } = self;
                let said = format!("the tree of {id} has {levels} levels, and at most {MAX_WRITTEN} are written");
                Err(S::Error::custom(said))
            }
        }
    }
}

/// A tree that is known not to be too deep.
struct Nested<'a>(&'a Tree);

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Tree", self.fields())?;
        // A function of its own, so that little of this is on the stack while the children are written.
        self.write_alone(&mut fields)?;
        fields.serialize_field("children", &NestedAll(&self.0.children))?;
        fields.end()
    }
}

struct NestedAll<'a>(&'a [Tree]);

impl Serialize for NestedAll<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut children = serializer.serialize_seq(Some(self.0.len()))?;
        for child in self.0 {
            children.serialize_element(&Nested(child))?;
        }
        children.end()
    }
}

impl Nested<'_> {
    /// The number of fields written: empty ones are left out.
    fn fields(&self) -> usize {
        let tree = self.0;
        let left_out = [
            tree.name.is_none(),
            tree.restart.is_none(),
            !tree.significant,
            tree.last_exit.is_none(),
            tree.backoff.is_none(),
            tree.supervision.is_none(),
        ];
        13 - left_out.into_iter().filter(|is_left_out| *is_left_out).count()
    }

    #[inline(never)]
    fn write_alone<F: SerializeStruct>(&self, fields: &mut F) -> Result<(), F::Error> {
        let tree = self.0;
        fields.serialize_field("id", &tree.id)?;
        write_some(fields, "name", tree.name.as_ref())?;
        fields.serialize_field("kind", &tree.kind)?;
        fields.serialize_field("status", &tree.status)?;
        fields.serialize_field("actor", &tree.actor.map(|actor| actor.to_string()))?;
        write_some(fields, "restart", tree.restart.as_ref())?;
        write_some(fields, "significant", Some(&tree.significant).filter(|it| **it))?;
        fields.serialize_field("restarts", &tree.restarts)?;
        write_some(fields, "last_exit", tree.last_exit.as_ref())?;
        write_some(fields, "backoff_ms", tree.backoff.map(Millis).as_ref())?;
        fields.serialize_field("direct", &tree.direct)?;
        write_some(fields, "supervision", tree.supervision.as_ref())
    }
}

fn write_some<F: SerializeStruct, T: Serialize>(
    fields: &mut F,
    name: &'static str,
    value: Option<&T>,
) -> Result<(), F::Error> {
    match value {
        Some(value) => fields.serialize_field(name, value),
        None => fields.skip_field(name),
    }
}

struct Millis(Duration);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::written::millis(&self.0, serializer)
    }
}
