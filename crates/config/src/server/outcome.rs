/// What became of a change of the configuration, for a program that counts them
/// ([`ConfigServer::child_spec_with`](crate::ConfigServer::child_spec_with)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigOutcome {
    /// A change was applied: by a request, by a reload, or because its record was found later, for example at the start.
    Applied,
    /// A change could not be recorded and is applied all the same, as [`Audit::BestEffort`](crate::Audit::BestEffort)
    /// says; [`Applied`](Self::Applied) follows.
    Unrecorded,
    /// A change was refused or could not be recorded, and is not applied.
    Refused,
    /// The event store has not answered whether it has recorded a change: it is applied later if it was recorded, and
    /// [`Applied`](Self::Applied) follows then.
    Unanswered,
    /// The overrides could not be recorded anew, so the event store keeps older events than its retention says.
    CheckpointFailed,
}
