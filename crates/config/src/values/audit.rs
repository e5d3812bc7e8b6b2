/// Whether a change at run time has to be recorded.
///
/// ```
/// use foundation_config_server::{Audit, ConfigSources};
///
/// let sources = ConfigSources::new().audit(Audit::BestEffort);
/// # let _ = sources;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audit {
    /// A change that cannot be recorded is not applied: `Ok` means recorded.
    #[default]
    Required,
    /// A change that is certainly not recorded is applied nevertheless, with a warning to `tracing`, the counter
    /// `config.updates_unrecorded`, and no event in the answer. It lasts as long as the namespace, and no longer.
    BestEffort,
}
