//! Peers in processes of their own.
//!
//! Such a process first writes a line `ROW<tab>PEER` for each row that it can measure, then an empty one. From then on
//! it answers each line `ROW<tab>OPERATIONS` with the nanoseconds that they took, or with `discarded NANOSECONDS`. In
//! between it only waits, so it disturbs no other contestant, and its repetitions take turns with theirs.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::sample::{Batch, Sample};

/// A process that measures peers. It ends when its input does.
pub(crate) struct External {
    process: Child,
    /// `None` once it has ended.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// The row and the peer.
    offers: Vec<(String, String)>,
}

impl External {
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let mut external = Self { process, input: Some(input), output: BufReader::new(output), offers: Vec::new() };
        loop {
            match external.read()?.split_once('\t') {
                Some((row, peer)) => external.offers.push((row.to_owned(), peer.to_owned())),
                None => return Ok(external),
            }
        }
    }

    /// The peer that measures this row, and a batch that makes it do so.
    pub(crate) fn contestant(&mut self, row: &str) -> Option<(String, Batch<'_>)> {
        let (row, peer) = self.offers.iter().find(|(offered, _)| offered == row)?.clone();
        let name = peer.clone();
        let batch = move |operations| match self.ask(&row, operations) {
            Ok(sample) => sample,
            Err(error) => panic!("the process that measures {row} for {peer} failed: {error}"),
        };
        Some((name, Box::new(batch)))
    }

    fn ask(&mut self, row: &str, operations: u64) -> io::Result<Sample> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{row}\t{operations}")?;
        input.flush()?;
        sample(&self.read()?)
    }

    fn read(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn sample(answer: &str) -> io::Result<Sample> {
    let unreadable = |_| io::Error::other(format!("it answered {answer:?}"));
    let nanoseconds = |text: &str| text.parse().map(Duration::from_nanos).map_err(unreadable);
    match answer.strip_prefix("discarded ") {
        Some(took) => nanoseconds(took).map(Sample::Discarded),
        None => nanoseconds(answer).map(Sample::Took),
    }
}

impl Drop for External {
    fn drop(&mut self) {
        self.input = None;
        // It ends by itself at the end of its input; its last output does not matter.
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_number_of_nanoseconds_that_may_be_discarded() {
        assert_eq!(sample("1500").unwrap(), Sample::Took(Duration::from_nanos(1_500)));
        assert_eq!(sample("discarded 7").unwrap(), Sample::Discarded(Duration::from_nanos(7)));
        assert!(sample("soon").unwrap_err().to_string().contains("soon"));
    }

    #[test]
    fn a_process_offers_rows_and_answers_questions() {
        let script = "printf 'lookup\\tcats\\n\\n'; while read -r row operations; do echo \"${operations}00\"; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut external = External::start(command).unwrap();
        assert!(external.contestant("restart").is_none());
        let (peer, mut batch) = external.contestant("lookup").unwrap();
        assert_eq!((peer.as_str(), batch(3)), ("cats", Sample::Took(Duration::from_nanos(300))));
    }

    #[test]
    fn a_process_that_ends_at_once_cannot_be_started() {
        assert!(External::start(Command::new("true")).is_err());
    }
}
