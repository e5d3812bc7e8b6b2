//! Histograms against exact statistics, beside writers, and their parts.

use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn histogram_of(values: &[f64]) -> Histogram {
    let histogram = Histogram::new();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

#[test]
fn an_empty_histogram_is_small_and_has_no_extremes() {
    assert!(size_of::<Histogram>() <= 24);
    assert_eq!(Histogram::new().snapshot(), HistogramSnapshot::default());
}

#[test]
fn rejected_values_leave_no_trace_but_their_number() {
    let histogram = histogram_of(&[f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY, -0.1]);
    let expected = HistogramSnapshot { rejected: 5, ..Default::default() };
    assert_eq!(histogram.snapshot(), expected);
}

#[test]
fn minus_zero_is_zero() {
    let histogram = histogram_of(&[-0.0, 1.0]);
    assert_eq!(histogram.rejected(), 0);
    assert!(histogram.min().is_some_and(|min| min == 0.0 && min.is_sign_positive()));
}

#[test]
fn the_sum_stops_before_infinity() {
    let histogram = histogram_of(&[f64::MAX, f64::MAX]);
    assert_eq!(histogram.sum(), f64::MAX);
    assert!(histogram.mean().unwrap().is_finite());
}

#[test]
fn quantiles_beyond_the_buckets_are_the_extremes() {
    let histogram = histogram_of(&[0.0, 0.0, 1e-20, 1e20, 1e25, 1e30]);
    assert_eq!(histogram.quantile(0.4), Some(0.0));
    assert_eq!(histogram.quantile(0.8), Some(1e30));
}

#[test]
fn a_quantile_that_is_not_a_number_has_no_value() {
    assert_eq!(histogram_of(&[1.0]).quantile(f64::NAN), None);
}

#[test]
fn values_of_several_threads_are_all_recorded() {
    let histogram = Histogram::new();
    thread::scope(|scope| {
        for thread in 1..=4 {
            let record = |value| histogram.record(f64::from(value));
            scope.spawn(move || (0..10_000).map(|i| i % 50 * thread).for_each(record));
        }
    });
    let snapshot = histogram.snapshot();
    assert_eq!((snapshot.count, snapshot.min, snapshot.max), (40_000, Some(0.0), Some(196.0)));
    assert_eq!(snapshot.sum, 10.0 * 245_000.0);
}

#[test]
fn a_reading_beside_a_writer_is_never_at_odds_with_itself() {
    let histogram = Histogram::new();
    thread::scope(|scope| {
        let descending = || (1..50_000).rev().for_each(|v| histogram.record(f64::from(v)));
        let writer = scope.spawn(descending);
        while !writer.is_finished() {
            let Some(median) = histogram.quantile(0.5) else { continue };
            assert!(histogram.min() <= Some(median) && Some(median) <= histogram.max());
        }
    });
}

#[test]
fn a_bound_never_shows_more_than_the_histogram_has_beside_a_writer() {
    let histogram = Histogram::with_bounds(Bounds::new([10.0, 1e9]).unwrap());
    thread::scope(|scope| {
        let writer = scope.spawn(|| (0..50_000).for_each(|v| histogram.record(f64::from(v % 20))));
        while !writer.is_finished() {
            let snapshot = histogram.snapshot();
            assert!(snapshot.bounds[0].1 <= snapshot.bounds[1].1 && snapshot.bounds[1].1 <= snapshot.count);
        }
    });
    assert_eq!(histogram.snapshot().bounds, [(10.0, 27_500), (1e9, 50_000)]);
}

#[test]
fn chosen_bounds_are_shown_before_there_is_a_value() {
    let snapshot = Histogram::with_bounds(Bounds::new([1.0]).unwrap()).snapshot();
    assert_eq!(snapshot, HistogramSnapshot { bounds: vec![(1.0, 0)], ..Default::default() });
}

#[test]
fn its_size_is_bounded() {
    assert!(size_of::<Recorded>() <= 240);
}

fn three() -> Distribution {
    let buckets = vec![(1.01, 1), (2.02, 1), (4.04, 1)];
    Distribution::new(buckets, 7.0, 1.0, 4.0).unwrap()
}

#[test]
fn nothing_has_no_distribution() {
    assert!(Distribution::new(Vec::new(), 0.0, f64::INFINITY, 0.0).is_none());
}

#[test]
fn ranks_are_nearest_and_stay_within_the_values() {
    let ranks = [-1.0, 0.0, 0.1, 0.11, 0.5, 1.0, 2.0].map(|q| nearest_rank(q, 10));
    assert_eq!(ranks, [1, 1, 1, 2, 5, 10, 10]);
}

#[test]
fn the_first_and_the_last_value_are_exact() {
    assert_eq!([0.0, 0.5, 1.0].map(|q| three().quantile(q)), [1.0, 2.02, 4.0]);
}

#[test]
fn a_sum_that_is_ahead_of_the_count_cannot_push_the_mean_beyond_the_greatest_value() {
    let ahead = Distribution::new(vec![(1.0, 1)], 10.0, 1.0, 2.0).unwrap();
    assert_eq!(ahead.mean(), 2.0);
}

/// Values of all magnitudes with a bounded error, with repetitions.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let any_magnitude = (-31.9..63.9f64).prop_map(f64::exp2);
    let whole = (1..1_000u32).prop_map(f64::from);
    vec(prop_oneof![any_magnitude, whole], 1..200)
}

/// Zero, powers of two and what lies around them, and beyond all buckets.
fn any_value() -> impl Strategy<Value = f64> {
    let power = || (-40..70i32).prop_map(|exponent| f64::from(exponent).exp2());
    let any_magnitude = (-40.0..70.0f64).prop_map(f64::exp2);
    prop_oneof![Just(0.0), power(), power().prop_map(f64::next_up), power().prop_map(f64::next_down), any_magnitude]
}

proptest! {
    #[test]
    fn quantiles_are_within_the_stated_error(mut values in values(), q in 0.0..=1.0f64) {
        let approximate = histogram_of(&values).quantile(q).unwrap();
        values.sort_by(f64::total_cmp);
        let exact = values[nearest_rank(q, values.len() as u64) as usize - 1];
        prop_assert!((approximate - exact).abs() <= exact * Histogram::RELATIVE_ERROR);
    }

    #[test]
    fn quantiles_rise_with_their_fraction(values in values(), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
        let histogram = histogram_of(&values);
        prop_assert!(histogram.quantile(a.min(b)) <= histogram.quantile(a.max(b)));
    }

    #[test]
    fn count_sum_and_extremes_are_exact(values in values()) {
        let snapshot = histogram_of(&values).snapshot();
        prop_assert_eq!(snapshot.count, values.len() as u64);
        prop_assert_eq!(snapshot.sum, values.iter().sum::<f64>());
        prop_assert_eq!(snapshot.min, values.iter().copied().reduce(f64::min));
        prop_assert_eq!(snapshot.max, values.iter().copied().reduce(f64::max));
    }

    #[test]
    fn each_bound_counts_exactly_the_values_that_are_at_most_as_great(values in vec(any_value(), 0..100)) {
        let snapshot = histogram_of(&values).snapshot();
        for (exponent, count) in &snapshot.buckets {
            let bound = f64::from(*exponent).exp2();
            prop_assert_eq!(*count, values.iter().filter(|value| **value <= bound).count() as u64);
        }
        prop_assert!(snapshot.buckets.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_chosen_bound_counts_exactly_the_values_that_are_at_most_as_great(
        values in vec(any_value(), 0..100),
        mut bounds in vec(any_value(), 1..10),
    ) {
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let histogram = Histogram::with_bounds(Bounds::new(bounds.iter().copied()).unwrap());
        values.iter().for_each(|value| histogram.record(*value));
        let counted = |bound: &f64| (*bound, values.iter().filter(|value| *value <= bound).count() as u64);
        prop_assert_eq!(histogram.snapshot().bounds, bounds.iter().map(counted).collect::<Vec<_>>());
        // All else is as without them.
        let snapshot = HistogramSnapshot { bounds: Vec::new(), ..histogram.snapshot() };
        prop_assert_eq!(snapshot, histogram_of(&values).snapshot());
    }

    #[test]
    fn no_value_makes_a_reading_that_is_not_finite(values in vec(any::<f64>(), 0..50)) {
        let snapshot = histogram_of(&values).snapshot();
        let parts = [snapshot.min, snapshot.max, snapshot.mean, snapshot.p50, snapshot.p999];
        prop_assert!(snapshot.sum.is_finite() && parts.into_iter().flatten().all(f64::is_finite));
        prop_assert_eq!(snapshot.count + snapshot.rejected, values.len() as u64);
    }
}
