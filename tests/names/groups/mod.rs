//! Groups of actors under one name.

mod endings;
mod members;
mod stress;
