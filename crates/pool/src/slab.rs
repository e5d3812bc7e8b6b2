//! Items at numbered places, which they keep until they are taken out, and chains of them.
//!
//! 1. A place is free, or has an item. Free places are used again before the slab grows.
//! 2. An item is in at most one chain. Whoever takes an item out has unlinked it before.
//! 3. Each step takes the same time, however many items there are.

/// The mark of a link that leads nowhere.
const NONE: u32 = u32::MAX;

/// The place of an item in its slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlabIndex(u32);

impl SlabIndex {
    fn of_link(link: u32) -> Option<Self> {
        (link != NONE).then_some(Self(link))
    }

    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }
}

/// Items at numbered places. One takes eight bytes beside itself.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    cells: Vec<Cell<T>>,
    /// The first free place; the others follow by their `next`.
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Cell<T> {
    item: Option<T>,
    before: u32,
    next: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { cells: Vec::new(), free: NONE, len: 0 }
    }
}

impl<T> Slab<T> {
    #[cfg(test)]
    pub(crate) const BYTES_EACH: usize = size_of::<Cell<T>>();

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an item, which is in no chain. The capacity of a queue keeps it below the numbers
    /// that there are.
    pub(crate) fn insert(&mut self, item: T) -> SlabIndex {
        self.len += 1;
        let cell = Cell { item: Some(item), before: NONE, next: NONE };
        let at = self.free;
        match self.cells.get_mut(at as usize) {
            Some(free) => {
                self.free = free.next;
                *free = cell;
                SlabIndex(at)
            }
            None => {
                self.cells.push(cell);
                SlabIndex((self.cells.len() - 1) as u32)
            }
        }
    }

    pub(crate) fn get(&self, at: SlabIndex) -> Option<&T> {
        self.cells.get(at.number())?.item.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: SlabIndex) -> Option<&mut T> {
        self.cells.get_mut(at.number())?.item.as_mut()
    }

    /// Takes out an item that is in no chain.
    pub(crate) fn take(&mut self, at: SlabIndex) -> Option<T> {
        let cell = self.cells.get_mut(at.number())?;
        let item = cell.item.take()?;
        cell.next = std::mem::replace(&mut self.free, at.0);
        self.len -= 1;
        Some(item)
    }

    /// Takes out all items, in no order. The chains of them are to be forgotten.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(self).cells.into_iter().filter_map(|cell| cell.item)
    }

    fn set_next(&mut self, at: u32, next: u32) {
        if let Some(cell) = self.cells.get_mut(at as usize) {
            cell.next = next;
        }
    }

    fn set_before(&mut self, at: u32, before: u32) {
        if let Some(cell) = self.cells.get_mut(at as usize) {
            cell.before = before;
        }
    }
}

/// Items of one slab, one after the other. An item can leave from anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl Chain {
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(crate) fn first(&self) -> Option<SlabIndex> {
        SlabIndex::of_link(self.first)
    }

    /// Adds an item at the end.
    pub(crate) fn push_back<T>(&mut self, slab: &mut Slab<T>, at: SlabIndex) {
        self.link(slab, self.last, at.0, NONE);
    }

    /// Adds an item before all others.
    pub(crate) fn push_front<T>(&mut self, slab: &mut Slab<T>, at: SlabIndex) {
        self.link(slab, NONE, at.0, self.first);
    }

    fn link<T>(&mut self, slab: &mut Slab<T>, before: u32, at: u32, next: u32) {
        slab.set_before(at, before);
        slab.set_next(at, next);
        if before == NONE {
            self.first = at
        } else {
            slab.set_next(before, at)
        }
        if next == NONE { self.last = at } else { slab.set_before(next, at) }
    }

    /// Removes an item of this chain, wherever it is.
    pub(crate) fn unlink<T>(&mut self, slab: &mut Slab<T>, at: SlabIndex) {
        let Some(cell) = slab.cells.get_mut(at.number()) else { return };
        let (before, next) = (std::mem::replace(&mut cell.before, NONE), std::mem::replace(&mut cell.next, NONE));
        if before == NONE {
            self.first = next
        } else {
            slab.set_next(before, next)
        }
        if next == NONE { self.last = before } else { slab.set_before(next, before) }
    }

    /// The places of its items, in order.
    pub(crate) fn iter<T>(self, slab: &Slab<T>) -> impl Iterator<Item = SlabIndex> {
        std::iter::successors(self.first(), |at| {
            slab.cells.get(at.number()).and_then(|cell| SlabIndex::of_link(cell.next))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Back(usize),
        Front(usize),
        /// Takes the item at this share of the length.
        Take(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..3_usize).prop_map(Step::Back),
            1 => (0..3_usize).prop_map(Step::Front),
            3 => (0..3_usize, 0..1_000_usize).prop_map(|(chain, at)| Step::Take(chain, at)),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn chains_keep_their_order_whatever_leaves_and_free_places_are_used_again(steps in steps()) {
            let (mut slab, mut chains) = (Slab::default(), [Chain::default(); 3]);
            let mut expected = [const { VecDeque::<(SlabIndex, usize)>::new() }; 3];
            let mut most = 0;
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Back(chain) => {
                        let at = slab.insert(number);
                        chains[chain].push_back(&mut slab, at);
                        expected[chain].push_back((at, number));
                    }
                    Step::Front(chain) => {
                        let at = slab.insert(number);
                        chains[chain].push_front(&mut slab, at);
                        expected[chain].push_front((at, number));
                    }
                    Step::Take(chain, at) if !expected[chain].is_empty() => {
                        let at = at % expected[chain].len();
                        let (at, number) = expected[chain].remove(at).unwrap();
                        chains[chain].unlink(&mut slab, at);
                        prop_assert_eq!(slab.take(at), Some(number));
                        prop_assert_eq!(slab.take(at), None);
                    }
                    Step::Take(..) => {}
                }
                most = most.max(slab.len());
                for (chain, expected) in chains.iter().zip(&expected) {
                    let found: VecDeque<_> = chain.iter(&slab).map(|at| (at, *slab.get(at).unwrap())).collect();
                    prop_assert_eq!(&found, expected);
                    prop_assert_eq!(chain.is_empty(), expected.is_empty());
                    prop_assert_eq!(chain.first(), expected.front().map(|(at, _)| *at));
                }
                prop_assert_eq!(slab.len(), expected.iter().map(VecDeque::len).sum::<usize>());
                prop_assert_eq!(slab.cells.len(), most);
            }
            prop_assert_eq!(slab.take_all().count(), expected.iter().map(VecDeque::len).sum::<usize>());
            prop_assert_eq!(slab.len(), 0);
        }
    }
}
