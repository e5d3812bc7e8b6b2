//! The three services and the root.

mod smoke;
