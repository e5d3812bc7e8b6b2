//! Where jobs go for which no caller waits: they are counted.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::JobError;
use crate::job::id::JobId;

pub(crate) struct DeadLetter<J> {
    pub(crate) id: JobId,
    pub(crate) error: JobError<J>,
}

/// Counts that order nothing.
pub(crate) struct DeadLetters<J> {
    count: Arc<AtomicUsize>,
    of: PhantomData<J>,
}

impl<J> Default for DeadLetters<J> {
    fn default() -> Self {
        Self { count: Arc::default(), of: PhantomData }
    }
}

impl<J> Clone for DeadLetters<J> {
    fn clone(&self) -> Self {
        Self { count: Arc::clone(&self.count), of: PhantomData }
    }
}

impl<J> DeadLetters<J> {
    pub(crate) fn deliver(&self, _: DeadLetter<J>) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}
