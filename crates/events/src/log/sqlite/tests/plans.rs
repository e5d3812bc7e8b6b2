use super::*;
use crate::{EventId, EventKind};

#[test]
fn thousands_of_conditions_are_answered() {
    let file = TestFile::with_events(3);
    let log = file.open();
    let kinds = (0..40_000).map(|n| EventKind::new(format!("k{n}")).unwrap());
    let ticked = EventKind::from_static("ticked");
    assert_eq!(ids(&log, &Query::new().kinds(kinds).kind(ticked)), [1, 2, 3]);
    let causes = (1..40_000).filter_map(EventId::new).fold(Query::new(), Query::causation);
    assert!(ids(&log, &causes).is_empty());
}
