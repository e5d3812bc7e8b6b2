//! What a check of instances is.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::Contained;
use foundation_kernel::names::{HealthCheck, ServiceKey, ServiceRegistry};
use foundation_kernel::ractor::{Message, RpcReplyPort};
use foundation_kernel::supervision::{Health, Verdict};
use foundation_kernel::text::shortened_to;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};

#[cfg(feature = "http-checks")]
use super::http::HttpGet;
use super::tcp;
use crate::health::{Cadence, CheckRole, CheckRules};
use crate::instance::{Endpoint, InstanceRecord, Remote};
use crate::limits::MAX_CHECK_NAME;

/// The shortest time to live of a heartbeat.
const MIN_TTL: Duration = Duration::from_millis(100);
/// The longest, a day.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

type Ask = dyn Fn(&ServiceRegistry, InstanceRecord, Duration) -> BoxFuture<'static, Health> + Send + Sync;

/// How instances are checked, how often, and by which rules the results become a status.
///
/// | check | a yes is |
/// |---|---|
/// | [`alive`](Self::alive) | the actor of the instance takes messages |
/// | [`call`](Self::call) | it answers a message with a yes |
/// | [`heartbeat`](Self::heartbeat) | it has sent a heartbeat lately |
/// | [`tcp`](Self::tcp) | its endpoint accepts a connection |
/// | `http`, with the feature `http-checks` | its endpoint answers a request as expected |
/// | [`function`](Self::function) | a function of yours says so |
///
/// | | default |
/// |---|---|
/// | [`every`](Self::every), [`jitter`](Self::jitter) | 10 s, a tenth longer or shorter |
/// | [`within`](Self::within) | 1 s |
/// | [`role`](Self::role), [`rules`](Self::rules) | those of [`CheckRules::new`]; results expire after five intervals and the time limit |
///
/// Each run has a task of its own: a panic in it is a result, and so is a run that exceeds its time limit.
///
/// ```
/// use std::time::Duration;
/// use foundation_discovery::InstanceCheck;
/// use foundation_discovery::health::CheckRole;
///
/// let connects = InstanceCheck::tcp().every(Duration::from_secs(5)).within(Duration::from_millis(500));
/// let beats = InstanceCheck::heartbeat(Duration::from_secs(6)).role(CheckRole::Liveness);
/// # drop((connects, beats));
/// ```
#[derive(Clone)]
pub struct InstanceCheck {
    name: Arc<str>,
    cadence: Cadence,
    limit: Duration,
    rules: CheckRules,
    kind: CheckKind,
}

/// Where a result comes from.
#[derive(Clone)]
pub(crate) enum CheckKind {
    /// From the instance itself, which is silent if it has sent nothing for so long.
    Heartbeat(Duration),
    /// From a function that asks.
    Ask(AskCheck),
}

/// The function that asks: user code, whose destructor is contained.
#[derive(Clone)]
pub(crate) struct AskCheck(Arc<Contained<Box<Ask>>>);

impl AskCheck {
    /// Asks once. User code: it may panic and block.
    pub(crate) fn ask(
        &self,
        names: &ServiceRegistry,
        of: InstanceRecord,
        limit: Duration,
    ) -> BoxFuture<'static, Health> {
        match self.0.get() {
            Some(ask) => ask(names, of, limit),
            // The function is there until its last owner is dropped.
            None => ready(Health::NotFound).boxed(),
        }
    }
}

impl InstanceCheck {
    /// Asks nothing: healthy if the actor of the instance is there and takes messages. One that hangs in a message is
    /// healthy, too: [`call`](Self::call) finds that.
    pub fn alive() -> Self {
        Self::ask("alive", |names, record, _| {
            if is_announced(names, &record) {
                return ready(Health::Failed(NO_ACTOR.to_owned())).boxed();
            }
            let found = names.lookup_any(record.name().registered()).ok();
            let is_it = found.is_some_and(|found| found.actor_id() == record.actor);
            ready(if is_it { Health::Healthy } else { Health::Dead }).boxed()
        })
    }

    /// Sends the instance a message with a reply port: healthy if the answer is a yes.
    pub fn call<M: Message, V: Verdict>(
        name: &str,
        message: impl Fn(RpcReplyPort<V>) -> M + Send + Sync + 'static,
    ) -> Self {
        let message = Arc::new(message);
        Self::ask(name, move |names, record, limit| {
            let (names, message) = (names.clone(), Arc::clone(&message));
            let check = HealthCheck::call(move |reply| message(reply));
            let key = ServiceKey::<M>::from(record.name().registered().clone());
            async move { names.health_check(&key, check, limit).await }.boxed()
        })
    }

    /// Asks nothing: the instance sends [heartbeats](crate::Discovery::heartbeat), and has failed when it was silent for `ttl`,
    /// which is 100 ms at least and a day at most. The next heartbeat makes it healthy again, at once. By a
    /// [handle](crate::Heartbeat), a silence may be a third of `ttl` longer.
    ///
    /// One silence is a failure, and one heartbeat a success, unless the [rules](Self::rules) say otherwise.
    pub fn heartbeat(ttl: Duration) -> Self {
        let ttl = ttl.clamp(MIN_TTL, MAX_TTL);
        let check = Self::new("heartbeat", CheckKind::Heartbeat(ttl));
        Self { cadence: Cadence::every(ttl).jitter(0.0), rules: CheckRules::new().rise(1).fall(1), ..check }
    }

    /// Connects to the endpoint of the instance, and closes the connection: healthy if it is accepted. An instance without
    /// an endpoint has failed.
    ///
    /// The name of a host is resolved by the system on a thread that cannot be cancelled; an address is not.
    pub fn tcp() -> Self {
        Self::ask("tcp", |_, record, _| connects(record).map(Health::of).boxed())
    }

    /// Sends a GET request to the endpoint of the instance: a path, or an [`HttpGet`] that says more.
    ///
    /// ```
    /// use foundation_discovery::{HttpGet, InstanceCheck};
    ///
    /// let any_success = InstanceCheck::http("/health");
    /// let exactly = InstanceCheck::http(HttpGet::new("/health").expect(200..201).body_contains("ready"));
    /// # drop((any_success, exactly));
    /// ```
    #[cfg(feature = "http-checks")]
    pub fn http(get: impl Into<HttpGet>) -> Self {
        let get = get.into();
        Self::ask("http", move |_, record, _| ask_by_http(get.clone(), record).map(Health::of).boxed())
    }

    /// Runs any asynchronous function of the instance: healthy if its outcome is a yes.
    pub fn function<F, Fut, V>(name: &str, check: F) -> Self
    where
        F: Fn(InstanceRecord) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = V> + Send + 'static,
        V: Verdict,
    {
        Self::ask(name, move |_, record, _| check(record).map(Health::of).boxed())
    }

    fn ask(
        name: &str,
        ask: impl Fn(&ServiceRegistry, InstanceRecord, Duration) -> BoxFuture<'static, Health> + Send + Sync + 'static,
    ) -> Self {
        let ask: Box<Ask> = Box::new(ask);
        Self::new(name, CheckKind::Ask(AskCheck(Arc::new(Contained::new("a check of instances", ask)))))
    }

    fn new(name: &str, kind: CheckKind) -> Self {
        let cadence = Cadence::every(Duration::from_secs(10));
        Self { name: check_name(name).into(), cadence, limit: Duration::from_secs(1), rules: CheckRules::new(), kind }
    }

    /// Gives it another name. Results are kept by name: two checks of one instance have different ones.
    pub fn named(self, name: &str) -> Self {
        Self { name: check_name(name).into(), ..self }
    }

    /// How often it runs: 100 ms at least, a day at most. It waits up to three times as long while it fails. A heartbeat is
    /// not asked for, so this changes nothing of it.
    pub fn every(self, interval: Duration) -> Self {
        match self.kind {
            CheckKind::Heartbeat(_) => self,
            CheckKind::Ask(_) => Self { cadence: self.cadence.with_interval(interval), ..self },
        }
    }

    /// Which share of the interval each one may be longer or shorter: 0 to 0.5, 0.1 by default. The first run is after a part
    /// of an interval that follows from the names of instance and check.
    pub fn jitter(self, share: f64) -> Self {
        Self { cadence: self.cadence.jitter(share), ..self }
    }

    /// How long one run may take before it is a failure: never longer than its interval.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// What its result is for: the same as [`CheckRules::role`].
    pub fn role(self, role: CheckRole) -> Self {
        Self { rules: self.rules.role(role), ..self }
    }

    /// By which rules the results become a status. Results expire after five intervals and the time limit, unless the rules
    /// say when.
    pub fn rules(self, rules: CheckRules) -> Self {
        Self { rules, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time limit of one run, as it counts.
    pub fn limit(&self) -> Duration {
        self.limit.min(self.cadence.interval())
    }

    pub(crate) fn cadence(&self) -> &Cadence {
        &self.cadence
    }

    pub(crate) fn kind(&self) -> &CheckKind {
        &self.kind
    }

    /// The rules, with the time after which results expire.
    pub(crate) fn current_rules(&self) -> CheckRules {
        let expires = self.cadence.interval().saturating_mul(5).saturating_add(self.limit());
        self.rules.clone().or_expires_after(expires)
    }
}

/// What a check of an actor finds of an instance outside of this process.
const NO_ACTOR: &str = "it was announced, and has no actor here: check its endpoint or its heartbeats";

/// Whether the actor of a name is the keeper of an instance outside of this process.
fn is_announced(names: &ServiceRegistry, record: &InstanceRecord) -> bool {
    names.with(&ServiceKey::<Remote>::from(record.name().registered().clone()), |_| ()).is_ok()
}

/// The name of a check, of limited length.
pub(crate) fn check_name(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_CHECK_NAME { name.into() } else { shortened_to(name, MAX_CHECK_NAME).into() }
}

/// Connects, and closes the connection.
async fn connects(record: InstanceRecord) -> Result<(), String> {
    tcp::connect(endpoint_of(&record)?).await.map(drop)
}

fn endpoint_of(record: &InstanceRecord) -> Result<&Endpoint, String> {
    record.instance.endpoint().ok_or_else(|| format!("{} has no endpoint to connect to", record.name()))
}

/// The request is made before the connection: what cannot be asked needs none.
#[cfg(feature = "http-checks")]
async fn ask_by_http(get: HttpGet, record: InstanceRecord) -> Result<(), String> {
    let endpoint = endpoint_of(&record)?;
    let request = get.request(endpoint)?;
    get.ask(tcp::connect(endpoint).await?, request).await
}

impl fmt::Debug for InstanceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceCheck")
            .field("name", &self.name)
            .field("cadence", &self.cadence)
            .field("limit", &self.limit)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_name_of_a_check_is_of_limited_length() {
        let long = "n".repeat(MAX_CHECK_NAME * 2);
        assert!(InstanceCheck::tcp().named(&long).name().len() <= MAX_CHECK_NAME);
        assert!(InstanceCheck::function(&long, |_| ready(true)).name().len() <= MAX_CHECK_NAME);
        assert_eq!(check_name("tcp"), "tcp");
    }

    #[test]
    fn a_run_takes_no_longer_than_its_interval_whichever_is_set_first() {
        assert_eq!(InstanceCheck::tcp().within(SECOND * 5).every(SECOND).limit(), SECOND);
        assert_eq!(InstanceCheck::tcp().every(SECOND).within(SECOND * 5).limit(), SECOND);
        assert_eq!(InstanceCheck::tcp().within(SECOND * 5).limit(), SECOND * 5);
    }
}
