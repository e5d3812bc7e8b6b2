use std::sync::Arc;

use tokio::sync::Semaphore;

/// Blocks each task that passes until it is opened, and counts the arrivals. It is opened once; clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    arrivals: Arc<Semaphore>,
    shut: Arc<Semaphore>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { arrivals: Arc::new(Semaphore::new(0)), shut: Arc::new(Semaphore::new(0)) }
    }

    /// Returns when the gate is open.
    pub async fn pass(&self) {
        self.arrivals.add_permits(1);
        // An open gate is a closed semaphore.
        let _ = self.shut.acquire().await;
    }

    /// Returns when one more task has arrived.
    pub async fn arrival(&self) {
        if let Ok(arrival) = self.arrivals.acquire().await {
            arrival.forget();
        }
    }

    /// Lets every task through, now and later.
    pub fn open(&self) {
        self.shut.close();
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
