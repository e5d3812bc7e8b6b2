//! scc's `HashIndex`: writers lock an entry, readers see the last value or an earlier one, and lock nothing.

use std::borrow::Borrow;
use std::marker::PhantomData;
use std::sync::OnceLock;

use loom::sync::MutexGuard;
use loom::sync::atomic::Ordering;

use super::lock::Mutex;
use super::shared::{AtomicShared, Guard, Shared, Tag};

/// Two keys are enough for any scenario.
pub(crate) struct HashIndex<K: 'static, V: 'static, H> {
    slots: [IndexSlot<K, V>; 2],
    hasher: PhantomData<H>,
}

struct IndexSlot<K: 'static, V: 'static> {
    key: OnceLock<K>,
    // The value for writers. They do not read the cell of the readers: loom remembers the last access to a place only,
    // and a writer's own read before its write would hide that another thread has read there, and so the race.
    lock: Mutex<Option<V>>,
    value: AtomicShared<V>,
}

impl<K, V> Default for IndexSlot<K, V> {
    fn default() -> Self {
        Self { key: OnceLock::new(), lock: Mutex::default(), value: AtomicShared::null() }
    }
}

impl<K, V, H> Default for HashIndex<K, V, H> {
    fn default() -> Self {
        Self { slots: [IndexSlot::default(), IndexSlot::default()], hasher: PhantomData }
    }
}

impl<K: Eq, V: Clone, H> HashIndex<K, V, H> {
    fn slot<Q: Eq + ?Sized>(&self, key: &Q) -> Option<&IndexSlot<K, V>>
    where
        K: Borrow<Q>,
    {
        self.slots.iter().find(|slot| slot.key.get().is_some_and(|it| it.borrow() == key))
    }

    pub(crate) fn with_capacity_and_hasher(_: usize, _: H) -> Self {
        Self::default()
    }

    // ---- readers ----

    pub(crate) fn peek<'g, Q: Eq + ?Sized>(&'g self, key: &Q, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
    {
        self.slot(key)?.value.load(Ordering::Acquire, guard).as_ref()
    }

    pub(crate) fn peek_with<Q: Eq + ?Sized, R>(&self, key: &Q, read: impl FnOnce(&K, &V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
    {
        let (slot, guard) = (self.slot(key)?, Guard::new());
        let value = slot.value.load(Ordering::Acquire, &guard).as_ref()?;
        Some(read(slot.key.get()?, value))
    }

    pub(crate) fn iter<'g>(&'g self, guard: &'g Guard) -> impl Iterator<Item = (&'g K, &'g V)> {
        let value = |slot: &'g IndexSlot<K, V>| slot.value.load(Ordering::Acquire, guard).as_ref();
        self.slots.iter().filter_map(move |slot| Some((slot.key.get()?, value(slot)?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.iter(&Guard::new()).count()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    // ---- writers ----

    pub(crate) fn entry_sync(&self, key: K) -> Entry<'_, K, V> {
        let taken = self.slot(&key);
        let free = || self.slots.iter().find(|slot| slot.key.get().is_none());
        let slot = taken.or_else(free).expect("a scenario has at most two keys");
        let _ = slot.key.set(key);
        let lock = slot.lock.lock();
        match lock.clone() {
            Some(value) => Entry::Occupied(OccupiedEntry { slot, value, lock }),
            None => Entry::Vacant(VacantEntry { slot, lock }),
        }
    }

    pub(crate) fn get_sync<Q: Eq + ?Sized>(&self, key: &Q) -> Option<OccupiedEntry<'_, K, V>>
    where
        K: Borrow<Q>,
    {
        let slot = self.slot(key)?;
        let lock = slot.lock.lock();
        let value = lock.clone()?;
        Some(OccupiedEntry { slot, value, lock })
    }

    pub(crate) fn remove_if_sync<Q: Eq + ?Sized>(&self, key: &Q, condition: impl FnOnce(&V) -> bool) -> bool
    where
        K: Borrow<Q>,
    {
        let Some(entry) = self.get_sync(key) else { return false };
        let removed = condition(entry.get());
        if removed {
            entry.remove_entry();
        }
        removed
    }
}

pub(crate) enum Entry<'a, K: 'static, V: 'static> {
    Occupied(OccupiedEntry<'a, K, V>),
    Vacant(VacantEntry<'a, K, V>),
}

pub(crate) struct OccupiedEntry<'a, K: 'static, V: 'static> {
    slot: &'a IndexSlot<K, V>,
    value: V,
    lock: MutexGuard<'a, Option<V>>,
}

impl<K, V: Clone> OccupiedEntry<'_, K, V> {
    pub(crate) fn get(&self) -> &V {
        &self.value
    }

    /// As scc does it: the new one comes before the old one goes, but a reader may have passed the one and not come to
    /// the other. Here it goes first, and a reader in between finds nothing.
    pub(crate) fn update(&mut self, value: V) {
        self.slot.value.swap((None, Tag::None), Ordering::AcqRel);
        self.slot.value.swap((Some(Shared::new(value.clone())), Tag::None), Ordering::AcqRel);
        *self.lock = Some(value.clone());
        self.value = value;
    }

    pub(crate) fn remove_entry(mut self) {
        *self.lock = None;
        self.slot.value.swap((None, Tag::None), Ordering::AcqRel);
    }
}

pub(crate) struct VacantEntry<'a, K: 'static, V: 'static> {
    slot: &'a IndexSlot<K, V>,
    lock: MutexGuard<'a, Option<V>>,
}

impl<'a, K, V: Clone> VacantEntry<'a, K, V> {
    pub(crate) fn insert_entry(mut self, value: V) -> OccupiedEntry<'a, K, V> {
        *self.lock = Some(value.clone());
        self.slot.value.swap((Some(Shared::new(value.clone())), Tag::None), Ordering::AcqRel);
        OccupiedEntry { slot: self.slot, value, lock: self.lock }
    }
}
