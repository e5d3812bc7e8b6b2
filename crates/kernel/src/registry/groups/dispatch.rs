//! Messages to a group: to all, to the next, to any.

use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use ractor::{ActorCell, Message, RpcReplyPort};
use tokio::sync::oneshot;

use super::error::{GroupCastError, GroupError};
use super::group::{Group, live};
use super::member_list::{Choice, MemberList, tries};
use super::replies::Replies;
use super::table::GroupLookupError;
use crate::ask::{TimeLimit, reply, send};

impl<M: Message, V: Send + Sync + 'static> Group<M, V> {
    /// Sends a message to the next member in turn, past members that have just ended.
    ///
    /// # Errors
    /// [`GroupCastError`] gives the message back if no member takes it.
    pub fn cast_next(&self, message: M) -> Result<(), GroupCastError<M>> {
        self.cast(MemberList::round_robin, message)
    }

    /// Sends a message to a random member.
    ///
    /// # Errors
    /// As [`cast_next`](Self::cast_next).
    pub fn cast_any(&self, message: M) -> Result<(), GroupCastError<M>> {
        self.cast(MemberList::random, message)
    }

    fn cast(&self, choice: Choice, message: M) -> Result<(), GroupCastError<M>> {
        let mut unsent = Some(message);
        let sent = self.read(|list, members| {
            for actor in tries(members, || choice(list, members), |member| member.live()) {
                unsent = unsent.take().and_then(|message| send(actor, message).err());
                if unsent.is_none() {
                    break;
                }
            }
        });
        match unsent {
            Some(message) => {
                Err(GroupCastError { message, reason: self.explain(sent.err().unwrap_or(GroupLookupError::Absent)) })
            }
            None => Ok(()),
        }
    }

    /// Sends each live member, one after the other, a message made for it and its value; returns how many took it. The
    /// function is not called if there is no live member.
    ///
    /// # Errors
    /// [`GroupError::WrongType`]. A group without members is no error.
    pub fn cast_all(&self, mut message: impl FnMut(&ActorCell, &V) -> M) -> Result<usize, GroupError> {
        let mut takes = |actor: &ActorCell, value: &V| send(actor, message(actor, value)).is_ok();
        match self.read(|_, members| live(members).filter(|(actor, value)| takes(actor, value)).count()) {
            Ok(taken) => Ok(taken),
            Err(GroupLookupError::Absent) => Ok(0),
            Err(miss) => Err(self.explain(miss)),
        }
    }

    /// Sends each live member a message with a reply port of its own and waits, at most `limit`, for all answers at
    /// once. A member that ends without an answer is not waited for.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled, before anything is sent.
    pub async fn call_all<R: Send + 'static>(
        &self,
        mut message: impl FnMut(RpcReplyPort<R>) -> M,
        limit: Duration,
    ) -> Replies<M, R> {
        let asked = self.members().into_iter().map(|actor| {
            // Before the first message: without a clock no message is sent.
            let time = TimeLimit::begin(limit);
            let (sender, answer) = oneshot::channel();
            let sent = send(&actor, message((sender, limit).into())).is_ok();
            async move {
                let reply = if sent { time.within(pin!(reply(&actor, answer))).await.flatten() } else { None };
                (actor, reply)
            }
        });
        // All are asked before the first is waited for.
        let asked: Vec<_> = asked.collect();
        Replies::sort(join_all(asked).await)
    }
}
