//! Values that the layers above keep with a namespace.

use std::any::{Any, TypeId};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::containment::drop_contained;

struct Kept {
    of_type: &'static str,
    id: TypeId,
    value: Arc<dyn Any + Send + Sync>,
}

/// A released value, and whether it has been dropped.
struct Released {
    of_type: &'static str,
    value: Weak<dyn Any + Send + Sync>,
}

/// One value of each type. No foreign code, be it of a maker or of a destructor, runs under the lock.
#[derive(Default)]
pub(crate) struct Extensions(Mutex<State>);

enum State {
    /// A dozen at the most: to compare that many is faster than to hash once.
    Kept(Vec<Kept>),
    /// The namespace has ended. A kept value may refer to the namespace, and the two would keep each other alive.
    Ended(Vec<Released>),
}

impl Default for State {
    fn default() -> Self {
        Self::Kept(Vec::new())
    }
}

impl Extensions {
    /// The value of this type, which is made if there is none.
    pub(crate) fn get_or_make<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(known) = self.0.lock().get() {
            return known;
        }
        let made = Arc::new(make());
        let known = self.0.lock().insert(&made);
        match known {
            Some(known) => {
                drop_contained("an extension that was made twice", made);
                known
            }
            None => made,
        }
    }

    /// Releases all values, and keeps none from now on.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock();
        let State::Kept(values) = &mut *state else { return };
        let values = std::mem::take(values);
        let past = |kept: &Kept| Released { of_type: kept.of_type, value: Arc::downgrade(&kept.value) };
        *state = State::Ended(values.iter().map(past).collect());
        drop(state);
        values.into_iter().for_each(|kept| drop_contained("an extension of a namespace", kept.value));
    }

    /// The types of the released values that are still alive because others hold them.
    pub(crate) fn remains(&self) -> Vec<&'static str> {
        let state = self.0.lock();
        let State::Ended(past) = &*state else { return Vec::new() };
        let mut types: Vec<_> = past.iter().filter(|it| it.value.strong_count() > 0).map(|it| it.of_type).collect();
        types.sort_unstable();
        types
    }
}

impl State {
    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let Self::Kept(values) = self else { return None };
        let kept = values.iter().find(|kept| kept.id == TypeId::of::<T>())?;
        Arc::clone(&kept.value).downcast().ok()
    }

    /// Keeps a value, unless there is one of its type already, which is returned.
    fn insert<T: Send + Sync + 'static>(&mut self, value: &Arc<T>) -> Option<Arc<T>> {
        let known = self.get();
        if let (None, Self::Kept(values)) = (&known, self) {
            let (of_type, id) = (std::any::type_name::<T>(), TypeId::of::<T>());
            values.push(Kept { of_type, id, value: Arc::clone(value) as _ });
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maker_may_ask_for_extensions_of_other_types_and_of_its_own() {
        let extensions = Extensions::default();
        let made = extensions.get_or_make(|| {
            assert_eq!(*extensions.get_or_make(|| 7_u8), 7);
            let inner: Arc<String> = extensions.get_or_make(|| "inner".to_owned());
            format!("around {inner}")
        });
        assert_eq!(*made, "inner", "there is one value of a type, the first that was there");
    }

    #[test]
    fn what_is_kept_goes_with_the_namespace_even_if_its_destructor_panics() {
        struct Panics(#[expect(dead_code, reason = "held for its drop")] Arc<()>);
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("the destructor panics");
            }
        }
        let (extensions, held) = (Extensions::default(), Arc::new(()));
        drop(extensions.get_or_make(|| Panics(Arc::clone(&held))));
        extensions.get_or_make(|| Arc::clone(&held));
        extensions.end();
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(extensions.remains(), ["alloc::sync::Arc<()>"; 0]);
        drop(extensions.get_or_make(|| Arc::clone(&held)));
        assert_eq!(Arc::strong_count(&held), 1, "nothing is kept after the end");
    }
}
