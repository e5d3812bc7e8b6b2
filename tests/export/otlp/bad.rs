//! A receiver that is bad for long: nothing grows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation_export::{ExportRetry, ExporterSpec, Exports};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::receiver::{Answer, Receiver};
use crate::setup::{LONG, StoppedClock, every, start};

const TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that a receiver can do wrong, over and over.
async fn bad() -> Receiver {
    let asked = AtomicUsize::new(0);
    Receiver::answering(move || match asked.fetch_add(1, Ordering::Relaxed) % 7 {
        0 => Answer::Status(503, "retry-after: 1\r\n", vec![0; 1_000]),
        1 => Answer::Never,
        2 => Answer::Garbage,
        3 => Answer::Reset,
        4 => Answer::Endless,
        5 => Answer::status(413),
        _ => Answer::RefuseSome(1, "x".repeat(10_000)),
    })
    .await
}

fn spec(receiver: &Receiver, seconds: u64) -> ExporterSpec {
    let exporter = receiver.exporter();
    let retry = ExportRetry::attempts(1);
    ExporterSpec::new(move || exporter.clone()).schedule(every(seconds)).timeout(TIMEOUT).retry(retry)
}

/// Exports at once, and lets the time-out pass if the receiver never answers.
async fn export(exports: &Exports, receiver: &mut Receiver) -> Duration {
    let begun = Instant::now();
    let mut outcome = std::pin::pin!(exports.now("collector", LONG));
    loop {
        tokio::select! {
            // It may have failed.
            _outcome = &mut outcome => return begun.elapsed(),
            Some(asked) = receiver.asked.recv() => {
                if asked.answer == Answer::Never {
                    tokio::time::advance(TIMEOUT).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_a_bad_receiver_leave_no_connection_and_no_task() {
    let _clock = StoppedClock::new();
    let (_foundation, exports) = start().await;
    let mut receiver = bad().await;
    exports.register("collector", spec(&receiver, 10)).await.unwrap();
    let begun = Instant::now();
    export(&exports, &mut receiver).await;
    receiver.connections.wait_for(|open| *open == 0).await.unwrap();
    let tasks = Handle::current().metrics().num_alive_tasks();
    while begun.elapsed() < Duration::from_secs(600) {
        // One is due by its schedule meanwhile; it is over when the next one is.
        tokio::time::advance(Duration::from_secs(10)).await;
        export(&exports, &mut receiver).await;
    }
    receiver.connections.wait_for(|open| *open == 0).await.unwrap();
    let stats = exports.stats("collector").unwrap();
    assert!(stats.attempts >= 80 && stats.failures > 60 && stats.successes >= 10, "{stats:?}");
    assert_eq!(stats.attempts, stats.failures + stats.successes);
    assert!(stats.last_rejection.unwrap().len() < 1_000);
    let after = Handle::current().metrics().num_alive_tasks();
    // Those of the receiver end a little after their connections.
    assert!(after <= tasks + 2, "{tasks} tasks before, {after} after");
}

/// In real time, beside no other test: it counts the open files of the process.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "takes a minute"]
async fn a_minute_of_a_bad_receiver_leaves_no_open_file_and_no_memory() {
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let kib = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let (_foundation, exports) = start().await;
    let mut receivers = Vec::new();
    for number in 0..8 {
        let receiver = bad().await;
        exports.register(&format!("collector_{number}"), short(&receiver)).await.unwrap();
        receivers.push(receiver);
    }
    let attempts = |exports: &Exports| exports.list().iter().map(|stats| stats.attempts).sum::<u64>();
    run(&mut receivers, Duration::from_secs(10)).await;
    let (files, memory, tasks) = (open_files(), kib(), Handle::current().metrics().num_alive_tasks());
    let before = attempts(&exports);
    run(&mut receivers, Duration::from_secs(60)).await;
    let (files_after, memory_after, after) = (open_files(), kib(), Handle::current().metrics().num_alive_tasks());
    let made = attempts(&exports) - before;
    println!(
        "{made} attempts; files {files} -> {files_after}, tasks {tasks} -> {after}, memory {memory} -> {memory_after} KiB"
    );
    assert!(made > 1_000, "{made}");
    // What is under way at both moments: a connection has two ends here, and a task of the receiver.
    assert!(files_after <= files + 16 && after <= tasks + 16);
    assert!(memory_after < memory + 4 * 1_024);
}

#[cfg(target_os = "linux")]
fn short(receiver: &Receiver) -> ExporterSpec {
    let schedule = foundation_export::ExportSchedule::every(Duration::from_millis(100)).unwrap();
    spec(receiver, 1).schedule(schedule).retry(ExportRetry::attempts(4).first_delay(Duration::from_millis(10)))
}

/// Takes note of what receivers are asked, for so long.
#[cfg(target_os = "linux")]
async fn run(receivers: &mut [Receiver], time: Duration) {
    let asked = receivers.iter_mut().map(|receiver| async { while receiver.asked.recv().await.is_some() {} });
    let all = futures::future::join_all(asked);
    // Receivers go on for as long as they are there.
    drop(tokio::time::timeout(time, all).await);
}
