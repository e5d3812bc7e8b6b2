//! Thousands of tasks that are started, awaited, dropped, terminated and shut down from several threads at once.

use std::future::pending;
use std::time::Duration;

use foundation::ChildSpec;
use foundation::supervision::{Shutdown, TaskOptions, TaskStop};
use foundation_testkit::{soon, until_tasks_left};
use futures::StreamExt;
use tokio::task::yield_now;

use super::streams::at_a_time;
use super::{Crew, known, open};

fn ending(crew: &Crew) -> impl Future<Output = ()> + Send + use<> {
    let member = crew.join();
    async move {
        yield_now().await;
        drop(member);
    }
}

fn lasting(crew: &Crew) -> impl Future<Output = ()> + Send + use<> {
    let member = crew.join();
    async move {
        let _member = member;
        pending::<()>().await;
    }
}

/// One of the possible fates of a task.
async fn one(tasks: &foundation::supervision::TaskSupervisor, crew: &Crew, number: usize) {
    match number % 9 {
        0 => tasks.spawn(ending(crew)).await.unwrap().await.unwrap(),
        1 => drop(tasks.spawn(lasting(crew)).await.unwrap()),
        2 => drop(tasks.spawn(ending(crew)).await.unwrap()),
        3 => {
            let task = tasks.spawn_nolink(lasting(crew)).await.unwrap();
            tasks.terminate_child(task.id()).await.unwrap();
        }
        4 => {
            let mut spawn = Box::pin(tasks.spawn(lasting(crew)));
            let _ = futures::poll!(&mut spawn);
        }
        5 => {
            let task = tasks.spawn(lasting(crew)).await.unwrap();
            let _ = task.await_within(Duration::from_micros(50)).await.unwrap_err();
        }
        6 => {
            let work = {
                let member = crew.join();
                move |stop: TaskStop| async move {
                    stop.requested().await;
                    drop(member);
                }
            };
            let _ = tasks.spawn_with(TaskOptions::default(), work).await.unwrap().shutdown().await;
        }
        7 => {
            let crew = crew.clone();
            let spec = ChildSpec::task("child", move |_| ending(&crew)).shutdown(Shutdown::BrutalKill);
            tasks.start_child(spec).await.unwrap();
        }
        _ => {
            let crew = crew.clone();
            let stream = tasks.stream_with(at_a_time(3), 0.., move |n: u32| {
                let (ending, lasting) = (ending(&crew), lasting(&crew));
                async move { if n < 2 { ending.await } else { lasting.await } }
            });
            assert_eq!(stream.take(2).count().await, 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn task_8_thousands_of_tasks_leave_nothing_behind() {
    let (tasks, crew) = (open().await, Crew::new());
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (tasks, crew) = (tasks.clone(), crew.clone());
            tokio::spawn(async move {
                for number in 0..270 {
                    one(&tasks, &crew, client + number).await;
                }
            })
        })
        .collect();
    for client in clients {
        soon("a client", client).await.unwrap();
    }
    crew.is(0).await;
    known(&tasks, 0).await;
    assert!(crew.ever() > 2_000);
    soon("the shutdown", tasks.shutdown()).await;
    drop(tasks);
    until_tasks_left(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn task_8_a_shutdown_in_the_middle_of_everything_leaves_nothing_behind() {
    for round in 0..10 {
        let (tasks, crew) = (open().await, Crew::new());
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (tasks, crew) = (tasks.clone(), crew.clone());
                tokio::spawn(async move {
                    let mut held = Vec::new();
                    while let Ok(task) = tasks.spawn(lasting(&crew)).await {
                        held.push(task);
                        if held.len() > 20 {
                            drop(held.swap_remove(7));
                        }
                    }
                })
            })
            .collect();
        crew.ever_at_least(50 * (round + 1)).await;
        soon("the shutdown", tasks.shutdown()).await;
        for client in clients {
            soon("a client", client).await.unwrap();
        }
        assert_eq!(crew.now(), 0);
        drop(tasks);
        until_tasks_left(0).await;
    }
}
