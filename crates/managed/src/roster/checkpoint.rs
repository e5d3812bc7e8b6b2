//! A roster as parts that are recorded anew: each no larger and no deeper than a fact about one service.

use std::collections::BTreeMap;

use foundation_kernel::names::ServiceName;
use serde::{Deserialize, Serialize};

use super::{DesiredService, Roster, RosterFact, ServiceGeneration};

/// One part of a checkpoint. The first says what is not about one service; the services follow, each with its former
/// generation, and then an open batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CheckpointPart {
    Head(CheckpointHead),
    Service(CheckpointService),
    Former(CheckpointFormer),
    /// A batch that is begun and not ended.
    Batch(RosterFact),
}

/// What is not about one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointHead {
    generation: u64,
}

/// A service as it is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CheckpointService {
    name: ServiceName,
    #[serde(flatten)]
    service: DesiredService,
}

/// The former generation of a service that is in the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CheckpointFormer {
    name: ServiceName,
    #[serde(flatten)]
    former: ServiceGeneration,
}

/// A service, and then its former generation.
fn parts_of(name: &ServiceName, service: &DesiredService) -> impl Iterator<Item = CheckpointPart> {
    let (name, mut service) = (name.clone(), service.clone());
    let former = service.former.take().map(|former| CheckpointFormer { name: name.clone(), former });
    [CheckpointPart::Service(CheckpointService { name, service })].into_iter().chain(former.map(CheckpointPart::Former))
}

impl Roster {
    /// The parts that the roster follows from.
    pub(crate) fn checkpoint(&self) -> Vec<CheckpointPart> {
        let generation = self.batch.as_ref().map_or(self.generation, |batch| batch.generation);
        let head = CheckpointPart::Head(CheckpointHead { generation });
        let services = self.services.iter().flat_map(|(name, service)| parts_of(name, service));
        let batch = self.batch.iter().map(|batch| CheckpointPart::Batch(RosterFact::BatchBegun(batch.plan.clone())));
        [head].into_iter().chain(services).chain(batch).collect()
    }

    /// Takes over a part of a checkpoint. The first forgets everything before it.
    pub(crate) fn restore(&mut self, part: CheckpointPart) {
        match part {
            CheckpointPart::Head(CheckpointHead { generation }) => {
                (self.services, self.generation, self.batch) = (BTreeMap::new(), generation, None);
            }
            CheckpointPart::Service(CheckpointService { name, service }) => drop(self.services.insert(name, service)),
            CheckpointPart::Former(CheckpointFormer { name, former }) => {
                let service = self.services.get_mut(&name);
                service.into_iter().for_each(|service| service.former = Some(former.clone()));
            }
            CheckpointPart::Batch(fact) => self.apply(&fact),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::super::fact::{BatchPlan, ServiceConfig};
    use super::super::super::samples::{self, name};
    use super::super::RosterRequest;
    use super::*;

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// As it is written and read.
    fn written(part: CheckpointPart) -> CheckpointPart {
        match part {
            CheckpointPart::Head(it) => {
                CheckpointPart::Head(serde_json::from_str(&serde_json::to_string(&it).unwrap()).unwrap())
            }
            CheckpointPart::Service(it) => {
                CheckpointPart::Service(serde_json::from_value(serde_json::to_value(&it).unwrap()).unwrap())
            }
            CheckpointPart::Former(it) => {
                CheckpointPart::Former(serde_json::from_value(serde_json::to_value(&it).unwrap()).unwrap())
            }
            batch => batch,
        }
    }

    #[test]
    fn a_part_is_as_deep_as_the_fact_that_declared_the_service() {
        let deep = (0..60).fold(Value::Null, |inner, _| serde_json::json!([inner]));
        let (config, kind) = (ServiceConfig::Value(deep), "sample".to_owned());
        let request = RosterRequest::Declare { name: name("a"), kind, config, needs: Vec::new(), provides: Vec::new() };
        let (roster, facts) = samples::roster(&[request]);
        let declared = RosterFact::Service(facts[0].clone()).to_payload().unwrap();
        let restarted = roster.after(&roster.decide(&samples::restart("a")).unwrap());
        let parts = restarted.checkpoint();
        let (CheckpointPart::Service(service), CheckpointPart::Former(former)) = (&parts[1], &parts[2]) else {
            panic!("{parts:?}")
        };
        for part in [serde_json::to_value(service).unwrap(), serde_json::to_value(former).unwrap()] {
            assert_eq!(depth(&part), depth(&declared));
        }
    }

    proptest! {
        #[test]
        fn a_roster_is_that_of_its_checkpoint_also_in_a_batch(
            requests in samples::requests(), batch in samples::requests(), is_in_batch: bool,
        ) {
            let mut roster = samples::roster(&requests).0;
            if is_in_batch {
                let mut after = roster.clone();
                let changes = batch.iter().flat_map(|request| samples::grant(&mut after, request)).collect();
                roster.apply(&RosterFact::BatchBegun(BatchPlan { changes, ..BatchPlan::default() }));
            }
            let mut restored = samples::roster(&batch).0;
            roster.checkpoint().into_iter().map(written).for_each(|part| restored.restore(part));
            prop_assert_eq!(restored, roster);
        }
    }
}
