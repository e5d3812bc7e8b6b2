//! The child as its parent sees it.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::mark::Acknowledged;

/// The environment variable that makes this binary play the child.
pub(crate) const CHILD: &str = "FOUNDATION_CRASH_CHILD";

/// The output of a child.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) failures: Vec<String>,
}

impl Output {
    fn line(&mut self, line: &str) {
        if let Some(output) = line.strip_prefix("ack ") {
            self.acknowledged.push(serde_json::from_str(output).unwrap());
        } else if let Some(failure) = line.strip_prefix("failed ") {
            self.failures.push(failure.to_owned());
        }
    }

    /// The output until it ends by itself.
    pub(crate) fn until_the_end(mut child: Child) -> Self {
        let mut output = Self::default();
        lines(&mut child).iter().for_each(|line| output.line(&line));
        child.wait().unwrap();
        output
    }

    /// The output until it is killed after this time, with the part that was not read by then.
    pub(crate) fn until_killed(mut child: Child, after: Duration) -> Self {
        let (lines, end) = (lines(&mut child), Instant::now() + after);
        let mut output = Self::default();
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => output.line(&line),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => panic!("the child has ended by itself: {:?}", output.failures),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.iter().for_each(|line| output.line(&line));
        output
    }
}

/// Starts a child, through a shell if there is one.
pub(crate) fn start(shell: Option<&str>, life: u32, directory: &Path) -> Child {
    let this = env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(this),
        Some(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]).arg(this);
            command
        }
    };
    command.args(["--exact", "child", "--nocapture", "--quiet"]).env(CHILD, format!("{life} {}", directory.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn lines(child: &mut Child) -> Receiver<String> {
    let (to_parent, lines) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        // The last line of a killed child may have been cut.
        for line in output.lines().map_while(Result::ok) {
            if to_parent.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
