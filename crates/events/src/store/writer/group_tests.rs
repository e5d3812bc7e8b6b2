//! Which requests are committed together.

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
