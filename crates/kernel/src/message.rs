//! One line that makes a type a message of local actors, whichever features ractor was built with.

/// Declares message types that never leave this process.
///
/// Without ractor's `cluster` feature every `Send + 'static` type is a [`ractor::Message`] and this expands to nothing.
/// With it the blanket implementation is gone for the whole build, and this writes the empty one that a local message
/// needs. Use it for each message type of yours and your crate compiles both ways.
///
/// ```
/// use foundation_kernel::{local_message, ractor};
///
/// enum CounterMsg {
///     Increment,
///     Value(ractor::RpcReplyPort<u64>),
/// }
/// local_message!(CounterMsg);
/// # let _ = CounterMsg::Increment; let _ = CounterMsg::Value;
/// ```
#[cfg(not(feature = "cluster"))]
#[macro_export]
macro_rules! local_message {
    ($($message:ty),+ $(,)?) => {};
}

/// Declares message types that never leave this process.
///
/// With ractor's `cluster` feature a message type has to say so itself; without it this expands to nothing.
/// Use it for each message type of yours and your crate compiles both ways.
#[cfg(feature = "cluster")]
#[macro_export]
macro_rules! local_message {
    ($($message:ty),+ $(,)?) => {
        $(impl $crate::ractor::Message for $message {})+
    };
}
