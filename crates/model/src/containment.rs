//! Foreign code, of which there is none here: nothing panics.

use std::task::Waker;

pub(crate) fn drop_contained<T>(_: &str, value: T) {
    drop(value);
}

pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    Ok(run())
}

pub(crate) fn report(emit: impl FnOnce()) {
    emit();
}

pub(crate) fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    error.to_string()
}

pub(crate) fn wake(waker: Waker) {
    waker.wake();
}

pub(crate) async fn waking_contained<T>(future: impl Future<Output = T>) -> T {
    future.await
}
