//! Rosters and requests for the property tests.

use std::time::Duration;

use foundation_kernel::names::ServiceName;
use proptest::collection::vec;
use proptest::prelude::*;

use serde_json::Value;

use super::batch::{Batch, DescribedConfig, KindRules};
use super::batch_error::BatchFaultReason;
use super::fact::{RosterFact, ServiceConfig, ServiceFact};
use super::needs::Need;
use super::replacement::ReplacementStrategy;
use super::roster::{Roster, RosterRequest};
use foundation_discovery::Capability;

pub(super) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

/// `+x` is a capability, and `a` a service.
pub(super) fn need(text: &str) -> Need {
    text.strip_prefix('+').map_or_else(|| Need::service(&name(text)), |it| Need::capability(it.parse().unwrap()))
}

fn capabilities(texts: &[&str]) -> Vec<Capability> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn config(number: u64) -> ServiceConfig {
    ServiceConfig::Value(serde_json::json!({ "number": number }))
}

pub(super) fn declare(service: &str, needs: &[&str], provides: &[&str]) -> RosterRequest {
    RosterRequest::Declare {
        name: name(service),
        kind: "sample".to_owned(),
        config: config(0),
        needs: needs.iter().map(|text| need(text)).collect(),
        provides: capabilities(provides),
    }
}

pub(super) fn configure(
    service: &str,
    number: u64,
    needs: &[&str],
    provides: &[&str],
    strategy: ReplacementStrategy,
) -> RosterRequest {
    RosterRequest::Configure {
        name: name(service),
        config: config(number),
        needs: needs.iter().map(|text| need(text)).collect(),
        provides: capabilities(provides),
        strategy,
        running: None,
    }
}

pub(super) fn start(service: &str) -> RosterRequest {
    RosterRequest::Start(name(service))
}

pub(super) fn restart(service: &str) -> RosterRequest {
    RosterRequest::Restart(name(service))
}

pub(super) const BLUE_GREEN: ReplacementStrategy =
    ReplacementStrategy::BlueGreen { ready_within: Duration::from_secs(5), overlap: Duration::from_secs(2) };

pub(super) fn needs() -> impl Strategy<Value = Need> {
    "[a-f]|\\+[xy]".prop_map(|text| need(&text))
}

fn strategies() -> impl Strategy<Value = ReplacementStrategy> {
    prop_oneof![
        Just(ReplacementStrategy::Nothing),
        Just(ReplacementStrategy::Reload),
        Just(ReplacementStrategy::default()),
        Just(BLUE_GREEN),
        Just(BLUE_GREEN),
    ]
}

fn request() -> impl Strategy<Value = RosterRequest> {
    let what = (vec("[a-f]|\\+[xy]", 0..2), vec("[xy]", 0..2));
    ("[a-f]", 0..9_u8, 0..9_u64, what, strategies()).prop_map(|(service, what, number, (needs, provides), strategy)| {
        let texts = |texts: &[String]| texts.iter().map(|it| it.to_owned()).collect::<Vec<_>>();
        let (needs, provides) = (texts(&needs), texts(&provides));
        let needs: Vec<_> = needs.iter().map(String::as_str).collect();
        let provides: Vec<_> = provides.iter().map(String::as_str).collect();
        match what {
            0..=2 => declare(&service, &needs, &provides),
            3 | 4 => configure(&service, number, &needs, &provides, strategy),
            5 | 6 => start(&service),
            7 => restart(&service),
            _ if number < 6 => RosterRequest::Stop(name(&service)),
            _ => RosterRequest::Remove(name(&service)),
        }
    })
}

pub(super) fn requests() -> impl Strategy<Value = Vec<RosterRequest>> {
    vec(request(), 0..24)
}

/// Grants a request if it is possible, and returns its facts.
pub(super) fn grant(roster: &mut Roster, request: &RosterRequest) -> Vec<ServiceFact> {
    let facts = roster.decide(request).unwrap_or_default();
    facts.iter().for_each(|fact| roster.apply(&RosterFact::Service(fact.clone())));
    facts
}

/// The roster after these requests, of which those that are refused change nothing, and its facts.
pub(super) fn roster(requests: &[RosterRequest]) -> (Roster, Vec<ServiceFact>) {
    let mut roster = Roster::new();
    let facts = requests.iter().flat_map(|request| grant(&mut roster, request)).collect();
    (roster, facts)
}

/// One kind, `sample`, whose configurations say what a service needs and provides.
pub(super) struct SampleKinds;

impl KindRules for SampleKinds {
    fn describe(
        &self,
        _: &ServiceName,
        kind: &str,
        config: &ServiceConfig,
    ) -> Result<DescribedConfig, BatchFaultReason> {
        let ServiceConfig::Value(value) = config else { return Err(BatchFaultReason::Kind("no value".to_owned())) };
        if kind != "sample" {
            return Err(BatchFaultReason::Kind(format!("there is no kind {kind}")));
        }
        if value.get("invalid").is_some() {
            return Err(BatchFaultReason::Kind("it is not valid".to_owned()));
        }
        let texts = |key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(DescribedConfig {
            needs: texts("needs").iter().filter_map(Value::as_str).map(need).collect(),
            provides: texts("provides").iter().filter_map(Value::as_str).map(|it| it.parse().unwrap()).collect(),
            strategy: BLUE_GREEN,
            running: None,
        })
    }
}

fn operation() -> impl Strategy<Value = (u8, String, Vec<String>, Vec<String>)> {
    (0..6_u8, "[a-f]", vec("[a-f]|\\+[xy]", 0..2), vec("[xy]", 0..2))
}

pub(super) fn batches() -> impl Strategy<Value = Batch> {
    vec(operation(), 0..6).prop_map(|operations| {
        operations.into_iter().fold(Batch::new(), |batch, (what, service, needs, provides)| {
            let (service, config) = (name(&service), serde_json::json!({ "needs": needs, "provides": provides }));
            match what {
                0 => batch.declare(&service, "sample", config),
                1 => batch.configure(&service, config),
                2 => batch.start(&service),
                3 => batch.stop(&service),
                4 => batch.restart(&service),
                _ => batch.remove(&service),
            }
        })
    })
}
