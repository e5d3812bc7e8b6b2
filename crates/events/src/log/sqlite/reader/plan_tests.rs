//! Each plan uses its index.

use uuid::Uuid;

use super::super::SqliteOptions;
use super::super::connection::open_writer;
use super::super::path::Missing;
use super::*;

fn explained(query: &Query) -> String {
    let (directory, options) = (tempfile::tempdir().unwrap(), SqliteOptions::default());
    let file = open_writer(&directory.path().join("events.db"), &options, "production", Missing::Create).unwrap();
    let plan = Plan::of(query);
    let mut statement = file.prepare(&format!("EXPLAIN QUERY PLAN {}", plan.sql)).unwrap();
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
