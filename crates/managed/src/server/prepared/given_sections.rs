//! The sections of the configuration that services are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use foundation_config_server::ConfigTree;
use foundation_kernel::names::ServiceName;
use parking_lot::Mutex;

/// The configurations that the sections of services are of. It belongs to the namespace, so that a next manager finds what
/// has changed meanwhile.
///
/// # Invariants
///
/// 1. A generation is made from what it was given, also after its service refused a later section.
/// 2. What was given or refused last is not given again before the section changes.
#[derive(Default)]
pub(crate) struct GivenSections(Mutex<BTreeMap<ServiceName, Given>>);

/// What one service was given.
struct Given {
    /// What each generation is made from.
    of: BTreeMap<u64, Arc<ConfigTree>>,
    /// What was given or refused last.
    last: Arc<ConfigTree>,
}

impl GivenSections {
    /// Takes note that a generation of a service is made from its section as of this configuration.
    pub(crate) fn give(&self, name: &ServiceName, generation: u64, tree: &Arc<ConfigTree>) {
        let new = || Given { of: BTreeMap::new(), last: Arc::clone(tree) };
        // Former ones are dropped after the lock is released: their sections are the user's.
        let _former = {
            let mut all = self.0.lock();
            let given = all.entry(name.clone()).or_insert_with(new);
            let of = given.of.insert(generation, Arc::clone(tree));
            (of, std::mem::replace(&mut given.last, Arc::clone(tree)))
        };
    }

    /// Takes note that a service need not, or does not, take its section as of this configuration.
    pub(crate) fn pass_over(&self, name: &ServiceName, tree: &Arc<ConfigTree>) {
        let _former = {
            let mut all = self.0.lock();
            all.get_mut(name).map(|given| std::mem::replace(&mut given.last, Arc::clone(tree)))
        };
    }

    /// The configuration whose section a generation is made from.
    pub(crate) fn of(&self, name: &ServiceName, generation: u64) -> Option<Arc<ConfigTree>> {
        self.0.lock().get(name)?.of.get(&generation).cloned()
    }

    /// Forgets services that are not among these.
    pub(crate) fn keep(&self, is_known: impl Fn(&ServiceName) -> bool) {
        let mut given = self.0.lock();
        let all = std::mem::take(&mut *given).into_iter();
        let (known, forgotten): (BTreeMap<_, _>, BTreeMap<_, _>) = all.partition(|(name, _)| is_known(name));
        *given = known;
        drop(given);
        drop(forgotten);
    }

    /// Forgets the generations of a service that are not among these.
    pub(crate) fn keep_generations(&self, name: &ServiceName, is_kept: impl Fn(u64) -> bool) {
        let _forgotten = {
            let mut all = self.0.lock();
            let Some(given) = all.get_mut(name) else { return };
            let of = std::mem::take(&mut given.of).into_iter();
            let (kept, forgotten): (BTreeMap<_, _>, BTreeMap<_, _>) = of.partition(|(it, _)| is_kept(*it));
            given.of = kept;
            forgotten
        };
    }

    /// Whether the section of a service is neither what was given or refused last, nor what this generation is made from.
    /// One that was never given is given with the next start.
    pub(crate) fn has_changed(&self, name: &ServiceName, generation: u64, path: &str, now: &Arc<ConfigTree>) -> bool {
        let Some(last) = self.0.lock().get(name).map(|given| Arc::clone(&given.last)) else { return false };
        if Arc::ptr_eq(&last, now) {
            return false;
        }
        let is_now = |tree: &Arc<ConfigTree>| tree.get(path).ok() == now.get(path).ok();
        let has_changed = !is_now(&last) && !self.of(name, generation).as_ref().is_some_and(is_now);
        if !has_changed {
            self.pass_over(name, now);
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use foundation_config_server::ConfigSources;
    use serde_json::json;

    use super::*;
    use crate::samples::name;

    fn tree(answer: u64) -> Arc<ConfigTree> {
        let sources = ConfigSources::new().defaults(json!({ "office": { "answer": answer } })).unwrap();
        Arc::new(sources.load().unwrap())
    }

    #[test]
    fn a_generation_is_of_what_it_was_given_after_a_later_section_was_refused() {
        let (sections, desk, given, refused) = (GivenSections::default(), name("desk"), tree(1), tree(2));
        sections.give(&desk, 1, &given);
        assert!(sections.has_changed(&desk, 1, "office", &refused));
        sections.pass_over(&desk, &refused);
        assert!(Arc::ptr_eq(&sections.of(&desk, 1).unwrap(), &given));
        assert!(!sections.has_changed(&desk, 1, "office", &tree(2)), "it is not given again");
        assert!(sections.has_changed(&desk, 1, "office", &tree(3)));
        assert!(!sections.has_changed(&desk, 1, "office", &tree(1)), "it is made from it");

        // A replacement by what is given fails: what runs is as it was.
        sections.give(&desk, 2, &tree(4));
        sections.keep_generations(&desk, |generation| generation == 1);
        assert!(sections.of(&desk, 2).is_none() && Arc::ptr_eq(&sections.of(&desk, 1).unwrap(), &given));
        assert!(!sections.has_changed(&desk, 1, "office", &tree(4)));
    }
}
