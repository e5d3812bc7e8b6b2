//! Calls and the end of the called actor: the caller gets an answer, or learns at once that none will come.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use foundation::names::{CallError, GroupKey, HealthCheck};
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::supervision::Health;
use foundation::{AskError, ServiceKey, ask};
use foundation_testkit::{Command, PanickingWaker, Probe, SOON, test_registry};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::setup::{PROBE, foreign};

/// Keeps a reply port whose actor ends without having used it: as if the message had stayed in the mailbox.
type Attic = Arc<Mutex<Vec<RpcReplyPort<bool>>>>;

/// Puts each port where it outlives the actor, and ends.
struct Hoarder(Attic);

struct Question(RpcReplyPort<bool>);
foundation::local_message!(Question);

const HOARDER: ServiceKey<Question> = ServiceKey::from_static("hoarder");
static HOARDERS: GroupKey<Question> = GroupKey::from_static("hoarders");

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Hoarder {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Question>,
        Question(reply): Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.0.lock().unwrap().push(reply);
        myself.stop(None);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_actor_whether_or_not_the_message_was_read() {
    let (_registry, names) = test_registry().await;
    let attic = Attic::default();
    let begun = Instant::now();
    // The second handle has met an incarnation before.
    let bound = names.via(&HOARDER);
    for via in [&names.via(&HOARDER), &bound, &bound] {
        names.spawn(&HOARDER, Hoarder(Arc::clone(&attic)), ()).await.unwrap();
        let unanswered = via.call(Question, SOON).await.unwrap_err();
        assert!(matches!(unanswered, CallError::NoReply { .. }), "{unanswered}");
        names.wait_until_free(&HOARDER, SOON).await.unwrap();
    }
    assert_eq!((begun.elapsed(), attic.lock().unwrap().len()), (Duration::ZERO, 3));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_finds_an_actor_dead_that_ends_during_it() {
    let (_registry, names) = test_registry().await;
    let attic = Attic::default();
    names.spawn(&HOARDER, Hoarder(Arc::clone(&attic)), ()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(names.health_check(&HOARDER, HealthCheck::call(Question), SOON).await, Health::Dead);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_group_does_not_wait_for_members_that_have_ended() {
    let (_registry, names) = test_registry().await;
    let attic = Attic::default();
    for _ in 0..3 {
        let (actor, _task) = Actor::spawn(None, Hoarder(Arc::clone(&attic)), ()).await.unwrap();
        names.group(&HOARDERS).join(&actor).unwrap();
    }
    let begun = Instant::now();
    let replies = names.group(&HOARDERS).call_all(Question, SOON).await;
    assert_eq!((begun.elapsed(), replies.answered.len(), replies.silent.len()), (Duration::ZERO, 0, 3));
}

#[tokio::test]
async fn an_answer_that_was_given_before_the_end_is_not_lost() {
    let (_registry, names) = test_registry().await;
    for _ in 0..100 {
        let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        let via = names.via(&PROBE);
        let mut call = Box::pin(via.call(Command::Id, SOON));
        assert!(futures::poll!(&mut call).is_pending());
        via.cast(Command::Stop(None)).unwrap();
        actor.wait(None).await.unwrap();
        assert_eq!(call.await.unwrap(), actor.get_id());
        names.wait_until_free(&PROBE, SOON).await.unwrap();
    }
}

/// A caller is woken in the last moments of the actor that it has called.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_does_not_hide_the_end_of_an_actor_from_other_waiters() {
    let (_registry, names) = test_registry().await;
    let actor = Actor::spawn(None, Hoarder(Attic::default()), ()).await.unwrap().0;
    names.register(&HOARDER, &actor).await.unwrap();
    let via = names.via(&HOARDER);
    let mut call = Box::pin(via.call(Question, SOON));
    let waker = Waker::from(Arc::<PanickingWaker>::default());
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    tokio::time::timeout(SOON, actor.wait(None)).await.unwrap().unwrap();
    assert!(matches!(call.await.unwrap_err(), CallError::NoReply { .. }));
}

/// The call's limit could not be kept there.
#[tokio::test]
async fn a_call_outside_a_runtime_is_refused_before_anything_is_sent() {
    let (_registry, names) = test_registry().await;
    let actor = foreign(Probe::default()).await;
    names.register(&PROBE, &actor).await.unwrap();
    let via = names.via(&PROBE);
    let outside = std::thread::spawn({
        let via = via.clone();
        move || futures::executor::block_on(via.call(|_| Command::Note("sent"), SOON)).map(|(): ()| ()).unwrap_err()
    });
    let timeless = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(via.call(|_| Command::Note("sent"), SOON)).map(|(): ()| ()).unwrap_err()
    });
    for refused in [outside, timeless] {
        let refused = refused.join().expect("it does not panic");
        assert!(matches!(refused, CallError::NoRuntime { .. }), "{refused}");
    }
    assert_eq!(actor.call(Command::Notes, Some(SOON)).await.unwrap().unwrap(), Vec::<String>::new());
}

/// A message that is sent at the very moment of its actor's end may be neither read nor dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_waits_for_an_actor_that_is_gone() {
    let (_registry, names) = test_registry().await;
    for round in 0..400 {
        let actor = names.spawn(&PROBE, Probe::default(), ()).await.unwrap();
        let asking = [(); 2].map(|()| {
            let via = names.via(&PROBE);
            tokio::spawn(async move {
                loop {
                    match via.call(Command::Id, SOON).await {
                        Ok(_) => {}
                        late @ Err(CallError::TimedOut { .. }) => return late.map(drop),
                        Err(_) => return Ok(()),
                    }
                }
            })
        });
        for _ in 0..round % 11 {
            yield_now().await;
        }
        actor.stop_and_wait(None, None).await.unwrap();
        for asked in asking {
            asked.await.unwrap().unwrap();
        }
        names.wait_until_free(&PROBE, SOON).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_limit_ends_with_the_answer_or_with_the_actor() {
    let (actor, _task) = Actor::spawn(None, Probe::default(), ()).await.unwrap();
    let gate = foundation_testkit::Gate::new();
    actor.cast(Command::Stay(gate.clone())).unwrap();
    let mut asking = Box::pin(ask(&actor, Command::Id));
    let waited = tokio::time::timeout(Duration::from_secs(365 * 24 * 3_600), &mut asking).await;
    assert!(waited.is_err(), "the actor is busy");
    gate.open();
    assert_eq!(asking.await.unwrap(), actor.get_id());
    assert!(matches!(ask(&actor, Command::Drop).await, Err(AskError::NoReply)), "the port was dropped");
    actor.stop_and_wait(None, None).await.unwrap();
    let Err(AskError::NotDelivered(Command::Drop(_))) = ask(&actor, Command::Drop).await else {
        panic!("the message comes back")
    };

    let (hoarder, _task) = Actor::spawn(None, Hoarder(Attic::default()), ()).await.unwrap();
    assert!(matches!(ask(&hoarder, Question).await, Err(AskError::NoReply)), "its port lives, and it does not");
}
