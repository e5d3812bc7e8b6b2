//! Groups of actors under one name.

mod members;
mod stress;
