//! The answers of the members of a group.

use ractor::ActorRef;

/// The answers of a group to one question, in the order in which its members joined.
///
/// Erlang's `gen_server:multi_call` returns the same: the members that answered, and those that did not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replies<M, R> {
    /// The members that answered, each with its answer.
    pub answered: Vec<(ActorRef<M>, R)>,
    /// The members that did not: they ended, chose not to, or took too long.
    pub silent: Vec<ActorRef<M>>,
}
