use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::fact::{BatchOutcome, RosterFact};
use super::super::samples::{self, BLUE_GREEN, name, roster};
use super::*;

/// Which generations of a service run, and which of them has the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Running {
    holder: Option<u64>,
    beside: BTreeSet<u64>,
}

/// A model of the processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct World(BTreeMap<ServiceName, Running>);

impl World {
    /// The services that are desired and work.
    fn of(actual: &ActualServices) -> Self {
        let running = actual.services.iter().filter_map(|(name, it)| Some((name, it.generation()?)));
        let hold =
            |(name, holder): (&ServiceName, _)| (name.clone(), Running { holder: Some(holder), ..Running::default() });
        Self(running.map(hold).collect())
    }

    fn holder(&self, name: &ServiceName) -> Option<u64> {
        self.0.get(name).and_then(|it| it.holder)
    }

    /// Takes a step, as often as it is taken; the successor that has no name is the one beside the holder.
    fn take(&mut self, step: &ServiceStep) {
        let it = self.0.entry(step.name().clone()).or_default();
        match *step {
            ServiceStep::Start { generation, .. } => it.holder = it.holder.or(Some(generation)),
            ServiceStep::Stop { generation, .. } => it.holder = it.holder.filter(|holder| *holder != generation),
            ServiceStep::StartBeside { generation, .. } if it.holder != Some(generation) => {
                it.beside.insert(generation);
            }
            ServiceStep::StopBeside { generation, .. } => drop(it.beside.take(&generation)),
            // The supervisor stops a predecessor that has no name any more.
            ServiceStep::HandOver { from, to, .. } if it.holder == Some(from) && it.beside.remove(&to) => {
                it.holder = Some(to);
            }
            ServiceStep::Reload { from, to, .. } if it.holder == Some(from) => it.holder = Some(to),
            _ => {}
        }
        self.0.retain(|_, it| *it != Running::default());
    }
}

/// A roster in which everything runs as desired, with the batch's plan.
#[derive(Debug)]
struct Case {
    roster: Roster,
    actual: ActualServices,
    plan: BatchPlan,
}

fn cases() -> impl Strategy<Value = Case> {
    (samples::requests(), samples::requests()).prop_map(|(before, batch)| {
        let roster = roster(&before).0;
        let running = roster.iter().filter(|(_, it)| it.is_wanted());
        let ready = |(name, it): (&ServiceName, &DesiredService)| {
            (name.clone(), ActualService::Ready { generation: it.generation })
        };
        let actual = ActualServices { services: running.map(ready).collect(), ..ActualServices::default() };
        let mut after = roster.clone();
        let changes = batch.iter().flat_map(|request| samples::grant(&mut after, request)).collect();
        let plan = BatchPlan::make(&roster, changes, &actual);
        Case { roster, actual, plan }
    })
}

fn services(roster: &Roster) -> Vec<(&ServiceName, &DesiredService)> {
    roster.iter().collect()
}

#[test]
fn a_plan_makes_before_it_breaks() {
    let before = [
        samples::declare("app", &["db"], &[]),
        samples::declare("db", &[], &[]),
        samples::declare("old", &["db"], &[]),
        samples::start("app"),
        samples::start("db"),
        samples::start("old"),
    ];
    let (roster, ready) = (roster(&before).0, |generation| ActualService::Ready { generation });
    let actual = BTreeMap::from([(name("app"), ready(1)), (name("db"), ready(2)), (name("old"), ready(3))]);
    let actual = ActualServices { services: actual, ..ActualServices::default() };
    let drain = ReplacementStrategy::DrainFirst { within: Duration::from_secs(1) };
    let batch = [
        samples::declare("cache", &["db"], &[]),
        samples::configure("app", 1, &["db", "cache"], &[], BLUE_GREEN),
        samples::configure("db", 1, &[], &[], drain),
        samples::start("cache"),
        super::super::roster::RosterRequest::Remove(name("old")),
    ];
    let mut after = roster.clone();
    let changes = batch.iter().flat_map(|request| samples::grant(&mut after, request)).collect();
    let plan = BatchPlan::make(&roster, changes, &actual);
    let texts: Vec<_> = plan.steps.iter().map(|step| step.take.to_string()).collect();
    let expected = [
        "start cache#4",
        "start app#5 beside",
        "hand app over from #1 to #5",
        "drain db#2",
        "stop db#2",
        "start db#6",
        "drain app#1",
        "stop app#1 beside",
        "stop old#3",
    ];
    assert_eq!(texts, expected);
    let undo: Vec<_> = plan.undo_of_first(6).map(ToString::to_string).collect();
    let expected = [
        "stop db#6",
        "start db#2",
        "resume db#2",
        "start app#1 beside",
        "hand app over from #5 to #1",
        "drain app#5",
        "stop app#5 beside",
        "stop app#5 beside",
        "stop cache#4",
    ];
    assert_eq!(undo, expected);
    assert_eq!(plan.restarted_by_first(6), ["app", "db"].map(name));
}

#[test]
fn what_did_not_work_is_not_brought_back() {
    let roster = roster(&[samples::declare("a", &[], &[]), samples::start("a")]).0;
    let services = BTreeMap::from([(name("a"), ActualService::GaveUp { generation: 1 })]);
    let actual = ActualServices { services, ..ActualServices::default() };
    let changes = roster.decide(&samples::restart("a")).unwrap();
    let plan = BatchPlan::make(&roster, changes, &actual);
    let texts: Vec<_> = plan.steps.iter().map(|step| step.take.to_string()).collect();
    assert_eq!(texts, ["stop a#1", "start a#2"]);
    assert!(plan.undo_of_first(2).map(ToString::to_string).eq(["stop a#2"]));
}

proptest! {
    #[test]
    fn a_step_that_fails_at_any_point_leaves_everything_as_before(case in cases(), at: Index, is_taken: bool) {
        let Case { roster, actual, plan } = case;
        let before = World::of(&actual);
        let mut world = before.clone();
        let begun = at.index(plan.steps.len() + 1);
        // The last one is begun, and its effect is there or not.
        let taken = begun - usize::from(begun > 0 && !is_taken);
        plan.steps.iter().take(taken).for_each(|step| world.take(&step.take));
        let mut alone = world.clone();
        plan.undo_of_first(begun).for_each(|step| world.take(step));
        prop_assert_eq!(&world, &before);
        // A server that comes back does not know how far the batch was, and takes back all of it.
        plan.undo_of_first(usize::MAX).for_each(|step| alone.take(step));
        prop_assert_eq!(&alone, &before);

        let mut undone = roster.clone();
        undone.apply(&RosterFact::BatchBegun(plan));
        prop_assert_eq!(services(&undone), services(&roster));
        undone.apply(&RosterFact::BatchEnded(BatchOutcome::Undone { failed: Some(begun), why: String::new() }));
        prop_assert_eq!(services(&undone), services(&roster));
    }

    #[test]
    fn all_steps_together_leave_what_is_desired(case in cases()) {
        let Case { mut roster, actual, plan } = case;
        let mut world = World::of(&actual);
        plan.steps.iter().for_each(|step| world.take(&step.take));
        roster.apply(&RosterFact::BatchBegun(plan));
        roster.apply(&RosterFact::BatchEnded(BatchOutcome::Done));
        let wanted = roster.iter().filter(|(_, it)| it.is_wanted());
        let hold = |(name, it): (&ServiceName, &DesiredService)| {
            (name.clone(), Running { holder: Some(it.generation), ..Running::default() })
        };
        prop_assert_eq!(world, World(wanted.map(hold).collect()));
    }

    #[test]
    fn nothing_that_is_seen_changes_before_the_hand_overs(case in cases()) {
        let Case { actual, plan, .. } = case;
        let before = World::of(&actual);
        let mut world = before.clone();
        let is_making = |step: &&PlannedStep| matches!(step.take, ServiceStep::Start { .. } | ServiceStep::StartBeside { .. });
        for step in plan.steps.iter().take_while(is_making) {
            world.take(&step.take);
            for name in before.0.keys() {
                prop_assert_eq!(world.holder(name), before.holder(name), "invariant 1");
            }
        }
    }
}

#[test]
fn a_name_is_held_at_each_point_of_a_blue_green_replacement_and_of_its_undo() {
    let a = name("a");
    let steps = BLUE_GREEN.steps(&a, 1, 2);
    for cut in 0..=steps.len() {
        let mut world = World::default();
        world.take(&ServiceStep::Start { name: a.clone(), generation: 1 });
        let undo = BLUE_GREEN.steps(&a, 2, 1);
        for step in steps.iter().take(cut).chain(&undo) {
            world.take(step);
            assert!(world.holder(&a).is_some(), "{step} after {cut}");
        }
        // What has no name, and is not handed over, is stopped as the undo of its start.
        world.take(&steps[0].inverse());
        assert_eq!(world.0.get(&a), Some(&Running { holder: Some(1), ..Running::default() }));
    }
}
