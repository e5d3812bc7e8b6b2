/// Whether a change at run time has to be recorded.
///
/// ```
/// use foundation::{Audit, ConfigSources};
///
/// let sources = ConfigSources::new().audit(Audit::BestEffort);
/// # let _ = sources;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Audit {
    /// What cannot be recorded is not changed: `Ok` means recorded.
    #[default]
    Required,
    /// What is certainly not recorded is changed all the same, with a warning to `tracing`, the counter
    /// `config.updates_unrecorded`, and no event in the answer. It lasts as long as the namespace, and no longer.
    BestEffort,
}
