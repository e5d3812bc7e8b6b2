use proptest::prelude::*;
use proptest::sample::Index;

use super::super::reconcile::actual::{ActualService, ActualServices};
use super::super::samples::{self, configure, declare, name, restart, start};
use super::*;

fn refused(roster: &Roster, request: &RosterRequest) -> String {
    roster.decide(request).unwrap_err().to_string()
}

#[test]
fn a_request_that_does_not_fit_is_refused_with_what_exists() {
    let roster = samples::roster(&[declare("orders", &["db"], &[]), declare("mail", &[], &[])]).0;
    assert_eq!(refused(&roster, &start("order")), "no service order is declared; did you mean orders?");
    let text = "service orders is declared already, as a sample; configure it, or remove it first";
    assert_eq!(refused(&roster, &declare("orders", &[], &[])), text);
    let text = "service db: services need each other in a circle: db needs orders needs db";
    assert_eq!(refused(&roster, &declare("db", &["orders"], &[])), text);
    let text = "service db cannot be declared: there are 2 services, as many as there may be";
    assert_eq!(refused(&roster.with_limit(2), &declare("db", &[], &[])), text);
}

#[test]
fn what_is_as_requested_already_needs_no_fact() {
    let mut roster = samples::roster(&[declare("a", &[], &[]), start("a")]).0;
    assert_eq!(roster.decide(&start("a")), Ok(Vec::new()));
    let same = configure("a", 0, &[], &[], ReplacementStrategy::Reload);
    assert_eq!(roster.decide(&same), Ok(Vec::new()));
    samples::grant(&mut roster, &configure("a", 1, &[], &[], ReplacementStrategy::Nothing));
    assert_eq!(roster.get(&name("a")).map(|it| it.generation), Some(1), "nothing is to be replaced");
    samples::grant(&mut roster, &restart("a"));
    assert_eq!(roster.get(&name("a")).map(|it| (it.generation, former(it))), Some((2, Some(1))));
}

fn former(service: &DesiredService) -> Option<u64> {
    service.former.as_ref().map(|former| former.generation)
}

/// A configuration that is requested while this generation runs.
fn configure_while(running: u64, number: u64) -> RosterRequest {
    let mut request = configure("a", number, &[], &[], samples::BLUE_GREEN);
    if let RosterRequest::Configure { running: of, .. } = &mut request {
        *of = Some(running);
    }
    request
}

#[test]
fn the_former_generation_is_the_one_that_runs_until_another_does() {
    let mut roster = samples::roster(&[declare("a", &[], &[]), start("a")]).0;
    let before = roster.get(&name("a")).unwrap().clone();
    for (running, number, expected) in [(1, 1, 1), (1, 2, 1), (3, 3, 3)] {
        samples::grant(&mut roster, &configure_while(running, number));
        assert_eq!(roster.get(&name("a")).and_then(former), Some(expected), "{number}");
    }
    let service = roster.get(&name("a")).unwrap();
    assert_eq!(service.config_of(4), Some(&service.config));
    assert!(service.config_of(3).is_some_and(|config| *config != service.config));
    assert_eq!(service.config_of(1), None);
    assert!(service.former_with(&before.config, Some(1)).is_none(), "it is not the former any more");
}

#[test]
fn what_is_taken_back_is_as_before_and_its_number_is_not_used_again() {
    let mut roster = samples::roster(&[declare("a", &[], &[]), start("a")]).0;
    let before = roster.get(&name("a")).unwrap().clone();
    samples::grant(&mut roster, &configure_while(1, 1));
    let service = roster.get(&name("a")).unwrap();
    assert_eq!(service.former_with(&service.config, Some(1)), None);
    let to = service.former_with(&before.config, Some(1)).unwrap().clone();
    let facts = samples::grant(&mut roster, &RosterRequest::TakeBack { name: name("a"), to: to.clone() });
    assert_eq!((facts.len(), roster.get(&name("a"))), (1, Some(&before)));
    let recorded = RosterFact::Service(facts[0].clone());
    let read = RosterFact::of(recorded.event_kind(), &recorded.to_payload().unwrap()).unwrap();
    assert_eq!((recorded.event_kind(), read), ("service_taken_back", Some(recorded)));
    assert_eq!(roster.decide(&RosterRequest::TakeBack { name: name("a"), to }), Ok(Vec::new()));
    samples::grant(&mut roster, &configure_while(1, 2));
    assert_eq!(roster.get(&name("a")).map(|it| it.generation), Some(3), "invariant 2");
}

#[test]
fn what_ran_before_a_restart_does_not_run_on_although_it_is_made_from_the_same() {
    let mut roster = samples::roster(&[declare("a", &[], &[]), start("a"), restart("a")]).0;
    let service = roster.get(&name("a")).unwrap();
    assert_eq!((former(service), service.restarted), (Some(1), 2));
    assert_eq!(service.config_of(1), Some(&service.config));
    assert_eq!(service.former_with(&service.config, Some(1)), None);
    let config = service.config.clone();
    samples::grant(&mut roster, &configure_while(2, 1));
    let service = roster.get(&name("a")).unwrap();
    assert_eq!(service.former_with(&config, Some(2)).map(|former| former.generation), Some(2));
}

#[test]
fn a_change_is_not_taken_back_into_a_circle() {
    let mut roster = samples::roster(&[declare("a", &["b"], &[]), declare("b", &[], &[])]).0;
    let to = roster.get(&name("a")).unwrap().to_generation();
    samples::grant(&mut roster, &configure("a", 1, &[], &[], samples::BLUE_GREEN));
    samples::grant(&mut roster, &configure("b", 1, &["a"], &[], samples::BLUE_GREEN));
    assert!(refused(&roster, &RosterRequest::TakeBack { name: name("a"), to }).contains("in a circle"));
}

#[test]
fn facts_that_were_recorded_without_what_ran_are_read() {
    let payload = serde_json::json!({
        "name": "a", "config": { "section": "a" }, "needs": [], "provides": [], "strategy": "reload",
    });
    let fact = RosterFact::of("service_configured", &payload).unwrap();
    assert!(matches!(fact, Some(RosterFact::Service(ServiceFact::Configured { running: None, .. }))), "{fact:?}");
}

#[test]
fn a_batch_counts_when_it_is_done_and_its_generations_are_not_used_again() {
    let before = samples::roster(&[declare("a", &[], &[]), start("a")]).0;
    let changes = before.decide(&restart("a")).unwrap();
    let mut roster = before.clone();
    roster.apply(&RosterFact::BatchBegun(BatchPlan { changes, steps: Vec::new() }));
    assert_eq!(roster.services, before.services);
    assert!(roster.open_batch().is_some() && roster.next_steps(&Default::default()).is_empty());

    let mut undone = roster.clone();
    undone.apply(&RosterFact::BatchEnded(BatchOutcome::Undone { failed: None, why: "no disk".to_owned() }));
    assert_eq!((&undone.services, undone.open_batch()), (&before.services, None));
    roster.apply(&RosterFact::BatchEnded(BatchOutcome::Done));
    let generation = |roster: &Roster| roster.get(&name("a")).map(|it| it.generation);
    assert_eq!(generation(&roster), Some(2));
    samples::grant(&mut undone, &restart("a"));
    assert_eq!(generation(&undone), Some(3));
}

#[test]
fn two_changes_of_a_service_in_a_batch_replace_what_ran_before_it() {
    let mut roster = samples::roster(&[declare("a", &[], &[]), start("a")]).0;
    let change = |number| configure("a", number, &[], &[], samples::BLUE_GREEN);
    let mut changes = roster.decide(&change(1)).unwrap();
    changes.extend(roster.after(&changes).decide(&change(2)).unwrap());
    let found = |roster: &Roster| roster.get(&name("a")).map(|it| (it.generation, former(it), it.strategy));
    let expected = Some((3, Some(1), samples::BLUE_GREEN));
    assert_eq!(found(&roster.after(&changes)), expected);
    let ready = ActualService::Ready { generation: 1 };
    let actual = ActualServices { services: BTreeMap::from([(name("a"), ready)]), ..ActualServices::default() };
    let plan = BatchPlan::make(&roster, changes, &actual);
    assert_eq!(plan.steps[0].take.to_string(), "start a#3 beside");
    roster.apply(&RosterFact::BatchBegun(plan));
    roster.apply(&RosterFact::BatchEnded(BatchOutcome::Done));
    assert_eq!(found(&roster), expected);
    // One after the other, each is about the one before.
    samples::grant(&mut roster, &change(3));
    samples::grant(&mut roster, &change(4));
    assert_eq!(found(&roster), Some((5, Some(4), samples::BLUE_GREEN)));
}

proptest! {
    #[test]
    fn the_replay_of_the_facts_is_the_roster_also_from_a_checkpoint_on(
        requests in samples::requests(), at: Index,
    ) {
        let (live, facts) = samples::roster(&requests);
        let recorded: Vec<_> = facts.into_iter().map(RosterFact::Service).collect();
        let events: Vec<_> = recorded.iter().map(|it| (it.event_kind(), it.to_payload().unwrap())).collect();
        let read = |(kind, payload): &(&str, _)| RosterFact::of(kind, payload).unwrap().unwrap();
        let replay = |mut roster: Roster, events: &[(&str, _)]| {
            events.iter().for_each(|event| roster.apply(&read(event)));
            roster
        };
        prop_assert_eq!(&replay(Roster::new(), &events), &live);

        let at = at.index(events.len() + 1);
        let checkpoint = serde_json::to_string(&replay(Roster::new(), &events[..at])).unwrap();
        prop_assert_eq!(replay(serde_json::from_str(&checkpoint).unwrap(), &events[at..]), live);
    }

    #[test]
    fn no_request_makes_a_circle_or_uses_a_generation_twice(requests in samples::requests()) {
        let mut roster = Roster::new();
        for request in requests {
            let before = roster.clone();
            samples::grant(&mut roster, &request);
            prop_assert!(roster.needs().start_order().is_ok(), "invariant 3");
            for (name, it) in roster.iter() {
                let is_kept = before.get(name).is_some_and(|old| old.generation == it.generation);
                prop_assert!(is_kept || it.generation > before.generation, "invariant 2");
            }
        }
    }
}
