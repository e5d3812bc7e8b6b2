/// What became of a change of the configuration, for a program that counts them
/// ([`ConfigServer::child_spec_with`](crate::ConfigServer::child_spec_with)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigOutcome {
    /// A change was made: by a request, by a reload, or because its record was found later, for example at the start.
    Made,
    /// A change could not be recorded and is made all the same, as [`Audit::BestEffort`](crate::Audit::BestEffort)
    /// says; [`Made`](Self::Made) follows.
    Unrecorded,
    /// A change was refused or could not be recorded, and is not made.
    Refused,
    /// The event store has not answered whether it has recorded a change: it is made later if it was recorded, and
    /// [`Made`](Self::Made) follows then.
    Unanswered,
    /// The overrides could not be recorded anew, so the event store keeps older events than its retention says.
    CheckpointFailed,
}
