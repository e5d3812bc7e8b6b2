//! An OTP-style foundation for actor applications.
pub use foundation_core::*;
