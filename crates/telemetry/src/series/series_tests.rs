//! The series of one name.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn table(limit: usize, places: usize) -> SeriesTable<Counter> {
    let table = SeriesTable::new(Namespace::Production, "requests", &Arc::new(Budget::new(places)));
    table.set_limit(limit);
    table
}

fn labels(value: &str) -> Labels {
    Labels::new([("user", value)]).unwrap()
}

fn total(table: &SeriesTable<Counter>) -> u64 {
    table.read().iter().map(|series| mark(&series.reading)).sum()
}

#[test]
fn a_series_that_is_held_is_not_retired() {
    let table = table(2, 2);
    let held = table.series(&labels("a"));
    assert!(!table.retire(&labels("a"), 0));
    drop(held);
    assert!(table.retire(&labels("a"), 0));
    assert!(table.read().is_empty());
}

#[test]
fn a_series_that_counted_since_it_was_seen_is_not_retired() {
    let table = table(2, 2);
    table.series(&labels("a")).increment();
    assert!(!table.retire(&labels("a"), 0));
    assert!(table.retire(&labels("a"), 1));
}

#[test]
fn what_comes_back_before_the_next_tick_goes_on_and_later_begins_anew() {
    let table = table(2, 2);
    table.series(&labels("a")).add(7);
    assert!(table.retire(&labels("a"), 7));
    assert!(table.read().is_empty());
    table.series(&labels("a")).increment();
    assert_eq!(total(&table), 8);
    assert!(table.retire(&labels("a"), 8));
    assert!(table.read_at_tick().is_empty());
    table.series(&labels("a")).increment();
    assert_eq!(total(&table), 1);
}

#[test]
fn a_series_says_since_when_it_counts() {
    let table = table(2, 2);
    table.series(&labels("a")).increment();
    let since = |table: &SeriesTable<Counter>| table.read()[0].since;
    let begun = since(&table);
    assert!(begun >= table.begun);
    assert!(table.retire(&labels("a"), 1));
    table.series(&labels("a")).increment();
    assert_eq!(since(&table), begun, "it came back before the tick, and goes on");
    assert!(table.retire(&labels("a"), 2));
    table.read_at_tick();
    table.series(&labels("a")).increment();
    assert!(since(&table) > begun, "it begins anew");
}

#[test]
fn the_first_limit_stays() {
    let table = table(1, 10);
    table.set_limit(10);
    ["a", "b"].into_iter().for_each(|user| table.series(&labels(user)).increment());
    assert_eq!(table.read()[0].labels, Labels::overflow());
}

#[derive(Debug, Clone)]
enum Step {
    Count(u8),
    Remove(u8),
    Retire(u8),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        |user| prop_oneof![4 => Just(Step::Count(user)), 1 => Just(Step::Remove(user)), 1 => Just(Step::Retire(user))];
    vec(prop_oneof![9 => (0..20u8).prop_flat_map(step), 1 => Just(Step::Tick)], 0..100)
}

proptest! {
    #[test]
    fn there_are_never_more_series_than_there_may_be(steps in steps(), limit in 0..8usize, places in 0..8usize) {
        let table = table(limit, places);
        for step in steps {
            match step {
                Step::Count(user) => table.series(&labels(&user.to_string())).increment(),
                Step::Remove(user) => drop(table.remove(&labels(&user.to_string()))),
                Step::Retire(user) => drop(table.retire(&labels(&user.to_string()), 1)),
                Step::Tick => drop(table.read_at_tick()),
            }
            let series = table.read();
            let labelled = series.iter().filter(|series| series.labels != Labels::overflow()).count();
            prop_assert!(labelled <= limit.min(places));
            prop_assert_eq!(labelled + table.budget.free.load(Ordering::Relaxed), places);
            prop_assert!(series.iter().all(|series| matches!(series.reading, Reading::Counter(_))));
        }
    }
}
