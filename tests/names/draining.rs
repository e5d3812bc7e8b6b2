//! Children that finish what they have taken, and successors that are checked before they get the name.

use std::future::ready;
use std::time::Duration;

use foundation::ServiceKey;
use foundation::names::ServiceRegistry;
use foundation::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::supervision::{BoxError, ChildSpec, Shutdown};
use foundation_testkit::{soon, test_registry};
use tokio::sync::watch;

static CLERK: ServiceKey<Question> = ServiceKey::from_static("clerk");

/// Answers when its gate is open.
struct Clerk(watch::Receiver<bool>);

struct Question(RpcReplyPort<()>);
foundation::local_message!(Question);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Question>,
        Question(reply): Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let _ = self.0.clone().wait_for(|is_open| *is_open).await;
        Ok(reply.send(())?)
    }
}

fn clerk(names: &ServiceRegistry, open: &watch::Sender<bool>) -> ChildSpec {
    let gate = open.subscribe();
    names.child_spec(&CLERK, move || (Clerk(gate.clone()), ())).shutdown(Shutdown::Drain(Duration::from_secs(5)))
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_drained_answers_what_it_has_taken_and_takes_no_more() {
    let (_registry, names) = test_registry().await;
    let open = watch::Sender::new(false);
    names.supervise(clerk(&names, &open)).await.unwrap();
    let via = names.via(&CLERK);
    let calls = (0..3).map(|_| via.call(Question, Duration::from_secs(60)));
    let stopping = async {
        let application = names.application().unwrap();
        let terminate = application.terminate_child("clerk");
        let open = async {
            let refused = via.call(Question, Duration::from_secs(1)).await.is_err();
            open.send_replace(true);
            refused
        };
        tokio::join!(terminate, open)
    };
    let (answers, (stopped, refused)) = tokio::join!(futures::future::join_all(calls), stopping);
    assert!(answers.iter().all(Result::is_ok) && stopped.is_ok() && refused);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_not_drained_in_time_is_killed() {
    let (_registry, names) = test_registry().await;
    let open = watch::Sender::new(false);
    names.supervise(clerk(&names, &open)).await.unwrap();
    let via = names.via(&CLERK);
    let application = names.application().unwrap();
    let (answer, stopped) =
        tokio::join!(via.call(Question, Duration::from_secs(60)), application.terminate_child("clerk"));
    assert!(answer.is_err() && stopped.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_successor_gets_the_name_when_its_check_has_succeeded() {
    let (_registry, names) = test_registry().await;
    let open = watch::Sender::new(true);
    names.supervise(clerk(&names, &open)).await.unwrap();
    let first = names.lookup(&CLERK).unwrap().get_id();
    let successor = |result: fn() -> Result<(), BoxError>| {
        let gate = open.subscribe();
        let check = move |_: ActorCell| ready(result());
        let registration = names.measured(foundation::names::Measurement::default()).hand_over_when(check);
        registration.child_spec(&CLERK, move || (Clerk(gate.clone()), ()))
    };
    let refused = names.replace(successor(|| Err("no pen".into()))).await.unwrap_err();
    assert!(refused.to_string().contains("no pen"), "{refused}");
    let panicked = names.replace(successor(|| panic!("no luck"))).await.unwrap_err();
    assert!(panicked.to_string().contains("no luck"), "{panicked}");
    assert_eq!(names.lookup(&CLERK).unwrap().get_id(), first);

    let second = names.replace(successor(|| Ok(()))).await.unwrap().unwrap();
    assert_eq!(names.lookup(&CLERK).unwrap().get_id(), second.get_id());
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_ends_before_its_check_has_returned_does_not_get_the_name() {
    let (_registry, names) = test_registry().await;
    let open = watch::Sender::new(true);
    names.supervise(clerk(&names, &open)).await.unwrap();
    let first = names.lookup(&CLERK).unwrap().get_id();
    let successor = |ends: fn(&ActorCell), is_awaited: bool| {
        let gate = open.subscribe();
        let check = move |actor: ActorCell| async move {
            ends(&actor);
            if is_awaited {
                let _ = actor.wait(None).await;
                std::future::pending::<()>().await;
            }
            Ok(())
        };
        let registration = names.measured(foundation::names::Measurement::default()).hand_over_when(check);
        registration.child_spec(&CLERK, move || (Clerk(gate.clone()), ()))
    };
    type End = fn(&ActorCell);
    let ends: [(End, bool); 2] = [(ActorCell::kill, true), (|actor| drop(actor.drain()), false)];
    for (ends, is_awaited) in ends {
        let replaced = soon("the replacement", names.replace(successor(ends, is_awaited))).await;
        let error = replaced.unwrap_err().to_string();
        assert!(error.contains("it has ended, or is about to"), "{error}");
        assert_eq!(names.lookup(&CLERK).unwrap().get_id(), first);
        names.via(&CLERK).call(Question, Duration::from_secs(5)).await.unwrap();
    }
}
