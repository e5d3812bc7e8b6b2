//! The results of one check of one instance, and the status that follows from them.
//!
//! # Invariants
//!
//! 1. The first success of an instance makes it healthy; afterwards it becomes unhealthy by `fall` failures in a row, and
//!    healthy again by `rise` successes in a row.
//! 2. Failures before the first success do not count during the grace.
//! 3. A result that is too old is no result: a check that hangs, or never runs, cannot stay healthy.
//! 4. While its results flap, a status only gets worse: from healthy to degraded to unhealthy.
//! 5. The text of a result changes the reason of a status, and no status.
//! 6. A result that waits for its turn does not become too old by waiting, for a minute.
//!
//! The rules of rise and fall are those of HAProxy and Kubernetes, the first success is Envoy's, flapping is Nagios'.

use std::time::Duration;

use foundation_kernel::supervision::Health;
use foundation_kernel::text::shortened_to;
use tokio::time::Instant;

use super::rules::CheckRules;
use super::status::{InstanceHealth, InstanceStatus, StatusReason};
use crate::limits::MAX_CHECK_TEXT;

/// How many results are looked at for flapping.
const WINDOW: u32 = 21;
/// More changes than so many within the window are flapping.
const MAX_CHANGES: u32 = 6;
/// So many like results in a row end the flapping.
const QUIET: u32 = 10;
/// How much longer a result counts while the next one waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The state of one check of one instance: a pure state machine, which is given results and the time.
///
/// It belongs to one incarnation of an instance, and begins anew with the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckState {
    began: Instant,
    level: Level,
    last: Option<(Instant, Health)>,
    /// How many results up to the last were like it.
    in_a_row: u32,
    results: Results,
    flapping: bool,
    /// Whether the next result is due and waits for its turn.
    waiting: bool,
}

/// What the thresholds say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Unknown,
    Up,
    Down,
}

impl CheckState {
    /// The state of an instance that began now.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            level: Level::Unknown,
            last: None,
            in_a_row: 0,
            results: Results::default(),
            flapping: false,
            waiting: false,
        }
    }

    /// Takes a result in. [`Health::Healthy`] and [`Health::Degraded`] are successes, all others failures. Of a longer text
    /// the first [`MAX_CHECK_TEXT`] bytes are kept.
    pub fn record(&mut self, rules: &CheckRules, result: Health, now: Instant) {
        let success = is_success(&result);
        let result = shortened(result);
        self.waiting = false;
        let is_early = !success && now.saturating_duration_since(self.began) < rules.grace;
        if self.level == Level::Unknown && is_early {
            // It is shown that the check runs; nothing follows from it.
            self.last = Some((now, result));
            return;
        }
        self.in_a_row = if self.results.last() == Some(success) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some((now, result));
        self.note(success);
        self.level = self.next_level(rules, success);
    }

    fn note(&mut self, success: bool) {
        self.results.push(success);
        if self.flapping && self.in_a_row >= QUIET {
            self.flapping = false;
            // Its changes are over: they do not count again.
            self.results = Results::default();
            self.results.push(success);
        } else {
            self.flapping |= self.results.changes() > MAX_CHANGES;
        }
    }

    fn next_level(&self, rules: &CheckRules, success: bool) -> Level {
        match self.level {
            Level::Unknown if success => Level::Up,
            Level::Down if success && self.in_a_row >= rules.rise && !self.flapping => Level::Up,
            Level::Unknown | Level::Up if !success && self.in_a_row >= rules.fall => Level::Down,
            level => level,
        }
    }

    /// Says that the next result is due and waits for its turn: until it is there, the last one counts a minute longer.
    pub fn wait(&mut self) {
        self.waiting = true;
    }

    /// Whether so many failures in a row have made its instance unhealthy.
    pub fn is_down(&self) -> bool {
        self.level == Level::Down
    }

    /// When the health that follows now is too old, unless there is another result before.
    pub fn expires_at(&self, rules: &CheckRules) -> Instant {
        let wait = if self.waiting { MAX_WAIT } else { Duration::ZERO };
        match &self.last {
            Some((at, _)) => *at + rules.expiry() + wait,
            None => self.began + rules.expiry().max(rules.grace) + wait,
        }
    }

    /// The health that follows from the results so far, at this time.
    pub fn health(&self, rules: &CheckRules, now: Instant) -> InstanceHealth {
        if now > self.expires_at(rules) {
            let last = self.last.as_ref().map_or(self.began, |(at, _)| *at);
            let age = now.saturating_duration_since(last);
            return InstanceHealth::because(InstanceStatus::Unhealthy, StatusReason::Stale { age });
        }
        match (self.level, &self.last) {
            (Level::Unknown, _) | (_, None) => InstanceHealth::UNKNOWN,
            (Level::Up, Some(_)) if self.flapping => self.flapping(InstanceStatus::Degraded),
            (Level::Up, Some((_, Health::Degraded(_)))) => self.found(InstanceStatus::Degraded),
            (Level::Up, Some(_)) => InstanceHealth::new(InstanceStatus::Healthy),
            (Level::Down, Some((_, last))) if is_success(last) && self.flapping => {
                self.flapping(InstanceStatus::Unhealthy)
            }
            (Level::Down, Some(_)) => self.found(InstanceStatus::Unhealthy),
        }
    }

    fn flapping(&self, status: InstanceStatus) -> InstanceHealth {
        InstanceHealth::because(status, StatusReason::Flapping { changes: self.results.changes() })
    }

    fn found(&self, status: InstanceStatus) -> InstanceHealth {
        let health = self.last.as_ref().map_or(Health::Healthy, |(_, health)| health.clone());
        InstanceHealth::because(status, StatusReason::Check { health, in_a_row: self.in_a_row })
    }
}

pub(crate) fn is_success(health: &Health) -> bool {
    matches!(health, Health::Healthy | Health::Degraded(_))
}

/// The same with a text of limited length.
fn shortened(health: Health) -> Health {
    let short = |text: String| if text.len() > MAX_CHECK_TEXT { shortened_to(&text, MAX_CHECK_TEXT) } else { text };
    match health {
        Health::Failed(text) => Health::Failed(short(text)),
        Health::Crashed(text) => Health::Crashed(short(text)),
        Health::Degraded(text) => Health::Degraded(short(text)),
        Health::Down(text) => Health::Down(short(text)),
        other => other,
    }
}

/// The latest results, at most 21: a bit each, the last one lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Results {
    bits: u32,
    number: u32,
}

impl Results {
    fn push(&mut self, success: bool) {
        self.bits = (self.bits << 1 | u32::from(success)) & ((1 << WINDOW) - 1);
        self.number = (self.number + 1).min(WINDOW);
    }

    fn last(&self) -> Option<bool> {
        (self.number > 0).then_some(self.bits & 1 == 1)
    }

    /// How many differ from the one before.
    fn changes(&self) -> u32 {
        let pairs = self.number.saturating_sub(1);
        ((self.bits ^ self.bits >> 1) & ((1 << pairs) - 1)).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn result(success: bool) -> Health {
        if success { Health::Healthy } else { Health::Failed("no".to_owned()) }
    }

    /// An instance whose check runs each second.
    struct Checked {
        rules: CheckRules,
        state: CheckState,
        now: Instant,
    }

    impl Checked {
        fn new(rules: CheckRules) -> Self {
            let now = Instant::now();
            Self { rules, state: CheckState::new(now), now }
        }

        fn then(&mut self, success: bool) -> InstanceStatus {
            self.now += SECOND;
            self.state.record(&self.rules, result(success), self.now);
            self.health().status
        }

        fn after(&mut self, results: &str) -> InstanceStatus {
            results.chars().map(|result| self.then(result == '+')).last().unwrap()
        }

        fn health(&self) -> InstanceHealth {
            self.state.health(&self.rules, self.now)
        }
    }

    #[test]
    fn the_first_success_makes_it_healthy_and_failures_alone_unhealthy() {
        assert_eq!(Checked::new(CheckRules::new()).after("+"), InstanceStatus::Healthy);
        assert_eq!(Checked::new(CheckRules::new()).after("--"), InstanceStatus::Unknown);
        assert_eq!(Checked::new(CheckRules::new()).after("---"), InstanceStatus::Unhealthy);
    }

    #[test]
    fn it_falls_after_failures_in_a_row_and_rises_after_successes_in_a_row() {
        let mut checked = Checked::new(CheckRules::new());
        assert_eq!(checked.after("+--+--"), InstanceStatus::Healthy);
        assert_eq!(checked.after("-"), InstanceStatus::Unhealthy);
        assert_eq!(checked.after("+"), InstanceStatus::Unhealthy);
        assert_eq!(checked.after("+"), InstanceStatus::Healthy);
    }

    #[test]
    fn failures_during_the_grace_do_not_count_until_the_first_success() {
        let mut checked = Checked::new(CheckRules::new().grace(SECOND * 10).fall(1));
        assert_eq!(checked.after("---------"), InstanceStatus::Unknown);
        assert_eq!(checked.after("-"), InstanceStatus::Unhealthy, "the grace is over");
        let mut checked = Checked::new(CheckRules::new().grace(SECOND * 10).fall(1));
        assert_eq!(checked.after("-+-"), InstanceStatus::Unhealthy, "it was healthy once");
    }

    #[test]
    fn a_check_that_hangs_or_never_runs_does_not_stay_healthy() {
        let mut checked = Checked::new(CheckRules::new());
        checked.after("+");
        checked.now += SECOND * 30;
        assert_eq!(checked.health().status, InstanceStatus::Healthy);
        checked.now += SECOND;
        assert_eq!(checked.health().to_string(), "unhealthy: no result for 31s");
        assert_eq!(checked.after("+"), InstanceStatus::Healthy, "a new result counts at once");

        let mut never = Checked::new(CheckRules::new().grace(SECOND * 60));
        never.now += SECOND * 60;
        assert_eq!(never.health().status, InstanceStatus::Unknown, "it may take its grace to begin");
        never.now += SECOND;
        assert_eq!(never.health().status, InstanceStatus::Unhealthy);
    }

    #[test]
    fn a_check_that_flaps_is_degraded_until_it_is_quiet() {
        let mut checked = Checked::new(CheckRules::new());
        assert_eq!(checked.after("+-+-+-+"), InstanceStatus::Healthy, "six changes");
        assert_eq!(checked.after("-"), InstanceStatus::Degraded, "seven");
        assert_eq!(checked.health().to_string(), "degraded: flapping: 7 changes in its last results");
        assert_eq!(checked.after("+++++++++"), InstanceStatus::Degraded, "nine alike");
        assert_eq!(checked.after("+"), InstanceStatus::Healthy, "ten");
        assert_eq!(checked.after("-+"), InstanceStatus::Healthy, "its former changes are over");
    }

    #[test]
    fn a_check_that_flaps_falls_and_rises_only_when_it_is_quiet() {
        let mut checked = Checked::new(CheckRules::new());
        assert_eq!(checked.after("+-+-+-+-"), InstanceStatus::Degraded);
        assert_eq!(checked.after("--"), InstanceStatus::Unhealthy);
        assert_eq!(checked.after("+++++++++"), InstanceStatus::Unhealthy);
        assert_eq!(checked.after("+"), InstanceStatus::Healthy);
    }

    #[test]
    fn a_result_that_says_degraded_is_a_success_that_degrades() {
        let mut checked = Checked::new(CheckRules::new());
        checked.state.record(&checked.rules, Health::Degraded("slow".to_owned()), checked.now);
        assert_eq!(checked.health().to_string(), "degraded: degraded: slow");
    }

    #[test]
    fn a_result_that_waits_for_its_turn_counts_a_minute_longer() {
        let mut checked = Checked::new(CheckRules::new());
        checked.after("+");
        checked.state.wait();
        checked.now += SECOND * 90;
        assert_eq!(checked.health().status, InstanceStatus::Healthy);
        checked.now += SECOND;
        assert_eq!(checked.health().to_string(), "unhealthy: no result for 91s");
        checked.after("+");
        checked.now += SECOND * 31;
        assert_eq!(checked.health().status, InstanceStatus::Unhealthy, "the wait ends with the result");
    }

    #[test]
    fn of_a_long_text_the_beginning_is_kept() {
        let mut checked = Checked::new(CheckRules::new().fall(1));
        checked.state.record(&checked.rules, Health::Failed("garbage ".repeat(1 << 17)), checked.now);
        assert!(checked.health().to_string().len() < MAX_CHECK_TEXT + 100);
    }

    proptest! {
        #[test]
        fn a_status_follows_from_the_results_by_the_thresholds(
            results in vec(any::<bool>(), 1..40), rise in 1..5u32, fall in 1..5u32,
        ) {
            let mut checked = Checked::new(CheckRules::new().rise(rise).fall(fall));
            let mut before = InstanceStatus::Unknown;
            for (at, success) in results.iter().enumerate() {
                let status = checked.then(*success);
                let in_a_row = results[..=at].iter().rev().take_while(|it| *it == success).count() as u32;
                match (before, status) {
                    _ if before == status => {}
                    (InstanceStatus::Unknown, InstanceStatus::Healthy) => prop_assert!(success),
                    (InstanceStatus::Healthy, InstanceStatus::Degraded) => prop_assert!(checked.state.flapping),
                    (InstanceStatus::Degraded, InstanceStatus::Healthy) => prop_assert!(in_a_row >= QUIET),
                    (_, InstanceStatus::Unhealthy) => prop_assert!(!success && in_a_row >= fall),
                    (InstanceStatus::Unhealthy, InstanceStatus::Healthy) => prop_assert!(*success && in_a_row >= rise),
                    other => prop_assert!(false, "{:?}", other),
                }
                // Whatever was before, so many failures in a row are the end.
                prop_assert!(*success || in_a_row < fall || status == InstanceStatus::Unhealthy);
                before = status;
            }
        }

        #[test]
        fn while_it_flaps_its_status_only_gets_worse(results in vec(any::<bool>(), 21..200), fall in 1..4u32) {
            let mut checked = Checked::new(CheckRules::new().rise(1).fall(fall));
            let mut before = InstanceStatus::Unknown;
            for success in results {
                let flapped = checked.state.flapping;
                let status = checked.then(success);
                prop_assert!(!flapped || !checked.state.flapping || status >= before, "{:?} after {:?}", status, before);
                before = status;
            }
        }

        #[test]
        fn a_query_changes_nothing_and_time_only_makes_it_stale(
            results in vec(any::<bool>(), 0..30), seconds in 0..100u64,
        ) {
            let mut checked = Checked::new(CheckRules::new());
            results.iter().for_each(|success| { checked.then(*success); });
            let (before, later) = (checked.health(), checked.now + Duration::from_secs(seconds));
            let health = checked.state.health(&checked.rules, later);
            let stale = matches!(health.reason, Some(StatusReason::Stale { .. }));
            prop_assert_eq!(stale, seconds > 30);
            prop_assert!(stale || health == before);
        }

        #[test]
        fn the_text_of_a_result_changes_no_status(results in vec(any::<bool>(), 1..40), texts in vec(".{0,4}", 40)) {
            let (mut one, mut other) = (Checked::new(CheckRules::new()), Checked::new(CheckRules::new()));
            for (success, text) in results.iter().zip(texts) {
                let expected = one.then(*success);
                other.now += SECOND;
                let result = if *success { Health::Healthy } else { Health::Failed(text) };
                other.state.record(&other.rules, result, other.now);
                prop_assert_eq!(other.health().status, expected);
            }
        }
    }
}
