//! Events in a file, a line each.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foundation_events::Event;
use foundation_kernel::text::one_line;
use foundation_kernel::written::rfc3339;

use super::EventExporter;
use crate::encoded::{EncodeError, Encoded};
use crate::exporter::{ExportFault, Exported, Target};
use crate::file::Writing;
use crate::format::{Csv, CsvField, Format, Json};

/// A format that writes each event on a line of its own: [`Json`] (JSON Lines) and [`Csv`].
pub trait EventFormat: Format {
    /// The first line of a file, with its end; empty if there is none.
    const HEADINGS: &'static str;

    /// Writes the line of an event, which has its end and no other line end.
    ///
    /// # Errors
    /// Why the event cannot be written.
    fn write(event: &Event, to: &mut String) -> Result<(), EncodeError>;
}

impl EventFormat for Json {
    const HEADINGS: &'static str = "";

    fn write(event: &Event, to: &mut String) -> Result<(), EncodeError> {
        to.push_str(&serde_json::to_string(event).map_err(|error| EncodeError::new(Self::NAME, error))?);
        to.push('\n');
        Ok(())
    }
}

impl EventFormat for Csv {
    const HEADINGS: &'static str = "id,recorded_at,namespace,kind,source,correlation_id,causation_id,payload\r\n";

    fn write(event: &Event, to: &mut String) -> Result<(), EncodeError> {
        let Event { id, kind, namespace, recorded_at, correlation_id, .. } = event;
        let at = rfc3339::format(*recorded_at).unwrap_or_default();
        let source = event.source.as_ref().map(ToString::to_string).unwrap_or_default();
        let cause = event.causation_id.map(|id| id.to_string()).unwrap_or_default();
        let (source, payload) = (one_line(&source), event.payload.to_string());
        // Writing to a string cannot fail.
        let _ = write!(
            to,
            "{id},{at},{},{kind},{},{correlation_id},{cause},{}\r\n",
            CsvField(namespace),
            CsvField(&source),
            CsvField(&payload)
        );
        Ok(())
    }
}

/// Appends events to a file, which is made if it is not there. The directory has to be there.
///
/// A batch is on the disk before it is acknowledged. A line that a crash has cut short is removed before the next batch, whose first
/// event it is. The file grows until it is moved away: it is opened for each batch, so that one that was moved is
/// followed by a new one.
///
/// ```
/// use foundation_export::{EventFileExporter, ExporterSpec, Json};
///
/// let spec = ExporterSpec::of_events(|| EventFileExporter::<Json>::new("events.jsonl"));
/// # let _ = spec;
/// ```
#[derive(Debug)]
pub struct EventFileExporter<F> {
    path: PathBuf,
    writing: Writing,
    format: PhantomData<fn() -> F>,
}

impl<F: EventFormat> EventFileExporter<F> {
    /// An exporter into this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writing: Writing::default(), format: PhantomData }
    }
}

impl<F: EventFormat> EventExporter for EventFileExporter<F> {
    const FORMAT: &'static str = F::NAME;

    fn target(&self) -> Target {
        Target::new(format_args!("file {}", self.path.display()))
    }

    async fn export(&mut self, events: &[Arc<Event>]) -> Result<Exported, ExportFault> {
        let mut lines = String::new();
        events.iter().try_for_each(|event| F::write(event, &mut lines))?;
        let exported = Exported::new(lines.len(), events.len());
        let path = self.path.clone();
        self.writing.write(Encoded::from(lines), move |lines| append(&path, F::HEADINGS, lines)).await?;
        Ok(exported)
    }
}

/// Appends lines after the last whole line of a file, or leaves the file as it is.
fn append(path: &Path, headings: &str, lines: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let end = end_of_whole_lines(&mut file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    let headings = if end == 0 { headings } else { "" };
    let written = file.write_all(headings.as_bytes()).and_then(|()| file.write_all(lines));
    if let Err(error) = written.and_then(|()| file.sync_data()) {
        // A full disk has room for a shorter file.
        drop(file.set_len(end));
        return Err(error);
    }
    Ok(())
}

/// The position after the last line end of a file; 0 if there is none.
fn end_of_whole_lines(file: &mut File) -> io::Result<u64> {
    const PIECE: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut piece = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        file.seek(SeekFrom::Start(start))?;
        piece.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_the_last_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.csv");
        append(&path, "h\n", b"1\n2\n").unwrap();
        append(&path, "h\n", b"3\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "h\n1\n2\n3\n");
        let cut_short = format!("h\n1\n{}", "2".repeat(200_000));
        for (there, left) in [(&*cut_short, "h\n1\n2\n"), ("h", "h\n2\n"), ("", "h\n2\n")] {
            std::fs::write(&path, there).unwrap();
            append(&path, "h\n", b"2\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), left);
        }
    }
}
