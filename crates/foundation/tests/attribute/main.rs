//! The example in the documentation of `#[foundation::test]`, run.

mod example;
