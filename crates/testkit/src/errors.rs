use std::fmt::{Debug, Display};

/// The text of the error.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn error_text<T: Debug>(outcome: Result<T, impl Display>) -> String {
    outcome.expect_err("an error").to_string()
}

/// Asserts that an outcome is an error that matches this pattern; shows the other error otherwise.
#[macro_export]
macro_rules! assert_error {
    ($outcome:expr, $pattern:pat $(,)?) => {
        $crate::assert_error!($outcome, $pattern, "{}", stringify!($outcome))
    };
    ($outcome:expr, $pattern:pat, $($what:tt)+) => {
        match $outcome {
            Err($pattern) => {}
            Err(other) => panic!("{}: another error than {}: {other}", format_args!($($what)+), stringify!($pattern)),
            Ok(_) => panic!("{}: no error, and not {}", format_args!($($what)+), stringify!($pattern)),
        }
    };
}
