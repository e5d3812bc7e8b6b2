//! The latest events, and the wakers of their readers.

use std::task::Wake;
use std::time::UNIX_EPOCH;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::NewEvent;

#[test]
fn a_dropped_reader_is_forgotten() {
    let tail = Arc::new(Tail::default());
    let readers: Vec<_> = (0..3).map(|_| tail.follow()).collect();
    assert_eq!(tail.0.lock().wakers.len(), 3);
    let kept = readers.into_iter().nth(1).unwrap();
    assert!(tail.0.lock().wakers.iter().all(|waker| Arc::ptr_eq(waker, &kept.waker)));
    drop(kept);
    assert!(tail.0.lock().wakers.is_empty());
}

struct PanicsWhenDropped;

impl Wake for PanicsWhenDropped {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a foreign waker");
    }
}

/// When it is woken, this reader registers a waker and is dropped.
struct Leaves(Mutex<Option<TailReader>>);

impl Wake for Leaves {
    fn wake(self: Arc<Self>) {
        let reader = self.0.lock().take().unwrap();
        reader.register_waker(&Waker::from(Arc::new(PanicsWhenDropped)));
    }
}

#[test]
fn the_waker_of_a_reader_that_leaves_while_others_are_woken_does_not_end_the_writer() {
    let tail = Arc::new(Tail::default());
    let (leaving, staying) = (tail.follow(), tail.follow());
    staying.register_waker(&Waker::from(Arc::new(Leaves(Mutex::new(Some(leaving))))));
    tail.extend(&events(1, 1, 0));
    assert_eq!((staying.position(), tail.0.lock().wakers.len()), (Some(1), 1));
}

fn events(from: u64, count: u64, text: usize) -> Vec<Arc<Event>> {
    let event = |id| {
        let event = NewEvent::new("noted").unwrap().payload("x".repeat(text)).unwrap();
        Arc::new(event.record(EventId::new(id).unwrap(), "production", UNIX_EPOCH))
    };
    (from..from + count).map(event).collect()
}

fn ids(ring: &Ring, position: u64) -> Option<Vec<u64>> {
    match ring.after(position) {
        TailRead::Events(events) => Some(events.map(|event| event.id.get()).collect()),
        TailRead::Nothing => Some(Vec::new()),
        TailRead::InLog => None,
    }
}

proptest! {
    #[test]
    fn a_reader_gets_all_that_follows_or_is_sent_to_the_log(
        limit in 1..20usize,
        batches in vec((1..9u64, prop::bool::weighted(0.2)), 0..30),
    ) {
        let mut ring = Ring::with_limits(limit, usize::MAX);
        let (mut newest, mut kept) = (0, 0);
        for (count, unheard) in batches {
            if unheard {
                (newest, kept) = (newest + 1, 0);
            }
            ring.extend(&events(newest + 1, count, 0));
            (newest, kept) = (newest + count, (kept + count).min(limit as u64));
            for position in 0..=newest {
                let expected = (position >= newest - kept).then(|| (position + 1..=newest).collect::<Vec<_>>());
                prop_assert_eq!(ids(&ring, position), expected);
            }
        }
        prop_assert_eq!((ring.newest(), ring.rewound()), (newest, 0));
    }
}

#[test]
fn large_events_push_out_as_many_as_they_need() {
    let mut ring = Ring::with_limits(100, 3_000);
    ring.extend(&events(1, 3, 500));
    assert_eq!(ids(&ring, 0), Some(vec![1, 2, 3]));
    ring.extend(&events(4, 1, 1_500));
    assert_eq!((ids(&ring, 1), ids(&ring, 2)), (None, Some(vec![3, 4])));
    ring.extend(&events(5, 1, 5_000));
    assert_eq!((ids(&ring, 4), ids(&ring, 5)), (None, Some(vec![])));
    assert_eq!(ring.bytes, 0);
}

#[test]
fn a_log_that_ends_earlier_than_before_is_noticed() {
    let mut ring = Ring::default();
    ring.extend(&events(1, 5, 0));
    ring.move_to(5);
    assert_eq!((ids(&ring, 0).map(|ids| ids.len()), ring.rewound()), (Some(5), 0));
    ring.move_to(2);
    assert_eq!((ids(&ring, 0), ids(&ring, 2), ring.rewound()), (None, Some(vec![]), 1));
    assert_eq!(ring.bytes, 0);
    ring.extend(&events(1, 1, 0));
    assert_eq!((ids(&ring, 0), ring.newest(), ring.rewound()), (Some(vec![1]), 1, 2));
}
