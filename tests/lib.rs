//! What the scenarios share: small actors with a switch for each way to fail.
