//! Containment: running, dropping and quoting code of users without depending on it.
//!
//! A supervisor, a registry and a writer run code that is not theirs: closures, destructors, `Display` of errors,
//! wakers. Such code must not end other users of the task that it runs on. So all of it goes through this module:
//!
//! 1. A panic ends here, even one of a panic's own payload.
//! 2. The text of an error is made once, and is bounded in length and in the number of causes.
//! 3. Contained panics are reported with `tracing`, whose subscribers are contained too.
//!
//! Code that never returns cannot be contained by its caller; it belongs on a task or a thread of its own.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;

/// The longest text that is made of an error, in bytes. Fixed, as is [`MAX_CAUSES`]: texts are made where no limits are
/// at hand, in destructors and `Display`, and a text that was cut ends in `…`.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The most causes that are followed below an error; one that is its own cause has no end.
pub const MAX_CAUSES: usize = 16;

/// A panic of foreign code that has ended here, with its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CaughtPanic {
    text: String,
}

impl CaughtPanic {
    /// Takes a payload apart, and drops it.
    pub fn of(payload: Box<dyn Any + Send>) -> Self {
        let text = panic_text(&*payload);
        drop_quietly(payload);
        Self { text }
    }

    /// The text of the panic, shortened to [`MAX_TEXT_BYTES`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text itself.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Runs foreign code.
///
/// # Errors
/// [`CaughtPanic`] if it panics.
///
/// ```
/// use foundation_kernel::containment::catch_panic;
///
/// let caught = catch_panic(|| -> u8 { panic!("no luck") });
/// assert_eq!(caught.unwrap_err().text(), "no luck");
/// assert_eq!(catch_panic(|| 7), Ok(7));
/// ```
pub fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    catch_unwind(AssertUnwindSafe(run)).map_err(CaughtPanic::of)
}

/// Drops a foreign value; a panic of its destructor ends here and is reported. `what` names the value in the report.
pub fn drop_contained<T>(what: &str, value: T) {
    if !mem::needs_drop::<T>() {
        return;
    }
    if let Err(panic) = catch_panic(|| drop(value)) {
        report(|| tracing::warn!(%panic, "the destructor of {what} panicked"));
    }
}

/// A foreign value that is dropped [contained](drop_contained), by its last owner.
pub struct Contained<T> {
    what: &'static str,
    /// `None` once it is being dropped.
    value: Option<T>,
}

impl<T> fmt::Debug for Contained<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contained").field("what", &self.what).finish_non_exhaustive()
    }
}

impl<T> Contained<T> {
    /// `what` names the value in reports.
    pub const fn new(what: &'static str, value: T) -> Self {
        Self { what, value: Some(value) }
    }

    /// The value, which is there until this is dropped.
    pub const fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// The same, to change it.
    pub const fn get_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut()
    }

    /// The value itself, contained no longer.
    pub fn into_inner(mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        drop_contained(self.what, self.value.take());
    }
}

/// Drops a pinned value in place; a panic of its destructor ends here and is reported.
pub fn discard_pinned<T>(what: &str, mut value: Pin<&mut Option<T>>) {
    if value.is_none() {
        return;
    }
    if let Err(panic) = catch_panic(|| value.set(None)) {
        report(|| tracing::warn!(%panic, "the destructor of {what} panicked"));
    }
}

/// Wakes a task; a panic of its waker ends here and is reported.
///
/// A waker may also drop or poll anything: never wake under a lock.
pub fn wake(waker: Waker) {
    if let Err(panic) = catch_panic(|| waker.wake()) {
        report(|| tracing::warn!(%panic, "a waker panicked"));
    }
}

/// Polls a future that is woken by others than its own task: by an actor that ends, a lock that becomes free, a reply.
/// They are given a waker that does not panic. Costs an allocation while the future is polled with the same waker.
pub async fn waking_contained<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut waking) = (std::pin::pin!(future), ContainedWaking::default());
    std::future::poll_fn(move |context| waking.poll(context, |context| future.as_mut().poll(context))).await
}

/// The waker of [`waking_contained`], for futures that are polled by hand.
#[derive(Default)]
pub struct ContainedWaking(Option<(Arc<ContainedWaker>, Waker)>);

impl fmt::Debug for ContainedWaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContainedWaking")
    }
}

impl ContainedWaking {
    /// Polls with a waker that does not panic, and wakes the task of this context.
    pub fn poll<T>(&mut self, context: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let theirs = context.waker();
        if !self.0.as_ref().is_some_and(|(contained, _)| contained.is_of(theirs)) {
            self.0 = Some(ContainedWaker::of(theirs));
        }
        poll(&mut Context::from_waker(self.0.as_ref().map_or(theirs, |(_, waker)| waker)))
    }
}

struct ContainedWaker(Option<Waker>);

impl ContainedWaker {
    fn of(waker: &Waker) -> (Arc<Self>, Waker) {
        let contained = Arc::new(Self(Some(waker.clone())));
        (Arc::clone(&contained), contained.into())
    }

    fn is_of(&self, waker: &Waker) -> bool {
        self.0.as_ref().is_some_and(|contained| contained.will_wake(waker))
    }
}

impl Wake for ContainedWaker {
    fn wake(self: Arc<Self>) {
        self.0.clone().into_iter().for_each(wake);
    }
}

impl Drop for ContainedWaker {
    fn drop(&mut self) {
        drop_contained("a waker", self.0.take());
    }
}

/// Emits a `tracing` event; a panic of a subscriber ends here.
pub fn report(emit: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(emit)) {
        drop_quietly(payload);
    }
}

/// The text of a foreign value: bounded by [`MAX_TEXT_BYTES`], whatever its `Display` does.
pub fn display_text(value: &dyn fmt::Display) -> String {
    let mut text = BoundedText::default();
    text.add(|text| write!(text, "{value}"));
    text.finish()
}

/// An error and its causes on one line, separated by colons: bounded by [`MAX_TEXT_BYTES`] and [`MAX_CAUSES`]. A cause
/// whose text is already contained in the written text is skipped.
///
/// ```
/// use foundation_kernel::containment::error_text;
///
/// let broken = std::io::Error::other("the disk is full");
/// assert_eq!(error_text(&broken), "the disk is full");
/// ```
pub fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = BoundedText::default();
    text.add(|text| write!(text, "{error}"));
    let mut cause = source(error);
    for _ in 0..MAX_CAUSES {
        let Some(error) = cause else { break };
        let said = display_text(error);
        // Many errors repeat their cause in their own text.
        if !text.written.contains(&said) {
            text.add(|text| write!(text, ": {said}"));
        }
        cause = source(error);
    }
    text.finish()
}

fn source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    catch_panic(|| error.source()).ok().flatten()
}

/// The text of a panic.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let said = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    said.map_or_else(|| "a panic without a text".to_owned(), |said| display_text(&said))
}

fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // The payload of a destructor's panic may have a destructor that panics, and so on: it is leaked.
        mem::forget(payload);
    }
}

/// A text that ends at the limit.
#[derive(Default)]
struct BoundedText {
    written: String,
    full: bool,
}

impl BoundedText {
    /// Writes the text of foreign code.
    fn add(&mut self, write: impl FnOnce(&mut Self) -> fmt::Result) {
        match catch_panic(|| write(self)) {
            Ok(Ok(())) => {}
            Ok(Err(fmt::Error)) if self.full => {}
            Ok(Err(fmt::Error)) => self.note("(its text cannot be written)"),
            Err(_) => self.note("(its text panicked)"),
        }
    }

    fn note(&mut self, note: &str) {
        if !self.written.is_empty() {
            self.written.push(' ');
        }
        self.written.push_str(note);
    }

    fn finish(mut self) -> String {
        if self.full {
            self.written.push('…');
        }
        self.written
    }
}

impl fmt::Write for BoundedText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let left = MAX_TEXT_BYTES.saturating_sub(self.written.len());
        if part.len() <= left {
            self.written.push_str(part);
            return Ok(());
        }
        let end = (0..=left).rev().find(|at| part.is_char_boundary(*at)).unwrap_or(0);
        self.written.push_str(&part[..end]);
        self.full = true;
        Err(fmt::Error)
    }
}

/// A foreign future: it gives [`CaughtPanic`] if it panics when polled, and is dropped [contained](drop_contained), as
/// soon as it is over.
pub struct ContainedFuture<T> {
    what: &'static str,
    future: Option<BoxFuture<'static, T>>,
}

impl<T> fmt::Debug for ContainedFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainedFuture").field("what", &self.what).finish_non_exhaustive()
    }
}

impl<T> ContainedFuture<T> {
    /// `what` names the value in reports.
    pub fn new(what: &'static str, future: BoxFuture<'static, T>) -> Self {
        Self { what, future: Some(future) }
    }

    fn discard(&mut self) {
        if let Some(future) = self.future.take() {
            drop_contained(self.what, future);
        }
    }
}

impl<T> Future for ContainedFuture<T> {
    type Output = Result<T, CaughtPanic>;

    /// Pending for ever once it is over.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let outcome = match catch_panic(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(panic) => Err(panic),
        };
        self.discard();
        Poll::Ready(outcome)
    }
}

impl<T> Drop for ContainedFuture<T> {
    fn drop(&mut self) {
        self.discard();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::FutureExt;

    use super::*;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            std::panic::panic_any(Self);
        }
    }

    #[derive(Debug)]
    enum Bad {
        Wordless,
        OwnCause,
        Endless,
        Panics,
    }

    impl fmt::Display for Bad {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Wordless => Err(fmt::Error),
                Self::OwnCause => f.write_str("ring"),
                Self::Endless => loop {
                    f.write_str("again and again, ")?;
                },
                Self::Panics => panic!("no text"),
            }
        }
    }

    impl Error for Bad {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            matches!(self, Self::OwnCause).then_some(self)
        }
    }

    #[test]
    fn a_panic_ends_here_and_so_do_those_of_its_payload() {
        assert!(catch_panic(|| std::panic::panic_any(PanicsWhenDropped)).is_err());
        drop_contained("a value", PanicsWhenDropped);
        assert_eq!(catch_panic(|| 7), Ok(7));
    }

    #[test]
    fn every_error_has_a_bounded_text() {
        assert_eq!(error_text(&Bad::Wordless), "(its text cannot be written)");
        assert_eq!(error_text(&Bad::OwnCause), "ring");
        assert_eq!(error_text(&Bad::Panics), "(its text panicked)");
        let endless = error_text(&Bad::Endless);
        assert!(endless.len() <= MAX_TEXT_BYTES + '…'.len_utf8());
        assert!(endless.ends_with('…'));
    }

    #[test]
    fn a_future_is_dropped_as_soon_as_it_is_over_even_if_that_panics() {
        let dropped = Arc::new(AtomicBool::new(false));
        struct Notes(Arc<AtomicBool>);
        impl Drop for Notes {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
                panic!("the destructor panics");
            }
        }
        let notes = Notes(Arc::clone(&dropped));
        let ready = std::future::poll_fn(move |_| {
            let _notes = &notes;
            Poll::Ready(())
        });
        let mut future = ContainedFuture::new("a future", ready.boxed());
        assert_eq!((&mut future).now_or_never(), Some(Ok(())));
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[test]
    fn a_waker_that_panics_harms_no_other() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                std::panic::panic_any(PanicsWhenDropped);
            }
        }
        wake(Waker::from(Arc::new(Panics)));
    }

    #[test]
    fn a_future_that_is_given_up_may_panic_in_its_destructors() {
        let value = PanicsWhenDropped;
        let pending = async move {
            let _value = &value;
            std::future::pending::<()>().await;
        };
        let mut future = ContainedFuture::new("a future", pending.boxed());
        assert!((&mut future).now_or_never().is_none());
        drop(future);
    }

    /// An error with a text and a cause.
    #[derive(Debug)]
    struct Layer(String, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    /// The first text is the error's, the last the deepest cause's.
    fn layers(texts: impl DoubleEndedIterator<Item = String>) -> Layer {
        let nest = |below: Option<Box<Layer>>, text: String| Some(Box::new(Layer(text, below)));
        *texts.rev().fold(None, nest).expect("at least one text")
    }

    #[test]
    fn an_error_is_followed_by_its_causes_and_none_is_said_twice() {
        let texts = ["no desk: the room is locked", "the room is locked", "the key is lost"];
        let error = layers(texts.into_iter().map(str::to_owned));
        assert_eq!(error_text(&error), "no desk: the room is locked: the key is lost");
    }

    #[test]
    fn no_more_causes_are_followed_than_the_limit_says() {
        let text = error_text(&layers((0..=MAX_CAUSES + 1).map(|level| format!("<{level}>"))));
        assert!(text.ends_with(&format!(": <{MAX_CAUSES}>")), "{text}");
        assert_eq!(text.matches(": ").count(), MAX_CAUSES);
    }

    #[test]
    fn a_text_is_cut_off_between_two_characters() {
        let text = display_text(&("x".repeat(MAX_TEXT_BYTES - 1) + "ß, and more"));
        assert_eq!(text, "x".repeat(MAX_TEXT_BYTES - 1) + "…");
        let fits = "x".repeat(MAX_TEXT_BYTES);
        assert_eq!(display_text(&fits), fits);
    }

    #[test]
    fn a_cause_that_cannot_be_asked_for_is_left_out() {
        #[derive(Debug)]
        struct Guarded;
        impl fmt::Display for Guarded {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("guarded")
            }
        }
        impl Error for Guarded {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                panic!("no cause for anyone")
            }
        }
        assert_eq!(error_text(&Guarded), "guarded");
    }

    #[test]
    fn a_panic_without_a_text_and_one_with_a_long_text_are_quoted_all_the_same() {
        let caught = catch_panic(|| std::panic::panic_any(7)).unwrap_err();
        assert_eq!(caught.text(), "a panic without a text");
        let caught = catch_panic(|| panic!("{}", "long ".repeat(MAX_TEXT_BYTES))).unwrap_err();
        assert!(caught.text().len() <= MAX_TEXT_BYTES + '…'.len_utf8());
    }

    #[test]
    fn a_contained_value_is_dropped_contained_unless_it_is_taken_out() {
        let held = Contained::new("a value", PanicsWhenDropped);
        assert!(held.get().is_some());
        drop(held);
        let taken = Contained::new("a value", PanicsWhenDropped).into_inner();
        assert!(catch_panic(|| drop(taken)).is_err(), "it is contained no longer");
    }

    #[test]
    fn what_is_pinned_is_discarded_once_and_contained() {
        let mut value = std::pin::pin!(Some(PanicsWhenDropped));
        discard_pinned("a value", value.as_mut());
        assert!(value.is_none());
        discard_pinned("a value", value);
    }

    #[test]
    fn a_subscriber_that_panics_at_an_event_ends_nothing() {
        report(|| std::panic::panic_any(PanicsWhenDropped));
    }

    #[test]
    fn a_future_that_panics_is_over_with_what_it_said_and_then_pending_for_ever() {
        let mut future = ContainedFuture::new("a future", async { panic!("no luck") }.boxed());
        let outcome: Option<Result<(), _>> = (&mut future).now_or_never();
        assert_eq!(outcome.and_then(Result::err).map(CaughtPanic::into_text), Some("no luck".to_owned()));
        assert!((&mut future).now_or_never().is_none());
        assert!(future.now_or_never().is_none());
    }

    #[test]
    fn code_that_is_not_ours_is_given_a_waker_that_does_not_panic() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                std::panic::panic_any(PanicsWhenDropped);
            }
        }
        let waits = waking_contained(std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            drop(context.waker().clone());
            Poll::<()>::Pending
        }));
        let waker = Waker::from(Arc::new(Panics));
        assert!(std::pin::pin!(waits).poll(&mut Context::from_waker(&waker)).is_pending());
    }
}
