//! The path of a part of a tree.

use std::fmt;
use std::sync::Arc;

/// The path of a part of a [`Tree`](crate::supervision::Tree): the ids from below its top down to the part. Displayed with
/// `/` between them, as [`Tree::find`](crate::supervision::Tree::find) takes it.
///
/// Cheap to clone: the paths of siblings share that of their parent.
#[derive(Clone, Default)]
pub struct TreePath<'a>(Option<Arc<Step<'a>>>);

struct Step<'a> {
    id: &'a str,
    above: TreePath<'a>,
}

/// Drops one after the other: a tree may be deeper than a stack is.
impl Drop for Step<'_> {
    fn drop(&mut self) {
        let mut above = self.above.0.take().and_then(Arc::into_inner);
        while let Some(mut step) = above {
            above = step.above.0.take().and_then(Arc::into_inner);
        }
    }
}

impl<'a> TreePath<'a> {
    pub(super) fn child(&self, id: &'a str) -> Self {
        Self(Some(Arc::new(Step { id, above: self.clone() })))
    }

    /// The ids, from below the top; none at the top.
    pub fn segments(&self) -> Vec<&'a str> {
        let steps = std::iter::successors(self.0.as_ref(), |step| step.above.0.as_ref());
        let mut segments: Vec<_> = steps.map(|step| step.id).collect();
        segments.reverse();
        segments
    }
}

impl fmt::Display for TreePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, id) in self.segments().into_iter().enumerate() {
            let slash = if at > 0 { "/" } else { "" };
            write!(f, "{slash}{id}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TreePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({self})")
    }
}
