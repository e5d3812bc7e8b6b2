use super::*;
use crate::{EventId, RepairStep};

/// A repair to its end, this many events a step; returns the moved ones, in order.
fn repaired(log: &mut SqliteLog, at_most: usize) -> Vec<u64> {
    let (mut moved, mut next) = (Vec::new(), Some(EventId::FIRST));
    while let Some(from) = next {
        let RepairStep { moved: step, next: then } = log.repair(from, at_most).unwrap();
        moved.extend(step.iter().map(|damaged| damaged.event.get()));
        next = then;
    }
    moved
}

#[test]
fn after_a_repair_of_rows_and_sums_the_log_is_clean_and_all_other_events_are_unchanged() {
    for (sql, lost) in [
        ("UPDATE events SET payload = '{' WHERE id IN (1, 20, 21, 30)", vec![1, 20, 21, 30]),
        ("UPDATE events SET recorded_at = 9223372036854775807, kind = 'x y' WHERE id = 7", vec![7]),
        ("UPDATE events SET idempotency_key = NULL WHERE id = 7", vec![7]),
        ("DELETE FROM events WHERE id IN (5, 6, 30)", vec![5, 6, 30]),
        ("DELETE FROM events WHERE id = 5; UPDATE events SET checksum = 0 WHERE id = 4", vec![4, 5]),
        ("UPDATE state SET highest_id = 12, bytes = 7, latest = 3", vec![]),
        ("SELECT 1", vec![]),
    ] {
        for at_most in [1, 7, 1_000] {
            let file = TestFile::with_events(30);
            let before = all(&file.open());
            file.tool().execute_batch(sql).unwrap();
            let mut log = file.open();
            assert_eq!(repaired(&mut log, at_most), lost, "{sql}");
            assert_clean(&log);
            let after = all(&log);
            assert_eq!(after.len(), 30, "{sql}");
            for (old, new) in before.iter().zip(&after) {
                match lost.contains(&new.id.get()) {
                    true => assert_eq!(new.kind.as_str(), "event_lost"),
                    false => assert_eq!(new, old),
                }
            }
            assert_eq!(repaired(&mut log, at_most), Vec::<u64>::new(), "once is enough");
            record(&mut log, [31]);
            assert_eq!(ids(&log, &Query::new()), (1..=31).collect::<Vec<_>>());
            assert_clean(&log);
        }
    }
}

#[test]
fn damaged_rows_are_kept_as_they_were_and_listed() {
    let file = TestFile::with_events(3);
    file.tool().execute_batch("UPDATE events SET payload = '{oh' WHERE id = 2").unwrap();
    let mut log = file.open();
    repaired(&mut log, 10);
    let moved = reader(&log).moved_aside(10).unwrap();
    assert_eq!((moved.len(), moved[0].event.get()), (1, 2));
    drop(log);
    let kept: String = file.tool().query_row("SELECT payload FROM damaged_events", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "{oh");
}

#[test]
fn a_log_whose_beginning_was_pruned_gets_no_events_in_the_place_of_what_was_pruned() {
    let file = TestFile::with_events(30);
    let mut log = file.open();
    log.prune(crate::PruneBound::Count(10), None, 1_000).unwrap();
    file.tool().execute_batch("UPDATE events SET payload = '{' WHERE id = 25").unwrap();
    assert_eq!(repaired(&mut log, 4), [25]);
    assert_eq!(ids(&log, &Query::new()), (21..=30).collect::<Vec<_>>());
    log.prune(crate::PruneBound::Count(0), None, 1_000).unwrap();
    assert_eq!(repaired(&mut log, 4), Vec::<u64>::new());
    assert_clean(&log);
}
