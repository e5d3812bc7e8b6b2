//! What the members of a group answered.

use ractor::ActorRef;

/// The answers of a group to one question, in the order in which its members joined.
///
/// Erlang's `gen_server:multi_call` answers like this: who did, and who did not.
#[derive(Debug, Clone)]
pub struct Replies<M, R> {
    /// Who answered, and what.
    pub answered: Vec<(ActorRef<M>, R)>,
    /// Who did not: it ended, chose not to, or took too long.
    pub silent: Vec<ActorRef<M>>,
}

impl<M, R> Replies<M, R> {
    pub(super) fn sort(replies: Vec<(ActorRef<M>, Option<R>)>) -> Self {
        let (mut answered, mut silent) = (Vec::new(), Vec::new());
        for (actor, reply) in replies {
            match reply {
                Some(reply) => answered.push((actor, reply)),
                None => silent.push(actor),
            }
        }
        Self { answered, silent }
    }
}
