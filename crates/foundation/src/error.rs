use foundation_config_server::ConfigError;
use foundation_kernel::names::RegistryError;
use foundation_kernel::supervision::StartError;

/// Why a foundation did not start. Everything that had been started is stopped again and gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundationError {
    /// The configuration cannot be loaded.
    #[error("the configuration cannot be loaded: {0}")]
    Config(#[from] ConfigError),
    /// The registry did not start.
    #[error("the registry did not start: {0}")]
    Registry(#[from] StartError),
    /// A namespace's tree did not start.
    #[error(transparent)]
    Namespace(#[from] RegistryError),
    /// A kind of services is refused.
    #[cfg(feature = "managed")]
    #[error(transparent)]
    Kind(#[from] foundation_managed::KindError),
    /// The operating system refuses the signal handlers, or the runtime has no I/O.
    #[error("signals cannot be listened for: {0}")]
    Signals(#[from] std::io::Error),
}
