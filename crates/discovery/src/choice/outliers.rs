//! Outliers: instances that fail more than the others, and are left out for a while.
//!
//! # Invariants
//!
//! 1. After each ejection at most the allowed share of the instances is ejected, never all of them, and none of a service of
//!    fewer than three, unless that is asked for. Instances that leave do not break this: then the ejections that would
//!    end first end now.
//! 2. Only time, or invariant 1, ends an ejection. Calls that were under way when it began change nothing.
//! 3. An ejection is of an incarnation: the next one begins without a record.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

/// When an instance is ejected, and for how long. The rules are Envoy's, with limits that hold.
///
/// | | default |
/// |---|---|
/// | [`failures_in_a_row`](Self::failures_in_a_row) | 5 |
/// | [`window`](Self::window), [`min_calls`](Self::min_calls) | 10 s, 50 |
/// | [`deviations`](Self::deviations) | 1.9 |
/// | [`ejection`](Self::ejection) | 30 s, 300 s at most |
/// | [`max_percent`](Self::max_percent) | 50 |
/// | [`small_services`](Self::small_services) | no |
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierRules {
    failures_in_a_row: u32,
    window: Duration,
    min_calls: u32,
    deviations: f64,
    ejection: Duration,
    max_ejection: Duration,
    max_percent: u8,
    small_services: bool,
}

/// How many instances must have enough calls for their success to be compared.
const MIN_COMPARED: usize = 5;
/// A service of fewer instances is small.
const SMALL: usize = 3;
/// The longest ejection that can be asked for, a year: a later end could be more than a clock can count.
const MAX_EJECTION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How much an ejection is longer or shorter by chance, so that instances do not return together.
const JITTER: f64 = 0.1;

impl Default for OutlierRules {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            window: Duration::from_secs(10),
            min_calls: 50,
            deviations: 1.9,
            ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_percent: 50,
            small_services: false,
        }
    }
}

impl OutlierRules {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many failures in a row eject an instance; at least 1.
    pub fn failures_in_a_row(self, failures: u32) -> Self {
        Self { failures_in_a_row: failures.max(1), ..self }
    }

    /// How long the calls are counted before the success of the instances is compared.
    pub fn window(self, time: Duration) -> Self {
        Self { window: time, ..self }
    }

    /// How many calls an instance must have had in the window to be compared; at least 1.
    pub fn min_calls(self, calls: u32) -> Self {
        Self { min_calls: calls.max(1), ..self }
    }

    /// How many standard deviations below the mean of at least five instances ejects an instance.
    pub fn deviations(self, deviations: f64) -> Self {
        Self { deviations, ..self }
    }

    /// How long the first ejection lasts, and how long any at most: the second lasts twice as long, and so on. By
    /// chance each is up to a tenth longer or shorter, and none longer than `max`.
    pub fn ejection(self, first: Duration, max: Duration) -> Self {
        Self { ejection: first, max_ejection: max, ..self }
    }

    /// How many percent of the instances may be ejected, rounded down.
    pub fn max_percent(self, percent: u8) -> Self {
        Self { max_percent: percent.min(100), ..self }
    }

    /// Whether instances of a service of two are ejected, too.
    pub fn small_services(self, wanted: bool) -> Self {
        Self { small_services: wanted, ..self }
    }

    /// How many of so many instances may be ejected.
    fn max_ejected(&self, instances: usize) -> usize {
        if instances < SMALL && !self.small_services {
            return 0;
        }
        (instances * usize::from(self.max_percent) / 100).min(instances.saturating_sub(1))
    }

    /// How long an ejection lasts, the first of which is number 1.
    fn lasts(&self, times: u32, random: &mut fastrand::Rng) -> Duration {
        let max = self.max_ejection.min(MAX_EJECTION);
        let planned = self.ejection.saturating_mul(times).min(max);
        let (least, most) = (planned.mul_f64(1.0 - JITTER), planned.mul_f64(1.0 + JITTER).min(max));
        // Between the two, so that ejections of the longest kind do not end together either.
        least + (most.saturating_sub(least)).mul_f64(random.f64())
    }
}

/// Why an instance is ejected.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum EjectionCause {
    /// So many calls in a row have failed.
    FailuresInARow(u32),
    /// Too small a share of its calls has succeeded.
    Success {
        /// The share, 0 to 1.
        share: f64,
        /// The mean of all instances.
        mean: f64,
    },
}

/// An ejection of an instance, which is known by a key.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Ejection<K> {
    /// The key of the instance.
    pub instance: K,
    /// When it ends.
    pub until: Instant,
    /// Why it began.
    pub cause: EjectionCause,
}

/// The outliers among the instances of one service: a pure state machine, which is given the outcome of each call, the
/// time, and chance.
///
/// The key of an instance is that of its incarnation: the next one begins without a record. An actor that is registered as
/// several instances has a key for each.
///
/// Cost: of an outcome a look in a map, and once for each window linear in the instances.
///
/// ```
/// use foundation_discovery::choice::{OutlierRules, Outliers};
/// use tokio::time::Instant;
///
/// let (now, mut random) = (Instant::now(), fastrand::Rng::with_seed(7));
/// let mut outliers = Outliers::new(OutlierRules::new(), now);
/// outliers.set_members(1..=4, now);
///
/// let ejections: Vec<_> = (0..5).flat_map(|_| outliers.record(&1, false, now, &mut random)).collect();
/// assert_eq!(ejections.len(), 1);
/// assert_eq!(ejections[0].cause.to_string(), "5 failures in a row");
/// assert!(outliers.ejection(&1, now).is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Outliers<K> {
    rules: OutlierRules,
    members: HashMap<K, Member<K>, RandomState>,
    window_began: Instant,
    /// When the last of the ejections so far ends.
    last_end: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Member<K> {
    failures_in_a_row: u32,
    calls: u64,
    successes: u64,
    /// How often it was ejected lately.
    times: u32,
    /// Whether it has returned from an ejection, and has had no success since.
    on_probation: bool,
    ejection: Option<Ejection<K>>,
}

// By hand: a key need not have a default.
impl<K> Default for Member<K> {
    fn default() -> Self {
        Self { failures_in_a_row: 0, calls: 0, successes: 0, times: 0, on_probation: false, ejection: None }
    }
}

impl<K> Member<K> {
    /// Begins anew after an ejection that is over.
    fn return_if_due(&mut self, now: Instant) {
        if self.ejection.as_ref().is_some_and(|ejection| ejection.until <= now) {
            self.end_ejection();
        }
    }

    fn end_ejection(&mut self) {
        *self = Self { times: self.times, on_probation: true, ..Self::default() };
    }

    fn is_ejected(&self, now: Instant) -> bool {
        self.ejection.as_ref().is_some_and(|ejection| ejection.until > now)
    }

    /// Notes an outcome. The first success since its return halves the number of its ejections.
    fn note(&mut self, success: bool) {
        if success && std::mem::take(&mut self.on_probation) {
            self.times /= 2;
        }
        self.calls = self.calls.saturating_add(1);
        self.successes = self.successes.saturating_add(u64::from(success));
        self.failures_in_a_row = if success { 0 } else { self.failures_in_a_row.saturating_add(1) };
    }

    fn share(&self) -> f64 {
        self.successes as f64 / self.calls as f64
    }
}

impl<K: Clone + Eq + Hash + Ord> Outliers<K> {
    /// Without members.
    pub fn new(rules: OutlierRules, now: Instant) -> Self {
        Self { rules, members: HashMap::default(), window_began: now, last_end: None }
    }

    /// Sets the instances of the service, by their keys: the shares are of all of them. Those that stay keep their records.
    pub fn set_members(&mut self, instances: impl IntoIterator<Item = K>, now: Instant) {
        let mut before = std::mem::take(&mut self.members);
        let mut member = |instance| {
            let member = before.remove(&instance).unwrap_or_default();
            (instance, member)
        };
        self.members = instances.into_iter().map(&mut member).collect();
        self.end_surplus(now);
    }

    /// Adds an instance, which begins without a record unless it is there.
    pub(crate) fn add_member(&mut self, instance: K) {
        self.members.entry(instance).or_default();
    }

    /// Removes an instance. To be followed by [`end_surplus`](Self::end_surplus).
    pub(crate) fn remove_member(&mut self, instance: &K) {
        self.members.remove(instance);
    }

    /// Ends the ejections beyond the limit, which a smaller number of members may have lowered.
    pub(crate) fn end_surplus(&mut self, now: Instant) {
        if self.last_end.is_none_or(|end| end <= now) {
            return;
        }
        let mut ejections: Vec<_> =
            self.members.values().filter(|it| it.is_ejected(now)).filter_map(|it| it.ejection.clone()).collect();
        let surplus = ejections.len().saturating_sub(self.rules.max_ejected(self.members.len()));
        ejections.sort_by_key(|ejection| ejection.until);
        for ejection in &ejections[..surplus] {
            if let Some(member) = self.members.get_mut(&ejection.instance) {
                member.end_ejection();
            }
        }
    }

    /// Takes the outcome of a call in, and returns the ejections that follow from it: of this instance, or, at the end of
    /// a window, of others. An instance that is no member is ignored.
    pub fn record(
        &mut self,
        instance: &K,
        success: bool,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Vec<Ejection<K>> {
        let Some(member) = self.members.get_mut(instance) else { return Vec::new() };
        member.return_if_due(now);
        if member.ejection.is_none() {
            member.note(success);
        }
        let failures = member.failures_in_a_row;
        let mut ejections = Vec::new();
        if member.ejection.is_none() && failures >= self.rules.failures_in_a_row {
            ejections.extend(self.eject(instance, EjectionCause::FailuresInARow(failures), now, random));
        }
        if self.is_window_over(now) {
            ejections.extend(self.end_window(now, random));
        }
        ejections
    }

    /// Takes in successes of an instance that had no failure since its last success, as many calls at once.
    ///
    /// The same as [`record`](Self::record) of each of them, but for the end of a window: ask
    /// [`is_window_over`](Self::is_window_over) before.
    pub fn add_successes(&mut self, instance: &K, calls: u64) {
        let Some(member) = self.members.get_mut(instance).filter(|member| member.ejection.is_none()) else { return };
        member.calls = member.calls.saturating_add(calls);
        member.successes = member.successes.saturating_add(calls);
    }

    /// Whether the next call that is recorded ends a window.
    pub fn is_window_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.window_began) >= self.rules.window
    }

    /// Whether the next success of an instance changes more than the number of its calls: it has failed, or is back from
    /// an ejection.
    pub fn awaits_success(&self, instance: &K) -> bool {
        let awaits = |it: &Member<K>| it.failures_in_a_row > 0 || it.on_probation || it.ejection.is_some();
        self.members.get(instance).is_some_and(awaits)
    }

    /// The ejection of an instance, if it is ejected at this time.
    pub fn ejection(&self, instance: &K, now: Instant) -> Option<&Ejection<K>> {
        // Most of the time there is none.
        self.last_end.filter(|end| *end > now)?;
        let ejection = self.members.get(instance)?.ejection.as_ref();
        ejection.filter(|ejection| ejection.until > now)
    }

    /// How many instances are ejected at this time.
    pub fn ejected(&self, now: Instant) -> usize {
        self.members.values().filter(|member| member.is_ejected(now)).count()
    }

    fn eject(
        &mut self,
        instance: &K,
        cause: EjectionCause,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Option<Ejection<K>> {
        if self.ejected(now) >= self.rules.max_ejected(self.members.len()) {
            return None;
        }
        let member = self.members.get_mut(instance)?;
        member.times = member.times.saturating_add(1);
        let ejection =
            Ejection { instance: instance.clone(), until: now + self.rules.lasts(member.times, random), cause };
        member.ejection = Some(ejection.clone());
        self.last_end = self.last_end.max(Some(ejection.until));
        Some(ejection)
    }

    /// Compares the success of all, and ejects those far below the mean, the worst first.
    fn end_window(&mut self, now: Instant, random: &mut fastrand::Rng) -> Vec<Ejection<K>> {
        let is_compared =
            |member: &Member<K>| !member.is_ejected(now) && member.calls >= u64::from(self.rules.min_calls);
        let compared = self.members.iter().filter(|(_, member)| is_compared(member));
        let mut shares: Vec<_> = compared.map(|(instance, member)| (instance.clone(), member.share())).collect();
        shares.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(&other.0)));
        let (mean, deviation) = mean_and_deviation(&shares);
        let is_outlier = |share: f64| shares.len() >= MIN_COMPARED && share < mean - self.rules.deviations * deviation;
        let outliers: Vec<_> = shares.iter().filter(|(_, share)| is_outlier(*share)).cloned().collect();
        for member in self.members.values_mut() {
            (member.calls, member.successes) = (0, 0);
        }
        self.window_began = now;
        let eject = |(instance, share)| self.eject(&instance, EjectionCause::Success { share, mean }, now, random);
        outliers.into_iter().filter_map(eject).collect()
    }
}

/// Of all shares; 0 of none.
fn mean_and_deviation<K>(shares: &[(K, f64)]) -> (f64, f64) {
    let number = shares.len().max(1) as f64;
    let mean = shares.iter().map(|(_, share)| share).sum::<f64>() / number;
    let variance = shares.iter().map(|(_, share)| (share - mean).powi(2)).sum::<f64>() / number;
    (mean, variance.sqrt())
}

impl fmt::Display for EjectionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailuresInARow(failures) => write!(f, "{failures} failures in a row"),
            Self::Success { share, mean } => {
                write!(f, "{:.0} % of its calls succeeded, of all {:.0} %", share * 100.0, mean * 100.0)
            }
        }
    }
}

#[cfg(test)]
#[path = "outliers_tests.rs"]
mod tests;
