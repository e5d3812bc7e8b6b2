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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    needs: Vec<Need>,
    provides: Vec<Capability>,
}

/// The services with what they need and provide.
///
/// Cost of an order: each need with each of its providers once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NeedGraph {
    nodes: BTreeMap<ServiceName, Node>,
    /// The services that provide some amount of a capability, by its name.
    by_capability: BTreeMap<String, BTreeSet<ServiceName>>,
}

impl NeedGraph {
    /// No service.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service, or replaces the one of this name.
    pub fn insert(&mut self, name: ServiceName, needs: Vec<Need>, provides: Vec<Capability>) {
        for old in self.nodes.get(&name).into_iter().flat_map(|node| &node.provides) {
            if let Some(names) = self.by_capability.get_mut(old.name()) {
                names.remove(&name);
            }
        }
        for it in &provides {
            self.by_capability.entry(it.name().to_owned()).or_default().insert(name.clone());
        }
        self.nodes.insert(name, Node { needs, provides });
    }

    /// Adds the services of another graph whose names are not in this one.
    pub(crate) fn with_those_of(mut self, other: &Self) -> Self {
        for (name, Node { needs, provides }) in &other.nodes {
            if !self.nodes.contains_key(name) {
                self.insert(name.clone(), needs.clone(), provides.clone());
            }
        }
        self
    }

    /// The services that meet a need, by name.
    pub fn providers<'a>(&'a self, need: &'a Need) -> impl Iterator<Item = &'a ServiceName> {
        let named = match need {
            Need::Service(name) => self.nodes.get_key_value(name).map(|(name, _)| name),
            Need::Capability(_) => None,
        };
        let able = match need {
            Need::Service(_) => None,
            Need::Capability(capability) => self.by_capability.get(capability.name()),
        };
        let is_met = |name: &&ServiceName| self.nodes.get(*name).is_some_and(|it| need.is_met_by(name, &it.provides));
        named.into_iter().chain(able.into_iter().flatten()).filter(is_met)
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
        let needs_it = move |node: &Node| node.needs.iter().any(|need| self.only_provider(need) == Some(name));
        self.nodes.iter().filter(move |(_, node)| needs_it(node)).map(|(name, _)| name)
    }

    /// The services without which one of these has a need that nothing in the graph meets.
    pub(crate) fn needed_by<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a ServiceName>,
    ) -> BTreeSet<&'a ServiceName> {
        let needed = |name: &'a ServiceName| {
            self.needs(name).iter().filter_map(|need| self.only_provider(need)).filter(move |it| *it != name)
        };
        names.into_iter().flat_map(needed).collect()
    }

    /// The provider of a need that has no other.
    fn only_provider<'a>(&'a self, need: &'a Need) -> Option<&'a ServiceName> {
        let mut providers = self.providers(need);
        providers.next().filter(|_| providers.next().is_none())
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
    ///
    /// Kahn's algorithm, in rounds: a need counts no more when the first of its providers is in the order.
    fn startable(&self) -> (Vec<ServiceName>, BTreeSet<ServiceName>) {
        let mut waits = Waits::of(self);
        let (mut order, mut left): (Vec<_>, BTreeSet<_>) = (Vec::new(), self.nodes.keys().cloned().collect());
        let mut round: BTreeSet<_> = self.nodes.keys().filter(|name| waits.is_over(name)).collect();
        while !round.is_empty() {
            for name in &round {
                order.extend(left.take(*name));
            }
            round = round.into_iter().flat_map(|name| waits.started(name)).collect();
        }
        (order, left)
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

/// Which services wait for which others.
#[derive(Default)]
struct Waits<'a> {
    /// How many needs of a service have no provider that is started.
    unmet: BTreeMap<&'a ServiceName, usize>,
    /// The needs that a service meets: whose, and which of them.
    met_by: BTreeMap<&'a ServiceName, Vec<(&'a ServiceName, usize)>>,
    met: BTreeSet<(&'a ServiceName, usize)>,
}

impl<'a> Waits<'a> {
    /// Before the first start. A need without a provider is not waited for.
    fn of(graph: &'a NeedGraph) -> Self {
        let mut waits = Self::default();
        for (name, node) in &graph.nodes {
            for (at, need) in node.needs.iter().enumerate() {
                let mut providers = graph.providers(need).peekable();
                *waits.unmet.entry(name).or_default() += usize::from(providers.peek().is_some());
                providers.for_each(|it| waits.met_by.entry(it).or_default().push((name, at)));
            }
        }
        waits
    }

    fn is_over(&self, name: &ServiceName) -> bool {
        self.unmet.get(name).is_none_or(|unmet| *unmet == 0)
    }

    /// The services that wait for nothing any more when this one is started.
    fn started(&mut self, name: &ServiceName) -> Vec<&'a ServiceName> {
        let mut woken = Vec::new();
        for (whose, at) in self.met_by.remove(name).unwrap_or_default() {
            if !self.met.insert((whose, at)) {
                continue;
            }
            let Some(unmet) = self.unmet.get_mut(whose) else { continue };
            *unmet -= 1;
            woken.extend((*unmet == 0).then_some(whose));
        }
        woken
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

    #[test]
    fn a_service_that_is_inserted_again_provides_what_it_provides_now() {
        let mut graph = graph(&[("a", &[], &["mail"]), ("b", &[], &["mail", "mail=3"])]);
        graph.insert(name("a"), Vec::new(), Vec::new());
        assert!(graph.providers(&need("+mail")).eq([&name("b")]));
    }

    #[test]
    fn the_order_of_a_long_chain_compares_each_need_once() {
        let name_of = |at: usize| name(&format!("s{at:04}"));
        let mut graph = NeedGraph::new();
        for at in 0..5_000 {
            let needs = (at > 0).then(|| Need::service(&name_of(at - 1)));
            graph.insert(name_of(at), needs.into_iter().collect(), Vec::new());
        }
        let order = graph.start_order().unwrap();
        assert!(order.iter().eq(graph.nodes.keys()));
        let waits = Waits::of(&graph);
        assert_eq!(waits.met_by.values().map(Vec::len).sum::<usize>(), 4_999);
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
        fn the_providers_are_those_that_meet_the_need(graph in graphs(), text in "[a-h]|\\+[xy](=[1-9])?") {
            let need = need(&text);
            let by_scan = graph.nodes.iter().filter(|(name, node)| need.is_met_by(name, &node.provides));
            prop_assert!(graph.providers(&need).eq(by_scan.map(|(name, _)| name)));
        }

        #[test]
        fn what_is_needed_is_what_has_dependents(graph in graphs()) {
            let needed = graph.needed_by(graph.nodes.keys());
            for name in graph.nodes.keys() {
                let has_dependents = graph.dependents(name).any(|it| it != name);
                prop_assert_eq!(needed.contains(name), has_dependents, "{}", name);
            }
        }

        #[test]
        fn needs_are_read_as_they_are_written(text in "[a-h]{1,3}|\\+[xy](=[1-9])?") {
            let written = serde_json::to_string(&need(&text)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Need>(&written).unwrap(), need(&text));
        }
    }
}
