//! Writes that outlive the attempts that wait for them.

use std::io;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::encoded::Encoded;
use crate::exporter::ExportFault;

/// What is being written, on a thread for work that blocks. It goes on when the attempt that waits for it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Writing(Option<(Encoded, JoinHandle<io::Result<()>>)>);

impl Writing {
    /// Writes bytes after those before, since two at once would write into each other. What a dropped attempt has written is not
    /// written again.
    pub(crate) async fn write(
        &mut self,
        bytes: Encoded,
        write: impl FnOnce(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<(), ExportFault> {
        if let Some((before, writing)) = &mut self.0 {
            let is_written = matches!(writing.await, Ok(Ok(()))) && *before == bytes;
            self.0 = None;
            if is_written {
                return Ok(());
            }
        }
        let written = bytes.clone();
        let (_, writing) = self.0.insert((bytes, spawn_blocking(move || write(written.as_bytes()))));
        let outcome = writing.await;
        self.0 = None;
        outcome.map_err(ExportFault::fatal)?.map_err(ExportFault::retry)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use futures::FutureExt;

    use super::*;

    /// A write that ends when it is allowed to, and notes its bytes.
    fn noted(allowed: Receiver<()>, notes: Sender<Vec<u8>>) -> impl FnOnce(&[u8]) -> io::Result<()> {
        move |bytes| {
            allowed.recv().map_err(io::Error::other)?;
            notes.send(bytes.to_vec()).map_err(io::Error::other)
        }
    }

    #[tokio::test]
    async fn what_a_dropped_attempt_has_written_is_not_written_again() {
        let ((notes, noted_bytes), mut writing) = (channel(), Writing::default());
        let attempt = |bytes: &str| (Encoded::from(bytes.to_owned()), channel());
        let (bytes, (allow, allowed)) = attempt("a");
        assert!(writing.write(bytes, noted(allowed, notes.clone())).now_or_never().is_none());
        allow.send(()).unwrap();
        for text in ["a", "b", "b"] {
            let (bytes, (allow, allowed)) = attempt(text);
            allow.send(()).unwrap();
            writing.write(bytes, noted(allowed, notes.clone())).await.unwrap();
        }
        assert_eq!(noted_bytes.try_iter().collect::<Vec<_>>(), [b"a", b"b", b"b"]);
    }

    #[tokio::test]
    async fn what_a_dropped_attempt_could_not_write_is_written_again() {
        let ((notes, noted_bytes), mut writing) = (channel(), Writing::default());
        let (allow, allowed) = channel();
        assert!(writing.write(Encoded::from(vec![1]), noted(allowed, notes.clone())).now_or_never().is_none());
        // It fails.
        drop(allow);
        let (allow, allowed) = channel();
        allow.send(()).unwrap();
        writing.write(Encoded::from(vec![1]), noted(allowed, notes.clone())).await.unwrap();
        assert_eq!(noted_bytes.try_iter().collect::<Vec<_>>(), [[1]]);
    }
}
