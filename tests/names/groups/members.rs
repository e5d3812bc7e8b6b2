//! Elixir's tests of registries with duplicate keys, of which groups are the analogue: CONFORMANCE, section 2.3.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::names::{Group, GroupError, GroupKey};
use foundation::ractor::{ActorId, ActorRef, ActorStatus};
use foundation::{Namespace, ServiceKey};
use foundation_testkit::{Behavior, Command, Gate, Probe, SOON, TraceLog, test_registry};
use tracing::Level;

use crate::setup::{foreign, key};

pub(super) static HELLO: GroupKey<Command> = GroupKey::from_static("hello");
pub(super) static WORLD: GroupKey<Command> = GroupKey::from_static("world");
static WEIGHTED: GroupKey<Command, (&'static str, u32)> = GroupKey::from_static("weighted");

type Weighted = Group<Command, (&'static str, u32)>;

pub(super) fn ids(actors: &[ActorRef<Command>]) -> Vec<ActorId> {
    actors.iter().map(|actor| actor.get_id()).collect()
}

pub(super) async fn probes<const N: usize>() -> [ActorRef<Command>; N] {
    let actors = futures::future::join_all((0..N).map(|_| foreign(Probe::default()))).await;
    actors.try_into().unwrap_or_else(|_| unreachable!())
}

async fn notes(actor: &ActorRef<Command>) -> Vec<String> {
    actor.call(Command::Notes, Some(SOON)).await.unwrap().unwrap()
}

/// Three memberships of one actor, and one of another.
async fn weighted(group: &Weighted) -> [ActorRef<Command>; 2] {
    let [first, second] = probes().await;
    for value in [("atom", 1), ("atom", 2), ("other", 3)] {
        group.join_with(&first, value).unwrap();
    }
    group.join_with(&second, ("atom", 4)).unwrap();
    [first, second]
}

/// Adapted: namespaces take the part of partitions: each has its groups to itself.
#[tokio::test]
async fn reg_2_3_partitions_are_independent() {
    let (registry, names) = test_registry().await;
    let theirs = registry.namespace(Namespace::test()).await.unwrap();
    let [ours, other] = probes().await;
    names.group(&HELLO).join(&ours).unwrap();
    theirs.group(&HELLO).join(&other).unwrap();
    assert_eq!(ids(&names.group(&HELLO).members()), [ours.get_id()]);
    assert_eq!(ids(&theirs.group(&HELLO).members()), [other.get_id()]);
}

#[tokio::test]
async fn reg_2_3_counts_zero_when_it_is_empty() {
    let (_registry, names) = test_registry().await;
    assert_eq!(names.group(&HELLO).len(), 0);
    assert!(names.group(&HELLO).is_empty());
    assert!(names.groups().is_empty(), "a handle makes no group");
}

#[tokio::test]
async fn reg_2_3_counts_memberships() {
    let (_registry, names) = test_registry().await;
    let [first, second] = probes().await;
    let group = names.group(&HELLO);
    for (actor, expected) in [(&first, 1), (&first, 2), (&second, 3)] {
        group.join(actor).unwrap();
        assert_eq!(group.len(), expected);
    }
    names.group(&WORLD).join(&first).unwrap();
    assert_eq!((group.len(), names.group(&WORLD).len()), (3, 1));
    assert_eq!(names.groups().iter().map(ToString::to_string).collect::<Vec<_>>(), ["hello", "world"]);
}

#[tokio::test]
async fn reg_2_3_one_actor_joins_several_times() {
    let (_registry, names) = test_registry().await;
    let [actor] = probes().await;
    let group = names.group(&HELLO);
    group.join(&actor).unwrap();
    group.join(&actor).unwrap();
    names.group(&WORLD).join(&actor).unwrap();
    assert_eq!(ids(&group.members()), [actor.get_id(); 2]);
    assert_eq!(names.groups_of(&actor).iter().map(ToString::to_string).collect::<Vec<_>>(), ["hello", "world"]);
}

#[tokio::test]
async fn reg_2_3_several_actors_join_in_order() {
    let (_registry, names) = test_registry().await;
    let actors: [_; 5] = probes().await;
    let group = names.group(&HELLO);
    actors.iter().for_each(|actor| group.join(actor).unwrap());
    assert_eq!(ids(&group.members()), ids(&actors));
}

/// Also adapted: exact complex keys. A key is a text, and any other text is another group.
#[tokio::test]
async fn reg_2_3_compares_keys_exactly() {
    let (_registry, names) = test_registry().await;
    let spellings = ["a.1", "a-1", "a_1", "a1", "a.10", "a.1."];
    let actors: [_; 6] = probes().await;
    for (name, actor) in spellings.iter().zip(&actors) {
        names.group(&GroupKey::<Command>::new(name).unwrap()).join(actor).unwrap();
    }
    for (name, actor) in spellings.iter().zip(&actors) {
        let found = names.group(&GroupKey::<Command>::new(name).unwrap()).members();
        assert_eq!(ids(&found), [actor.get_id()]);
    }
}

#[tokio::test]
async fn reg_2_3_dispatches_to_many_one_after_the_other() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let mut called = 0;
    let called_none = group.cast_all(|_, _| {
        called += 1;
        Command::Note("never")
    });
    assert_eq!((called_none.unwrap(), called), (0, 0));

    let [first, second] = weighted(&group).await;
    let mut order = Vec::new();
    let taken = group.cast_all(|actor, (text, weight)| {
        order.push((actor.get_id(), *weight));
        Command::Note(text)
    });
    assert_eq!(taken.unwrap(), 4);
    let (one, two) = (first.get_id(), second.get_id());
    assert_eq!(order, [(one, 1), (one, 2), (one, 3), (two, 4)]);
    assert_eq!(notes(&first).await, ["atom", "atom", "other"]);
    assert_eq!(notes(&second).await, ["atom"]);
}

/// Adapted: a send does not block, so the concurrent part is waiting for the answers.
#[tokio::test]
async fn reg_2_3_dispatches_to_many_at_once() {
    let (_registry, names) = test_registry().await;
    let [first, second, third] = probes().await;
    let (gate, group) = (Gate::new(), names.group(&HELLO));
    [&first, &second, &third].into_iter().for_each(|actor| group.join(actor).unwrap());
    for actor in [&first, &second] {
        actor.cast(Command::Stay(gate.clone())).unwrap();
        gate.arrival().await;
    }
    let mut asked = 0;
    let calling = group.call_all(
        |reply| {
            asked += 1;
            // The third is asked while the first two do not answer, and chooses not to.
            if asked == 3 { Command::Drop(reply) } else { Command::Answer(true, reply) }
        },
        SOON,
    );
    let (replies, ()) = futures::join!(calling, async { gate.open() });
    assert_eq!(asked, 3);
    let answered: Vec<_> = replies.answered.iter().map(|(actor, answer)| (actor.get_id(), *answer)).collect();
    assert_eq!(answered, [(first.get_id(), true), (second.get_id(), true)]);
    assert_eq!(ids(&replies.silent), [third.get_id()]);
}

#[tokio::test]
async fn reg_2_3_leaves_by_key_with_all_its_memberships() {
    let (_registry, names) = test_registry().await;
    let [actor, other] = probes().await;
    let (hello, world) = (names.group(&HELLO), names.group(&WORLD));
    for group in [&hello, &hello, &world] {
        group.join(&actor).unwrap();
    }
    hello.join(&other).unwrap();
    assert_eq!(hello.leave(&actor), 2);
    assert_eq!(ids(&hello.members()), [other.get_id()]);
    assert_eq!(ids(&world.members()), [actor.get_id()]);
    assert!(actor.get_status() <= ActorStatus::Running, "it lives on");
}

#[tokio::test]
async fn reg_2_3_leaves_without_being_a_member() {
    let (_registry, names) = test_registry().await;
    let [actor, other] = probes().await;
    assert_eq!(names.group(&HELLO).leave(&actor), 0);
    names.group(&HELLO).join(&other).unwrap();
    assert_eq!(names.group(&HELLO).leave(&actor), 0);
    assert_eq!(names.group(&HELLO).len(), 1);
}

/// Also full match specs, whose analogue is a function.
#[tokio::test]
async fn reg_2_3_selects_by_pattern() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [first, second] = weighted(&group).await;
    let atoms = group.select(|actor, value| match value {
        ("atom", weight) => Some((actor.get_id(), *weight)),
        _ => None,
    });
    assert_eq!(atoms, [(first.get_id(), 1), (first.get_id(), 2), (second.get_id(), 4)]);
    assert_eq!(group.select(|_, value| (value.0 == "none").then_some(())), []);
}

#[tokio::test]
async fn reg_2_3_selects_by_guard() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [first, _] = weighted(&group).await;
    let own = group.select(|actor, (_, weight)| (actor.get_id() == first.get_id() && *weight > 1).then_some(*weight));
    assert_eq!(own, [2, 3]);
}

#[tokio::test]
async fn reg_2_3_counts_by_pattern() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    weighted(&group).await;
    assert_eq!(group.count_where(|_, (text, _)| *text == "atom"), 3);
    assert_eq!(group.count_where(|_, (text, _)| *text == "none"), 0);
}

#[tokio::test]
async fn reg_2_3_counts_by_guard() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [_, second] = weighted(&group).await;
    assert_eq!(group.count_where(|_, (_, weight)| *weight > 1), 3);
    assert_eq!(group.count_where(|actor, (_, weight)| actor.get_id() == second.get_id() && *weight > 4), 0);
}

#[tokio::test]
async fn reg_2_3_leaves_by_pattern() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [first, _] = weighted(&group).await;
    assert_eq!(group.leave_where(&first, |(text, _)| *text == "atom"), 2);
    assert_eq!(group.select(|_, (_, weight)| Some(*weight)), [3, 4], "the other actor's stay");
    assert_eq!(group.leave_where(&first, |(text, _)| *text == "atom"), 0);
}

#[tokio::test]
async fn reg_2_3_leaves_by_guard() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [first, second] = weighted(&group).await;
    assert_eq!(group.leave_where(&first, |(_, weight)| *weight > 1), 2);
    assert_eq!(group.leave_where(&second, |(_, weight)| *weight > 4), 0);
    assert_eq!(group.select(|_, (_, weight)| Some(*weight)), [1, 4]);
}

/// Adapted: a listener to members that come and go listens to the events.
#[tokio::test]
async fn reg_2_3_notifies_listeners_of_members_that_come_and_go() {
    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    let (_registry, names) = test_registry().await;
    let [actor] = probes().await;
    names.group(&HELLO).join(&actor).unwrap();
    let who = format!("actor={}", actor.get_id());
    assert_eq!(log.lines(&["group joined", "group=hello", &who]).len(), 1);
    assert_eq!(log.lines(&["group left"]).len(), 0);
    names.group(&HELLO).leave(&actor);
    assert_eq!(log.lines(&["group left", "group=hello", &who]).len(), 1);
}

/// Adapted from links: one monitor watches an actor for all its names and memberships, and none of them ends it for another.
#[tokio::test]
async fn reg_2_3_is_monitored_for_as_long_as_it_has_a_name_or_a_membership() {
    let (registry, names) = test_registry().await;
    let [first, second] = probes().await;
    let name: ServiceKey<Command> = key("hello");
    for actor in [&first, &second] {
        names.group(&HELLO).join(actor).unwrap();
        names.group(&WORLD).join(actor).unwrap();
    }
    names.register(&name, &first).await.unwrap();
    names.group(&HELLO).leave(&first);
    names.unregister(&name);
    names.register(&name, &second).await.unwrap();
    names.group(&WORLD).leave(&second);
    names.group(&HELLO).leave(&second);

    let (log, _listening) = TraceLog::of_thread(Level::DEBUG);
    for actor in [&first, &second] {
        actor.stop_and_wait(None, None).await.unwrap();
    }
    registry.namespace(Namespace::test()).await.unwrap();
    assert_eq!(log.lines(&["group left", &format!("actor={}", first.get_id())]).len(), 1);
    assert_eq!(log.lines(&["service released", &format!("actor={}", second.get_id())]).len(), 1);
}

#[tokio::test]
async fn reg_2_3_refuses_to_work_in_a_namespace_that_is_gone() {
    let (_registry, names) = test_registry().await;
    let [actor] = probes().await;
    let group = names.group(&HELLO);
    names.cleanup().await.unwrap();
    let refused = group.join(&actor).unwrap_err();
    assert_eq!(refused, GroupError::NotRunning { namespace: names.namespace() });
    assert!(group.is_empty());
    assert!(actor.get_status() <= ActorStatus::Running, "a refused actor is not stopped");
}

/// That a group key is no unique name, nor the reverse, shows at compile time (see `GroupKey`); here the texts are equal.
#[tokio::test]
async fn reg_2_3_is_not_usable_as_a_via() {
    let (_registry, names) = test_registry().await;
    let [member, holder] = probes().await;
    let name: ServiceKey<Command> = key("hello");
    names.group(&HELLO).join(&member).unwrap();
    assert!(!names.via(&name).is_alive());
    names.register(&name, &holder).await.unwrap();
    assert_eq!(names.lookup(&name).unwrap().get_id(), holder.get_id());
    assert_eq!(ids(&names.group(&HELLO).members()), [member.get_id()]);
}

#[tokio::test]
async fn reg_2_3_selects_none_of_an_empty_group() {
    let (_registry, names) = test_registry().await;
    assert_eq!(names.group(&HELLO).select(|_, ()| Some(())), []);
    assert_eq!(names.group(&HELLO).count_where(|_, ()| true), 0);
}

#[tokio::test]
async fn reg_2_3_selects_all() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [first, second] = weighted(&group).await;
    let all = group.select(|actor, value| Some((actor.get_id(), value.1)));
    assert_eq!(all, [(first.get_id(), 1), (first.get_id(), 2), (first.get_id(), 3), (second.get_id(), 4)]);
    assert_eq!(group.count_where(|_, _| true), 4);
}

/// Adapted from several specs: any number of functions, each of which may use the group.
#[tokio::test]
async fn reg_2_3_selects_while_the_group_is_used() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [first, second] = weighted(&group).await;
    let seen = group.select(|_, (_, weight)| {
        assert_eq!(group.leave_where(&first, |(_, it)| it == weight), usize::from(*weight < 4));
        Some(*weight)
    });
    assert_eq!(seen, [1, 2, 3, 4], "the list is the one that was read");
    assert_eq!(ids(&group.members()), [second.get_id()]);
}

/// A value cannot be updated, as in Elixir; here no method exists for it: a member with another value joins again.
#[tokio::test]
async fn reg_2_3_has_no_update_of_a_value() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&WEIGHTED);
    let [first, _] = weighted(&group).await;
    assert_eq!(group.leave_where(&first, |value| *value == ("atom", 2)), 1);
    group.join_with(&first, ("atom", 20)).unwrap();
    assert_eq!(group.select(|_, (_, weight)| Some(*weight)), [1, 3, 4, 20]);
}

// ---- beyond Elixir's ----

#[tokio::test]
async fn members_take_turns_in_round_robin_order() {
    let (_registry, names) = test_registry().await;
    let actors: [_; 3] = probes().await;
    let group = names.group(&HELLO);
    actors.iter().for_each(|actor| group.join(actor).unwrap());
    let turns: Vec<_> = (0..7).map(|_| group.next_member().unwrap().get_id()).collect();
    let expected: Vec<_> = ids(&actors).into_iter().cycle().take(7).collect();
    assert_eq!(turns, expected);
    actors[1].stop_and_wait(None, None).await.unwrap();
    for _ in 0..10 {
        assert_ne!(group.with_next(|actor| actor.get_id()).unwrap(), actors[1].get_id());
    }
}

#[tokio::test]
async fn no_member_has_two_turns_in_a_row_while_another_is_leaving() {
    let (_registry, names) = test_registry().await;
    for out in 0..3 {
        let gate = Gate::new();
        let stays = Probe::default().stop(Behavior::Wait(gate.clone()));
        let leaving = foreign(stays).await;
        let mut actors = probes::<2>().await.to_vec();
        actors.insert(out, leaving.clone());
        let group = names.group(&HELLO);
        actors.iter().for_each(|actor| group.join(actor).unwrap());
        leaving.stop(None);
        gate.arrival().await;
        let mut turns: Vec<_> = (0..7).map(|_| group.next_member().unwrap().get_id()).collect();
        gate.open();
        leaving.wait(None).await.unwrap();
        group.leave(&leaving);
        // Nor when the list has become shorter, and longer again.
        turns.extend((0..4).map(|_| group.next_member().unwrap().get_id()));
        group.join(&foreign(Probe::default()).await).unwrap();
        turns.extend((0..4).map(|_| group.next_member().unwrap().get_id()));
        assert!(turns.windows(2).all(|two| two[0] != two[1]), "{out}: {turns:?}");
        for cast in [Group::cast_next; 6] {
            cast(&group, Command::Note("turn")).unwrap();
        }
        for member in group.members() {
            assert_eq!(notes(&member).await.len(), 2, "{out}");
            group.leave(&member);
        }
    }
}

#[tokio::test]
async fn random_members_include_all_live_members_and_no_others() {
    let (_registry, names) = test_registry().await;
    let actors: [_; 4] = probes().await;
    let group = names.group(&HELLO);
    actors.iter().for_each(|actor| group.join(actor).unwrap());
    let (_, task) = (actors[0].drain().unwrap(), actors[0].wait(None));
    let mut drawn = std::collections::BTreeMap::<_, u32>::new();
    for _ in 0..3_000 {
        *drawn.entry(group.any_member().unwrap().get_id()).or_default() += 1;
    }
    assert_eq!(drawn.keys().copied().collect::<Vec<_>>(), ids(&actors[1..]));
    assert!(drawn.values().all(|count| *count > 500), "{drawn:?}");
    task.await.unwrap();
}

#[tokio::test]
async fn a_message_goes_to_one_member_and_is_given_back_if_there_is_none() {
    let (_registry, names) = test_registry().await;
    let [first, second] = probes().await;
    let group = names.group(&HELLO);
    for cast in [Group::cast_next, Group::cast_any] {
        let refused = cast(&group, Command::Note("lost?")).unwrap_err();
        assert!(matches!(refused.message, Command::Note("lost?")));
        assert!(matches!(refused.reason, GroupError::NoMember { .. }), "{refused}");
    }
    group.join(&first).unwrap();
    group.join(&second).unwrap();
    for _ in 0..4 {
        group.cast_next(Command::Note("turn")).unwrap();
    }
    assert_eq!((notes(&first).await.len(), notes(&second).await.len()), (2, 2));
    group.cast_any(Command::Note("any")).unwrap();
    assert_eq!(notes(&first).await.len() + notes(&second).await.len(), 5);
}

#[tokio::test]
async fn the_random_choices_of_a_group_are_the_same_in_each_run() {
    let throws = async || {
        let (_registry, names) = test_registry().await;
        let actors: [_; 4] = probes().await;
        let group = names.group(&HELLO);
        actors.iter().for_each(|actor| group.join(actor).unwrap());
        let place = |id| actors.iter().position(|actor| actor.get_id() == id).unwrap();
        (0..50).map(|_| place(group.any_member().unwrap().get_id())).collect::<Vec<_>>()
    };
    assert_eq!(throws().await, throws().await);
}

#[tokio::test]
async fn a_service_and_a_group_of_one_name_are_independent() {
    let (_registry, names) = test_registry().await;
    let [member] = probes().await;
    let service = crate::setup::key::<Command>(HELLO.name().as_str());
    names.group(&HELLO).join(&member).unwrap();
    assert!(!names.is_registered(&service));
    let holder = names.spawn(&service, Probe::default(), ()).await.unwrap();
    assert_eq!(ids(&names.group(&HELLO).members()), [member.get_id()]);
    names.group(&HELLO).leave(&member);
    assert_eq!(names.lookup(&service).unwrap().get_id(), holder.get_id());
    assert_eq!((names.groups().len(), names.list_services().len()), (0, 1));
}

#[tokio::test]
async fn a_call_to_a_group_outside_a_runtime_panics_before_anything_is_sent() {
    let (_registry, names) = test_registry().await;
    let [member] = probes().await;
    names.group(&HELLO).join(&member).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let calling = std::thread::spawn({
        let (group, asked) = (names.group(&HELLO), Arc::clone(&asked));
        move || {
            let ask = |reply| {
                asked.fetch_add(1, Ordering::Relaxed);
                Command::Answer(true, reply)
            };
            futures::executor::block_on(group.call_all(ask, SOON)).answered.len()
        }
    });
    assert!(tokio::task::spawn_blocking(|| calling.join()).await.unwrap().is_err(), "there is no clock");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_message_to_all_of_a_group_is_made_once_for_each_live_member_and_not_at_all_for_none() {
    let (_registry, names) = test_registry().await;
    let group = names.group(&HELLO);
    assert_eq!(group.cast_all(|_, ()| -> Command { unreachable!("no member is there") }).unwrap(), 0);
    let [first, second] = probes().await;
    [&first, &first, &second].into_iter().for_each(|actor| group.join(actor).unwrap());
    second.drain().unwrap();
    let mut made = 0;
    let taken = group.cast_all(|actor, ()| {
        made += 1;
        assert_eq!(actor.get_id(), first.get_id());
        Command::Note("to all")
    });
    assert_eq!((taken.unwrap(), made), (2, 2));
    assert_eq!(notes(&first).await, ["to all", "to all"]);
    let strangers = names.group(&GroupKey::<crate::setup::LampMsg>::from_static("hello"));
    let refused = strangers.cast_all(|_, ()| crate::setup::LampMsg::Shine).unwrap_err();
    assert!(matches!(refused, GroupError::WrongType { .. }), "{refused}");
}
