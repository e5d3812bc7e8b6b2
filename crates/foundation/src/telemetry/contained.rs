//! Code of others that must not bring down its caller.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Code of others has panicked.
pub(super) struct Panicked;

/// Runs code of others; a panic ends here.
pub(super) fn contained<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        drop_contained(payload);
        Panicked
    })
}

/// Drops something of others; a panic in its destructor ends here.
pub(super) fn drop_contained<T>(it: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(it))) {
        // Whatever a destructor panics with may have a destructor that panics, and so on: it is left where it is.
        mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Mine;

    impl Drop for Mine {
        fn drop(&mut self) {
            panic!("the destructor panics");
        }
    }

    #[test]
    fn a_panic_ends_here_and_so_does_one_of_its_payload() {
        assert!(contained(|| std::panic::panic_any(Mine)).is_err());
        drop_contained(Mine);
        assert!(matches!(contained(|| 7), Ok(7)));
    }
}
