//! Stand-ins, visible to loom, for the dependencies of the registry's files. Parts that loom does not see order
//! nothing: standard locks are held only between two steps, and borrowed values are leaked.

#![allow(dead_code, unused_imports, unreachable_pub)]

pub(crate) mod actor;
pub(crate) mod index;
pub(crate) mod lock;
pub(crate) mod shared;

pub(crate) mod sync {
    //! The standard library's.

    pub(crate) use super::lock::OnceLock;
    pub(crate) use loom::sync::atomic;

    pub(crate) mod oneshot {
        //! No caller waits for an answer.

        use std::marker::PhantomData;

        pub(crate) struct Sender<T>(PhantomData<T>);

        impl<T> Sender<T> {
            pub(crate) fn send(self, value: T) -> Result<(), T> {
                Err(value)
            }

            pub(crate) fn is_closed(&self) -> bool {
                true
            }
        }
    }
}

pub(crate) mod supervision {
    pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
}

pub(crate) mod task {
    //! A task always has its turn.

    pub(crate) mod coop {
        use std::task::{Context, Poll};

        pub(crate) struct Turn;

        impl Turn {
            pub(crate) fn made_progress(&self) {}
        }

        pub(crate) fn poll_proceed(_: &mut Context<'_>) -> Poll<Turn> {
            Poll::Ready(Turn)
        }
    }
}

pub(crate) mod time {
    //! Time does not pass.

    use std::convert::Infallible;
    use std::ops::Add;
    use std::time::Duration;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant;

    impl Instant {
        pub(crate) fn now() -> Self {
            Self
        }

        pub(crate) fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        pub(crate) fn saturating_duration_since(&self, _: Self) -> Duration {
            Duration::ZERO
        }

        pub(crate) fn checked_add(&self, _: Duration) -> Option<Self> {
            Some(Self)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, _: Duration) -> Self {
            self
        }
    }

    pub(crate) async fn timeout_at<T>(_: Instant, future: impl Future<Output = T>) -> Result<T, Infallible> {
        Ok(future.await)
    }
}

pub(crate) mod fast {
    //! Hashers.

    use std::hash::{BuildHasherDefault, DefaultHasher};

    pub(crate) type RandomState = BuildHasherDefault<DefaultHasher>;
    pub(crate) type FixedState = BuildHasherDefault<DefaultHasher>;
}
