//! Foreign code, of which there is none here: nothing panics.

use std::task::Waker;

pub(crate) fn drop_contained<T>(_: &str, value: T) {
    drop(value);
}

pub(crate) fn wake(waker: Waker) {
    waker.wake();
}

pub(crate) async fn waking_contained<T>(future: impl Future<Output = T>) -> T {
    future.await
}
