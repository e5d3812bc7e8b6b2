use rusqlite::params_from_iter;
use uuid::Uuid;

use super::super::plan::{Plan, Window};
use super::*;
use crate::{EventId, EventKind, Order};

fn explained(query: &Query) -> String {
    let log = TestFile::new().open();
    let plan = Plan::of(query);
    let mut statement = log.connection().prepare(&format!("EXPLAIN QUERY PLAN {}", plan.sql)).unwrap();
    let values = params_from_iter(plan.values(Window::of(query, 9), 9));
    let lines = statement.query_map(values, |row| row.get::<_, String>(3)).unwrap();
    lines.map(|line| line.unwrap() + "\n").collect()
}

fn queries() -> [(Query, &'static str); 6] {
    let kinds = ["opened", "closed"].map(EventKind::from_static);
    let cause = |id| EventId::new(id).unwrap();
    [
        (Query::new(), "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (Query::new().kind(kinds[0].clone()), "events_by_kind (kind=? AND recorded_at>? AND recorded_at<?)"),
        (Query::new().kinds(kinds), "events_by_kind (kind=? AND recorded_at>? AND recorded_at<?)"),
        (Query::new().correlation(Uuid::nil()), "events_by_correlation (correlation_id=? AND recorded_at>?"),
        (Query::new().source("shop"), "events_by_source (source=? AND recorded_at>? AND recorded_at<?)"),
        (
            Query::new().causation(cause(1)).causation(cause(2)),
            "events_by_cause (causation_id=? AND rowid>? AND rowid<?)",
        ),
    ]
}

#[test]
fn each_query_uses_its_index_and_sorts_nothing_in_either_order() {
    for (query, index) in queries() {
        for order in [Order::Ascending, Order::Descending] {
            let plan = explained(&query.clone().order(order));
            assert!(plan.contains(index), "{query:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
        }
    }
}

#[test]
fn no_value_is_a_part_of_a_statement() {
    let hostile = "x'; DROP TABLE events; --";
    let query = Query::new().source(hostile).payload("/a'b", hostile).unwrap();
    assert!(!Plan::of(&query).sql.contains("DROP"));
}

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
