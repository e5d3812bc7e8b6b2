/// How many appends are committed together at most.
pub(super) const GROUP: usize = 512;

/// What a writer does next: commit these together, then do that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Drained<A, C> {
    pub(super) group: Vec<A>,
    pub(super) chore: Option<C>,
}

/// A request to a writer: an append, which can be committed with others, or a chore, which stands alone.
pub(super) enum Request<A, C> {
    Append(A),
    Chore(C),
}

/// Takes what is there without waiting for more: appends up to the size of a group, and the chore that ends it, so that
/// everything is done in the order in which it was asked.
pub(super) fn drain<A, C>(first: Request<A, C>, mut more: impl FnMut() -> Option<Request<A, C>>) -> Drained<A, C> {
    let (mut group, mut next) = (Vec::new(), Some(first));
    loop {
        match next {
            Some(Request::Append(append)) => group.push(append),
            Some(Request::Chore(chore)) => return Drained { group, chore: Some(chore) },
            None => return Drained { group, chore: None },
        }
        next = if group.len() < GROUP { more() } else { None };
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn request(n: i32, is_append: bool) -> Request<i32, i32> {
        if is_append { Request::Append(n) } else { Request::Chore(n) }
    }

    proptest! {
        #[test]
        fn everything_is_drained_once_and_in_order(kinds in vec(prop::bool::weighted(0.99), 1..3_000)) {
            let mut queue = (0..).zip(&kinds).map(|(n, is_append)| request(n, *is_append));
            let mut done = Vec::new();
            while let Some(first) = queue.next() {
                let Drained { group, chore } = drain(first, || queue.next());
                prop_assert!(group.len() <= GROUP && (!group.is_empty() || chore.is_some()));
                done.extend(group.into_iter().map(|n| (n, true)));
                done.extend(chore.map(|n| (n, false)));
            }
            let asked: Vec<_> = (0..).zip(kinds).collect();
            prop_assert_eq!(done, asked);
        }

        #[test]
        fn a_group_takes_all_that_is_there(count in 1..2_000usize) {
            let mut left = count - 1;
            let more = || left.checked_sub(1).map(|fewer| { left = fewer; request(0, true) });
            let drained = drain(request(0, true), more);
            prop_assert_eq!(drained.group.len(), count.min(GROUP));
        }
    }
}
