//! The nesting of emissions: a handler may emit, and so receive its own events.

use std::cell::Cell;

/// How many emissions with handlers may be under way within one another on a thread.
pub(super) const MAX_DEPTH: u32 = 8;
/// How many events handlers may emit, in all, within one that no handler emitted: handlers that emit multiply.
const MAX_CAUSED: u32 = 10_000;

thread_local! {
    // A stack belongs to its thread, and a handler is a closure with a handle of its own on any telemetry. So no
    // argument can carry a depth, and two namespaces whose handlers emit into each other share one stack.
    static NESTING: Cell<Nesting> = const { Cell::new(Nesting { depth: 0, caused: 0 }) };
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Nesting {
    /// How many emissions are under way.
    depth: u32,
    /// How many of the events since the outermost one began were emitted by handlers.
    caused: u32,
}

impl Nesting {
    /// One level deeper; `None` if that is one too many.
    fn entered(self) -> Option<Self> {
        let caused = if self.depth == 0 { 0 } else { self.caused + 1 };
        (self.depth < MAX_DEPTH && caused <= MAX_CAUSED).then_some(Self { depth: self.depth + 1, caused })
    }

    fn left(self) -> Self {
        Self { depth: self.depth.saturating_sub(1), ..self }
    }
}

/// An emission under way on this thread, until it is dropped.
pub(super) struct Emission(());

impl Emission {
    /// `None` if too many are under way already.
    pub(super) fn begin() -> Option<Self> {
        NESTING.with(|nesting| {
            let entered = nesting.get().entered()?;
            nesting.set(entered);
            Some(Self(()))
        })
    }
}

impl Drop for Emission {
    fn drop(&mut self) {
        NESTING.with(|nesting| nesting.set(nesting.get().left()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Emits within an emission as often as it may, that many at each level.
    fn emit(each: u32) -> u32 {
        let Some(_emission) = Emission::begin() else { return 0 };
        1 + (0..each).map(|_| emit(each)).sum::<u32>()
    }

    #[test]
    fn emissions_within_one_another_are_bounded_in_depth_and_in_all() {
        assert_eq!(emit(1), MAX_DEPTH);
        assert_eq!(emit(2), (1 << MAX_DEPTH) - 1);
        assert_eq!(emit(100), 1 + MAX_CAUSED);
        // And then all is as before.
        assert_eq!(NESTING.get().depth, 0);
        assert_eq!(emit(1), MAX_DEPTH);
    }

    #[test]
    fn a_panic_ends_the_emission_that_it_leaves() {
        let panicked = std::panic::catch_unwind(|| {
            let _emission = Emission::begin();
            panic!("the handler panics");
        });
        assert!(panicked.is_err());
        assert_eq!(NESTING.get().depth, 0);
    }
}
