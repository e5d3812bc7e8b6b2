//! Partitions that are task supervisors. A file of its own, so that neither of the two supervisors uses the other.

use super::PartitionSupervisorSpec;
use crate::supervisor::dynamic::DynamicSupervisorSpec;
use crate::supervisor::error::SpecError;
use crate::supervisor::partition::sealed::SlotHolder;
use crate::supervisor::task::TaskSupervisor;

impl PartitionSupervisorSpec<TaskSupervisor> {
    /// Partitions that are task supervisors.
    ///
    /// # Errors
    /// As [`workers`](PartitionSupervisorSpec::workers).
    pub fn task_supervisors(
        partitions: usize,
        spec: impl Fn(usize) -> DynamicSupervisorSpec + Send + Sync + 'static,
    ) -> Result<Self, SpecError> {
        Self::supervisors(partitions, spec)
    }
}

impl SlotHolder for TaskSupervisor {
    fn is_live(&self) -> bool {
        self.as_supervisor().is_live()
    }
}
