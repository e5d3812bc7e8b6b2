/// The most appends that are committed together.
pub(super) const MAX_GROUP: usize = 512;

/// A request to a writer: an append, which can be committed with others, or a task, which stands alone.
pub(super) enum Request<A, T> {
    Append(A),
    LogTask(T),
}

/// The appends that are committed together: those that are there whenever the next one is asked for, without waiting
/// for more, up to the size of a group. A task ends the group, so that all requests are done in order.
///
/// No request is taken before it is asked for, so those that arrive while the first ones are written join them.
pub(super) struct CommitGroup<A, T, M> {
    first: Option<A>,
    taken: usize,
    more: M,
    task: Option<T>,
}

impl<A, T, M: FnMut() -> Option<Request<A, T>>> CommitGroup<A, T, M> {
    /// A group that begins with this append.
    pub(super) fn new(first: A, more: M) -> Self {
        Self { first: Some(first), taken: 0, more, task: None }
    }

    /// The requests that were taken but not yielded: the first append, if any, and the task that ended the group.
    pub(super) fn into_rest(self) -> (Option<A>, Option<T>) {
        (self.first, self.task)
    }
}

impl<A, T, M: FnMut() -> Option<Request<A, T>>> Iterator for CommitGroup<A, T, M> {
    type Item = A;

    fn next(&mut self) -> Option<A> {
        if let Some(first) = self.first.take() {
            self.taken += 1;
            return Some(first);
        }
        if self.taken == MAX_GROUP || self.task.is_some() {
            return None;
        }
        match (self.more)()? {
            Request::Append(append) => {
                self.taken += 1;
                Some(append)
            }
            Request::LogTask(task) => {
                self.task = Some(task);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn request(n: i32, is_append: bool) -> Request<i32, i32> {
        if is_append { Request::Append(n) } else { Request::LogTask(n) }
    }

    proptest! {
        #[test]
        fn everything_is_taken_once_and_in_order(kinds in vec(prop::bool::weighted(0.99), 1..3_000)) {
            let mut queue: VecDeque<_> = (0..).zip(&kinds).map(|(n, is_append)| request(n, *is_append)).collect();
            let mut done = Vec::new();
            while let Some(first) = queue.pop_front() {
                let first = match first {
                    Request::Append(first) => first,
                    Request::LogTask(task) => {
                        done.push((task, false));
                        continue;
                    }
                };
                let mut group = CommitGroup::new(first, || queue.pop_front());
                let taken: Vec<_> = group.by_ref().map(|n| (n, true)).collect();
                let (unwanted, task) = group.into_rest();
                prop_assert!(taken.len() <= MAX_GROUP && !taken.is_empty() && unwanted.is_none());
                done.extend(taken);
                done.extend(task.map(|n| (n, false)));
            }
            let asked: Vec<_> = (0..).zip(kinds).collect();
            prop_assert_eq!(done, asked);
        }

        #[test]
        fn a_group_takes_all_that_is_there(count in 1..2_000usize) {
            let mut left = count - 1;
            let more = || left.checked_sub(1).map(|fewer| { left = fewer; request(0, true) });
            prop_assert_eq!(CommitGroup::new(0, more).count(), count.min(MAX_GROUP));
        }
    }

    #[test]
    fn requests_that_arrive_while_the_first_are_written_join_them() {
        let queue = RefCell::new(VecDeque::new());
        let mut group = CommitGroup::new(1, || queue.borrow_mut().pop_front());
        assert_eq!(group.next(), Some(1));
        queue.borrow_mut().extend([request(2, true), request(3, false), request(4, true)]);
        assert_eq!((group.next(), group.next(), group.next()), (Some(2), None, None));
        assert_eq!(group.into_rest(), (None, Some(3)));
        assert_eq!(queue.borrow().len(), 1);
    }

    #[test]
    fn an_append_that_was_not_yielded_is_left() {
        let group = CommitGroup::new(1, || Some(request(2, true)));
        assert_eq!(group.into_rest(), (Some(1), None));
    }
}
