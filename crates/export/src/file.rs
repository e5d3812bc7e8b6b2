//! Exports into files.

use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::exporter::{ExportFault, Exported, Exporter, Target};
use crate::format::Format;

mod writing;

pub(crate) use writing::Writing;

/// Keeps the latest numbers in a file, which each export replaces as a whole: a reader sees the ones before or the new ones,
/// never a part.
///
/// It is written beside the file, with `.tmp` after its name, synced to the disk, and renamed. The directory has to be there. With
/// [`keep`](Self::keep) the files before stay, as `name.1`, `name.2`, and so on, the latest of them first.
///
/// ```
/// use foundation_export::{Csv, ExporterSpec, ExportSchedule, FileExporter};
///
/// let nightly = ExporterSpec::new(|| FileExporter::<Csv>::new("metrics.csv").keep(7))
///     .schedule(ExportSchedule::daily_at("02:00")?);
/// # let _ = nightly;
/// # Ok::<(), foundation_export::ScheduleError>(())
/// ```
#[derive(Debug)]
pub struct FileExporter<F> {
    path: PathBuf,
    keep: usize,
    writing: Writing,
    format: PhantomData<fn() -> F>,
}

impl<F: Format> FileExporter<F> {
    /// An exporter into this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), keep: 0, writing: Writing::default(), format: PhantomData }
    }

    /// Keeps so many of the files before.
    pub fn keep(self, files: usize) -> Self {
        Self { keep: files, ..self }
    }
}

impl<F: Format> Exporter for FileExporter<F> {
    const FORMAT: &'static str = F::NAME;

    fn target(&self) -> Target {
        Target::new(format_args!("file {}", self.path.display()))
    }

    async fn export(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
        let encoded = F::encoded(batch)?;
        let exported = Exported::new(encoded.as_bytes().len(), batch.series());
        let (path, keep) = (self.path.clone(), self.keep);
        self.writing.write(encoded, move |bytes| replace(&path, keep, bytes)).await?;
        Ok(exported)
    }
}

/// Writes a file beside the path and lets it take its place.
fn replace(path: &Path, keep: usize, bytes: &[u8]) -> io::Result<()> {
    let written = numbered(path, "tmp");
    let result = write_synced(&written, bytes).and_then(|()| take_place(path, keep, &written));
    if result.is_err() {
        // A full disk has room again.
        drop(remove_if_there(&written));
    }
    result
}

/// Without the sync, the renamed file may be empty after a loss of power.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Keeps the files before, and renames the one that was written.
fn take_place(path: &Path, keep: usize, written: &Path) -> io::Result<()> {
    let nth = |number: usize| numbered(path, &number.to_string());
    let kept = (1..keep).take_while(|number| nth(*number).exists()).count();
    for number in (1..=kept).rev() {
        std::fs::rename(nth(number), nth(number + 1))?;
    }
    if keep > 0 {
        // A link, so that there is a file under the name at every moment.
        let first = numbered(path, "1");
        remove_if_there(&first)?;
        match std::fs::hard_link(path, &first) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            linked => linked?,
        }
    }
    std::fs::rename(written, path)
}

fn numbered(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
