//! OTP.
