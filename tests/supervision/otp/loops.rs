//! 1.11: names over restarts, and supervisors in a loop of failing restarts.

use std::time::Duration;

use foundation::names::{ProcessRegistry, ServiceRegistry};
use foundation::supervision::{ChildError, DynamicSupervisorSpec, RestartIntensity, SupervisorSpec};
use foundation::{ChildSpec, Namespace, ServiceKey, Strategy, Supervisor};
use foundation_testkit::{Behavior, Command, Log, Moment, Puppet, soon};

use super::{Agency, End, Office, at_most, at_rest, counts, states};

const SERVER: ServiceKey<Command> = ServiceKey::from_static("server");

/// One-for-all over one-for-all over a worker with a name. The supervisors have none; children are found by path.
struct Named {
    office: Office,
    server: Puppet,
    space: ServiceRegistry,
    registry: ProcessRegistry,
}

async fn named() -> Named {
    let registry = ProcessRegistry::start().await.unwrap();
    let space = registry.namespace(Namespace::test()).await.unwrap();
    let server = Puppet::new("server", &Log::new());
    let child = {
        let server = server.clone();
        space.child_spec(&SERVER, move || (server.actor(), ()))
    };
    let one_for_all = || SupervisorSpec::new(Strategy::OneForAll).intensity(at_most(100));
    let middle = ChildSpec::supervisor("middle", one_for_all().child(child));
    let office = Office::open(one_for_all().child(middle)).await;
    Named { office, server, space, registry }
}

impl Named {
    async fn middle(&self) -> Supervisor {
        self.office.office.supervisor("middle").await.unwrap().unwrap()
    }

    /// The name leads to the latest incarnation, and there was never more than one at a time.
    fn is_registered_anew(&self) {
        assert_eq!(self.space.lookup(&SERVER).unwrap().get_id(), self.server.id());
        assert_eq!((self.server.alive(), self.server.overlaps()), (1, 0));
    }

    async fn close(self) {
        self.office.top.actor().unwrap().kill();
        soon("the end of the tree", self.office.top.wait_until_gone()).await;
        assert!(!self.space.is_registered(&SERVER));
        assert_eq!(self.server.alive(), 0);
        self.registry.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn otp_84_a_name_is_taken_again_when_the_supervisor_was_killed() {
    let mut tree = named().await;
    for _ in 0..50 {
        tree.middle().await.actor().unwrap().kill();
        tree.office.reports.restarted("middle").await;
        tree.is_registered_anew();
    }
    tree.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn otp_84_a_name_is_taken_again_when_the_worker_was_killed_or_has_ended() {
    let mut tree = named().await;
    let ends: [End; 3] = [
        |server| server.latest().kill(),
        |server| server.order(Command::Stop(None)),
        |server| server.order(Command::Panic("cracked")),
    ];
    for end in ends {
        for _ in 0..20 {
            end(&tree.server);
            tree.office.reports.restarted("server").await;
            tree.is_registered_anew();
        }
    }
    tree.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn otp_84_a_name_is_taken_again_when_the_worker_was_terminated_and_started_by_request() {
    let tree = named().await;
    for _ in 0..20 {
        tree.middle().await.terminate_child("server").await.unwrap();
        assert!(!tree.space.is_registered(&SERVER));
        tree.middle().await.restart_child("server").await.unwrap();
        tree.is_registered_anew();
    }
    tree.close().await;
}

const SECOND: Duration = Duration::from_secs(1);

/// Each failing restart takes two seconds, as in OTP's suite: too slow to exceed the intensity.
fn slowly() -> RestartIntensity {
    RestartIntensity::new(8, 10 * SECOND)
}

fn failing(puppet: &Puppet) {
    puppet.always(Moment::Called, Behavior::Take(2 * SECOND));
    puppet.always(Moment::Starting, Behavior::Fail("no desk"));
    puppet.order(Command::Fail("broken"));
}

fn well(puppet: &Puppet) {
    puppet.always(Moment::Called, Behavior::Proceed);
    puppet.always(Moment::Starting, Behavior::Proceed);
}

#[tokio::test(start_paused = true)]
async fn otp_85_a_child_in_a_restart_loop_can_be_queried_and_terminated() {
    let log = Log::new();
    let child = Puppet::new("child", &log);
    let office = Office::open(SupervisorSpec::new(Strategy::OneForOne).intensity(slowly()).child(child.spec())).await;
    let sup = &office.office;
    failing(&child);
    log.reached("child", Moment::Called, 5).await;

    let error = sup.start_child(child.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::AlreadyPresent { state: "restarting", .. }), "{error}");
    let error = sup.restart_child("child").await.unwrap_err();
    assert!(matches!(error, ChildError::Restarting { .. }), "{error}");
    let error = sup.delete_child("child").await.unwrap_err();
    assert!(matches!(error, ChildError::Restarting { .. }), "{error}");
    assert_eq!(states(&sup.which_children().await.unwrap()), ["child restarting"]);
    assert_eq!(counts(sup).await, [1, 0, 0, 1]);

    sup.terminate_child("child").await.unwrap();
    assert_eq!(states(&sup.which_children().await.unwrap()), ["child stopped"]);
    let starts = log.count("child", Moment::Called);
    tokio::time::advance(10 * SECOND).await;
    assert_eq!(states(&at_rest(sup).await), ["child stopped"]);
    assert_eq!(log.count("child", Moment::Called), starts, "it was started once more");

    well(&child);
    assert!(sup.restart_child("child").await.unwrap().is_some());
    failing(&child);
    log.reached("child", Moment::Called, starts + 3).await;
    office.close().await;
    assert_eq!(child.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn otp_86_in_a_restart_loop_of_rest_for_one_the_later_children_are_stopped_and_the_earlier_untouched() {
    let log = Log::new();
    let puppets = ["a", "b", "c"].map(|name| Puppet::new(name, &log));
    let [a, b, _] = &puppets;
    let spec = SupervisorSpec::new(Strategy::RestForOne).intensity(slowly());
    let office = Office::open(spec.children(puppets.each_ref().map(Puppet::spec))).await;
    let sup = &office.office;
    let first = a.id();
    failing(b);
    log.reached("b", Moment::Called, 5).await;

    let error = sup.start_child(b.spec()).await.unwrap_err();
    assert!(matches!(error, ChildError::AlreadyPresent { .. }), "{error}");
    assert!(matches!(sup.restart_child("b").await, Err(ChildError::Restarting { .. })));
    assert!(matches!(sup.delete_child("b").await, Err(ChildError::Restarting { .. })));
    assert_eq!(states(&sup.which_children().await.unwrap()), ["c stopped", "b restarting", "a running"]);
    assert_eq!(counts(sup).await, [3, 1, 0, 3]);

    sup.terminate_child("b").await.unwrap();
    assert_eq!(states(&at_rest(sup).await), ["c stopped", "b stopped", "a running"]);
    assert_eq!(a.id(), first);

    well(b);
    assert!(sup.restart_child("b").await.unwrap().is_some());
    assert!(sup.restart_child("c").await.unwrap().is_some());
    failing(b);
    log.reached("b", Moment::Called, 9).await;
    office.close().await;
    assert_eq!(puppets.each_ref().map(Puppet::alive), [0, 0, 0]);
}

/// When the loop ends with a success, the later children come back.
#[tokio::test(start_paused = true)]
async fn otp_86_the_later_children_follow_when_the_restart_succeeds_at_last() {
    for strategy in [Strategy::RestForOne, Strategy::OneForAll] {
        let log = Log::new();
        let puppets = ["a", "b", "c"].map(|name| Puppet::new(name, &log));
        let spec = SupervisorSpec::new(strategy).intensity(slowly());
        let mut office = Office::open(spec.children(puppets.each_ref().map(Puppet::spec))).await;
        failing(&puppets[1]);
        log.reached("b", Moment::Called, 4).await;
        well(&puppets[1]);
        office.reports.restarted("c").await;
        assert_eq!(states(&at_rest(&office.office).await), ["c running", "b running", "a running"]);
        assert_eq!(puppets.each_ref().map(|child| (child.alive(), child.overlaps())), [(1, 0); 3]);
        office.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn otp_87_a_dynamic_child_in_a_restart_loop_can_be_queried_and_terminated() {
    let log = Log::new();
    let child = Puppet::new("child", &log);
    let agency = Agency::open(DynamicSupervisorSpec::default().intensity(slowly())).await;
    agency.agency.start_child(child.spec()).await.unwrap();
    let actor = child.id();
    failing(&child);
    log.reached("child", Moment::Called, 5).await;
    assert_eq!(states(&agency.agency.which_children().await.unwrap()), ["child restarting"]);
    let count = agency.agency.count_children().await.unwrap();
    assert_eq!((count.active, count.workers), (0, 1));
    agency.agency.terminate_child(actor).await.unwrap();
    assert_eq!(agency.agency.which_children().await.unwrap(), []);

    well(&child);
    agency.agency.start_child(child.spec()).await.unwrap();
    failing(&child);
    log.reached("child", Moment::Called, 8).await;
    agency.close().await;
    assert_eq!(child.alive(), 0);
}
