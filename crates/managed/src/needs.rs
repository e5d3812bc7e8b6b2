//! The needs of services, and the orders of starting and stopping that follow from them.
//!
//! # Invariants
//!
//! 1. A service is started after one provider of each of its needs. Providers that start together with it in a circle
//!    are refused.
//! 2. The stop order is the start order reversed.
//! 3. A need without a provider in the graph is met from outside, or is waited for: it orders nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use foundation_kernel::names::ServiceName;
use serde::{Deserialize, Serialize};

use foundation_discovery::Capability;

/// What a service needs before it is started: a service by its name, or any that has a capability.
///
/// Needs order the starts and stops of managed services. A service whose need is missing waits for it.
///
/// ```
/// use foundation_managed::Need;
/// use foundation_kernel::names::ServiceName;
///
/// let needs = [Need::service(&ServiceName::new("db")?), Need::capability("attachment_bytes=5000".parse()?)];
/// assert_eq!(needs[0].to_string(), "service db");
/// assert_eq!(serde_json::to_string(&needs)?, r#"[{"service":"db"},{"capability":"attachment_bytes=5000"}]"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Need {
    /// The service of this name.
    Service(ServiceName),
    /// A service that can do this, as far as the need says.
    #[serde(with = "as_text")]
    Capability(Capability),
}

impl Need {
    /// A need of the service of this name.
    pub fn service(name: &ServiceName) -> Self {
        Self::Service(name.clone())
    }

    /// A need of any service with this capability.
    pub fn capability(capability: Capability) -> Self {
        Self::Capability(capability)
    }

    /// Whether a service of this name and with these capabilities meets the need.
    pub fn is_met_by<'a>(&self, name: &ServiceName, provides: impl IntoIterator<Item = &'a Capability>) -> bool {
        match self {
            Self::Service(needed) => needed == name,
            Self::Capability(needed) => provides.into_iter().any(|it| it.meets(needed)),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service {name}"),
            Self::Capability(capability) => write!(f, "capability {capability}"),
        }
    }
}

/// A capability as its text.
mod as_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use foundation_discovery::Capability;

    pub(super) fn serialize<S: Serializer>(capability: &Capability, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(capability)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Capability, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Services that need each other in a circle, so that none of them can be started first.
///
/// Each needs the next, and the last needs the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} in a circle: {}", if .cycle.len() == 1 { "a service needs itself" } else { "services need each other" }, arrows(.cycle))]
#[non_exhaustive]
pub struct NeedCycleError {
    /// The services of the circle.
    pub cycle: Vec<ServiceName>,
}

fn arrows(cycle: &[ServiceName]) -> String {
    let names = cycle.iter().chain(cycle.first()).map(ServiceName::as_str);
    names.collect::<Vec<_>>().join(" needs ")
}

/// What one service needs and provides.
#[derive(Debug, Clone, Default)]
struct Node {
    needs: Vec<Need>,
    provides: Vec<Capability>,
}

/// The services with what they need and provide.
///
/// Cost of an order: the square of the number of services in the worst case, times their needs.
#[derive(Debug, Clone, Default)]
pub struct NeedGraph {
    nodes: BTreeMap<ServiceName, Node>,
}

impl NeedGraph {
    /// No service.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service, or replaces the one of this name.
    pub fn insert(&mut self, name: ServiceName, needs: Vec<Need>, provides: Vec<Capability>) {
        self.nodes.insert(name, Node { needs, provides });
    }

    /// The services that meet a need.
    pub fn providers<'a>(&'a self, need: &'a Need) -> impl Iterator<Item = &'a ServiceName> {
        self.nodes.iter().filter(|(name, node)| need.is_met_by(name, &node.provides)).map(|(name, _)| name)
    }

    /// The needs of a service; none of one that is not in the graph.
    pub fn needs(&self, name: &ServiceName) -> &[Need] {
        self.nodes.get(name).map_or(&[], |node| &node.needs)
    }

    /// The needs of a service that no service of `up` and nothing outside meets.
    pub fn missing(&self, name: &ServiceName, up: &BTreeSet<ServiceName>, outside: &BTreeSet<Need>) -> Vec<Need> {
        let is_met =
            |need: &&Need| outside.contains(need) || self.providers(need).any(|provider| up.contains(provider));
        self.needs(name).iter().filter(|need| !is_met(need)).cloned().collect()
    }

    /// Those of the waiting services that can go on, since nothing that they need is missing any more.
    pub fn woken<'a>(
        &'a self,
        waiting: impl IntoIterator<Item = &'a ServiceName>,
        up: &'a BTreeSet<ServiceName>,
        outside: &'a BTreeSet<Need>,
    ) -> impl Iterator<Item = &'a ServiceName> {
        waiting.into_iter().filter(|name| self.missing(name, up, outside).is_empty())
    }

    /// The services that need this one directly, and have no other provider for it.
    pub fn dependents<'a>(&'a self, name: &'a ServiceName) -> impl Iterator<Item = &'a ServiceName> {
        let needs_it = move |node: &Node| node.needs.iter().any(|need| self.providers(need).eq([name]));
        self.nodes.iter().filter(move |(_, node)| needs_it(node)).map(|(name, _)| name)
    }

    /// The order of starts: each after a provider of each of its needs, and otherwise by name.
    ///
    /// # Errors
    /// [`NeedCycleError`] names one circle.
    pub fn start_order(&self) -> Result<Vec<ServiceName>, NeedCycleError> {
        let (order, left) = self.startable();
        left.iter().next().map_or(Ok(order), |first| Err(self.cycle_from(first, &left)))
    }

    /// The order of stops: that of starts, reversed.
    ///
    /// # Errors
    /// As [`start_order`](Self::start_order).
    pub fn stop_order(&self) -> Result<Vec<ServiceName>, NeedCycleError> {
        let mut order = self.start_order()?;
        order.reverse();
        Ok(order)
    }

    /// The services that can be started in this order, and those that never can.
    fn startable(&self) -> (Vec<ServiceName>, BTreeSet<ServiceName>) {
        let (mut order, mut left): (Vec<_>, BTreeSet<_>) = (Vec::new(), self.nodes.keys().cloned().collect());
        loop {
            let next: Vec<_> = left.iter().filter(|name| self.blocking(name, &left).is_none()).cloned().collect();
            if next.is_empty() {
                return (order, left);
            }
            left.retain(|name| !next.contains(name));
            order.extend(next);
        }
    }

    /// A provider that has to be started first: of the first need of which all providers are left.
    fn blocking(&self, name: &ServiceName, left: &BTreeSet<ServiceName>) -> Option<&ServiceName> {
        let all_left = |need: &&Need| self.providers(need).all(|provider| left.contains(provider));
        self.needs(name).iter().filter(all_left).find_map(|need| self.providers(need).next())
    }

    /// Each that is left is blocked by another one that is left, so the path comes back to itself.
    fn cycle_from(&self, first: &ServiceName, left: &BTreeSet<ServiceName>) -> NeedCycleError {
        let mut path = vec![first.clone()];
        while let Some(next) = path.last().and_then(|name| self.blocking(name, left)) {
            if let Some(at) = path.iter().position(|name| name == next) {
                return NeedCycleError { cycle: path.split_off(at) };
            }
            path.push(next.clone());
        }
        NeedCycleError { cycle: path }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    fn graph(services: &[(&str, &[&str], &[&str])]) -> NeedGraph {
        let mut graph = NeedGraph::new();
        for (service, needs, provides) in services {
            let provides = provides.iter().map(|text| text.parse().unwrap()).collect();
            graph.insert(name(service), needs.iter().map(|text| need(text)).collect(), provides);
        }
        graph
    }

    /// `+mail` is a capability, and `db` a service.
    fn need(text: &str) -> Need {
        text.strip_prefix('+').map_or_else(|| Need::service(&name(text)), |it| Need::capability(it.parse().unwrap()))
    }

    fn graphs() -> impl Strategy<Value = NeedGraph> {
        let needs = vec("[a-h]|\\+[xy]", 0..3);
        btree_map("[a-h]", (needs, vec("[xy]", 0..2)), 0..8).prop_map(|services| {
            let mut graph = NeedGraph::new();
            for (service, (needs, provides)) in services {
                let provides = provides.iter().map(|it| it.parse().unwrap()).collect();
                graph.insert(name(&service), needs.iter().map(|it| need(it)).collect(), provides);
            }
            graph
        })
    }

    #[test]
    fn what_is_needed_starts_first_and_stops_last() {
        let graph = graph(&[("app", &["db", "+mail"], &[]), ("db", &["disk"], &[]), ("post", &[], &["mail=9"])]);
        assert_eq!(graph.start_order().unwrap(), ["db", "post", "app"].map(name));
        assert_eq!(graph.stop_order().unwrap(), ["app", "post", "db"].map(name));
    }

    #[test]
    fn a_cycle_is_named() {
        let circle = graph(&[("x", &["a"], &[]), ("a", &["b"], &[]), ("b", &["c"], &[]), ("c", &["a"], &[])]);
        let text = "services need each other in a circle: a needs b needs c needs a";
        assert_eq!(circle.start_order().unwrap_err().to_string(), text);
        let own = graph(&[("a", &["a"], &[])]);
        assert_eq!(own.start_order().unwrap_err().to_string(), "a service needs itself in a circle: a needs a");
        // One provider outside of the circle is enough.
        let mails = graph(&[("a", &["+mail"], &[]), ("b", &["a"], &["mail"]), ("c", &[], &["mail"])]);
        assert_eq!(mails.start_order().unwrap(), ["c", "a", "b"].map(name));
    }

    #[test]
    fn a_need_that_comes_back_wakes_the_services_that_lack_nothing_else() {
        let graph = graph(&[("a", &["db"], &[]), ("b", &["db", "+mail"], &[]), ("db", &[], &[])]);
        let (a, b, up) = (name("a"), name("b"), BTreeSet::from([name("db")]));
        assert_eq!(graph.missing(&b, &up, &BTreeSet::new()), [need("+mail")]);
        assert!(graph.woken([&a, &b], &up, &BTreeSet::new()).eq([&a]));
        assert!(graph.woken([&a, &b], &up, &BTreeSet::from([need("+mail")])).eq([&a, &b]));
        assert!(graph.dependents(&name("db")).eq([&a, &b]));
    }

    proptest! {
        #[test]
        fn an_order_starts_all_after_their_needs_or_there_is_a_cycle(graph in graphs()) {
            match graph.start_order() {
                Ok(order) => {
                    prop_assert_eq!(order.len(), graph.nodes.len());
                    let mut up = BTreeSet::new();
                    for service in order {
                        let missing = graph.missing(&service, &up, &BTreeSet::new());
                        prop_assert!(missing.iter().all(|need| graph.providers(need).next().is_none()), "invariants 1, 3");
                        up.insert(service);
                    }
                }
                Err(NeedCycleError { cycle }) => {
                    for (at, service) in cycle.iter().enumerate() {
                        let next = &cycle[(at + 1) % cycle.len()];
                        let needs_next = graph.needs(service).iter().any(|it| graph.providers(it).any(|it| it == next));
                        prop_assert!(needs_next, "{service} does not need {next}");
                    }
                    prop_assert!(!cycle.is_empty());
                }
            }
        }

        #[test]
        fn needs_are_read_as_they_are_written(text in "[a-h]{1,3}|\\+[xy](=[1-9])?") {
            let written = serde_json::to_string(&need(&text)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Need>(&written).unwrap(), need(&text));
        }
    }
}
