//! The attribute `#[foundation::test]`, in the crate that cargo wants for it.
//!
//! Use it through the crate `foundation`, which exports it as [`foundation::test`](macro@test). Only the syntax is
//! here: what the attribute's parentheses may hold (`arguments`), what it may stand on (`scenario`), and what both
//! expand to (`expansion`). Starting the namespace, tearing it down and checking for leaks belong to
//! `foundation::testing`.

use proc_macro::TokenStream;

mod arguments;
mod expansion;
mod scenario;

/// An asynchronous test with a namespace of its own.
///
/// The function receives a fresh `foundation::TestNamespace` with its whole tree (registry, telemetry, events,
/// configuration and an empty application), so tests that use the same service names run in parallel in one process
/// and never meet. It replaces `#[tokio::test]` and expands to that attribute.
///
/// ```ignore
/// #[foundation::test]
/// async fn a_counter_starts_at_zero(namespace: TestNamespace) {
///     namespace.services().spawn(&COUNTER, Counter, ()).await.unwrap();
///     assert_eq!(namespace.services().via(&COUNTER).call(CounterMsg::Total, SECOND).await.unwrap(), 0);
/// }
///
/// #[foundation::test(start_paused = true)]
/// async fn an_hour_passes_at_once(namespace: TestNamespace) -> Result<(), RegistryError> {
///     // Tokio's clock moves on when nothing else can.
///     namespace.services().wait_for_service(&COUNTER, Duration::from_secs(3_600)).await.map(drop)
/// }
/// ```
///
/// (This crate cannot depend on `foundation`; the documentation of `foundation` has the example in full, compiled.)
///
/// # The function
///
/// An `async fn` without generic parameters that takes the namespace or nothing, and returns `()` or a
/// `Result<(), E>` with `E: Debug`; an `Err` fails the test. Every other attribute on it is kept: `#[should_panic]`,
/// `#[ignore]`, `#[cfg(..)]`, `#[expect(..)]`, doc comments.
///
/// # What is checked
///
/// After the function has returned, failed or panicked, its namespace is shut down in order. The test then fails if an
/// actor outlives it: an actor of the namespace that had to be killed is named, and other remains on the runtime (a
/// plain ractor actor, a task) are reported by the number of the runtime's living tasks. If the function itself has
/// failed or panicked, only that is reported.
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `flavor = "current_thread"` or `"multi_thread"` | tokio's runtime; the second needs tokio's feature `rt-multi-thread` | `"current_thread"` |
/// | `worker_threads = 2` | threads of the multi-thread runtime | one per processor |
/// | `start_paused = true` | tokio's clock stands still and jumps to the next timer; needs `current_thread` and tokio's feature `test-util` | `false` |
/// | `allow_leaks` or `allow_leaks = true` | no check for actors and tasks that outlive the test | `false` |
/// | `leak_timeout_ms = 500` | how long the check waits for the last of them to go, in milliseconds | that of `foundation::testing::TestOptions` |
/// | `builder = expression` | gives the `foundation::FoundationBuilder` to start from | `::foundation::Foundation::builder()` |
/// | `crate = "path"` | where to find `foundation`, for crates that re-export it | `"::foundation"` |
///
/// # Errors
///
/// Invalid uses are refused at compile time, at their position: a function that is not `async`, more than one
/// parameter, generic parameters, an unknown argument or one given twice, `worker_threads` without the multi-thread
/// runtime and `start_paused` with it.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
