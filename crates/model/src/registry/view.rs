//! What would be told.

use super::metadata::Metadata;
use crate::exit::ExitReason;

pub(crate) type Stated = Option<(u64, Metadata)>;

pub(crate) enum Fact<L> {
    Visible(L, Stated),
    Described(L, Stated),
    HandedOver { from: L, to: L, stated: Stated },
    Ended(L, End),
    Reason(L, ExitReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    TakenAway,
    Died,
    ReasonToCome,
}
