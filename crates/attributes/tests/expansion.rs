//! The expansion, run: a stand-in for `foundation` shows what the attribute passes on, and to which function.

use std::time::Duration;

use tokio::runtime::RuntimeFlavor;
use tokio::time::Instant;

use crate::foundation::{FoundationBuilder, TestNamespace};

/// The parts of `foundation` that the attribute needs.
mod foundation {
    pub(crate) mod __private {
        pub(crate) use ::tokio;
    }

    /// Carries the options back to the test that gave them.
    pub(crate) struct TestNamespace(pub(crate) testing::TestOptions);

    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct FoundationBuilder(pub(crate) u8);

    pub(crate) mod testing {
        use std::time::Duration;

        #[derive(Default)]
        pub(crate) struct TestOptions {
            pub(crate) name: &'static str,
            pub(crate) builder: super::FoundationBuilder,
            pub(crate) allow_leaks: bool,
            pub(crate) leak_timeout: Option<Duration>,
        }

        impl TestOptions {
            pub(crate) fn new(name: &'static str) -> Self {
                Self { name, ..Self::default() }
            }

            pub(crate) fn builder(self, builder: super::FoundationBuilder) -> Self {
                Self { builder, ..self }
            }

            pub(crate) fn allow_leaks(self) -> Self {
                Self { allow_leaks: true, ..self }
            }

            pub(crate) fn leak_timeout(self, bound: Duration) -> Self {
                Self { leak_timeout: Some(bound), ..self }
            }
        }

        pub(crate) async fn run<F, Fut, T>(options: TestOptions, body: F) -> T
        where
            F: FnOnce(super::TestNamespace) -> Fut,
            Fut: Future<Output = T>,
        {
            body(super::TestNamespace(options)).await
        }
    }
}

#[foundation_attributes::test(crate = "crate::foundation")]
async fn the_function_gets_its_namespace_and_nothing_is_set(namespace: TestNamespace) {
    let options = namespace.0;
    assert_eq!(options.name, "the_function_gets_its_namespace_and_nothing_is_set");
    assert_eq!(options.builder, FoundationBuilder::default());
    assert!(!options.allow_leaks);
    assert_eq!(options.leak_timeout, None);
}

#[foundation_attributes::test(crate = "crate::foundation", allow_leaks, leak_timeout_ms = 500, builder = FoundationBuilder(7))]
async fn the_options_are_handed_on(TestNamespace(options): TestNamespace) {
    assert_eq!(options.builder, FoundationBuilder(7));
    assert!(options.allow_leaks);
    assert_eq!(options.leak_timeout, Some(Duration::from_millis(500)));
}

#[foundation_attributes::test(crate = "crate::foundation")]
async fn no_parameter_and_a_result() -> Result<(), std::num::ParseIntError> {
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

/// The other attributes stay on the function.
#[foundation_attributes::test(crate = "crate::foundation")]
#[should_panic(expected = "on purpose")]
async fn a_panic_may_be_expected() {
    panic!("on purpose");
}

#[foundation_attributes::test(crate = "crate::foundation")]
#[ignore = "the attribute is kept, so this never runs"]
async fn an_ignored_test_stays_ignored() {
    unreachable!("an ignored test ran");
}

#[foundation_attributes::test(crate = "crate::foundation")]
async fn r#match() {
    let name = std::thread::current().name().map(str::to_owned);
    assert_eq!(name.as_deref(), Some("r#match"));
}

#[foundation_attributes::test(crate = "crate::foundation", flavor = "multi_thread", worker_threads = 2)]
async fn the_flavor_is_handed_on() {
    let runtime = tokio::runtime::Handle::current();
    assert_eq!(runtime.runtime_flavor(), RuntimeFlavor::MultiThread);
    assert_eq!(runtime.metrics().num_workers(), 2);
}

#[foundation_attributes::test(crate = "crate::foundation", start_paused = true)]
async fn the_clock_is_paused_on_request() {
    let before = Instant::now();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(before.elapsed(), Duration::from_secs(3_600));
}
