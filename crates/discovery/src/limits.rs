//! The limits of what an instance says of itself, of its checks, and of how many there are, in one table.
//!
//! | what | limit |
//! |---|---|
//! | id | [`MAX_ID`], and with its service the 128 bytes of a name |
//! | version | [`MAX_VERSION`] |
//! | protocol, host | [`MAX_PROTOCOL`], [`MAX_HOST`] |
//! | region, zone | [`MAX_ZONE`], each |
//! | weight | 1 to [`MAX_WEIGHT`], without one [`DEFAULT_WEIGHT`] |
//! | capabilities | [`MAX_CAPABILITIES`] of [`MAX_CAPABILITY`] |
//! | labels | [`MAX_LABELS`] of [`MAX_LABEL_KEY`] and [`MAX_LABEL_VALUE`] |
//! | all of it, as JSON | [`MAX_INSTANCE`] |
//! | instances of a service | [`MAX_INSTANCES_PER_SERVICE`], as [set](crate::DiscoveryOptions::max_instances_per_service) |
//! | instances of a namespace | [`MAX_INSTANCES`], as [set](crate::DiscoveryOptions::max_instances) |
//! | unread changes of a watch | [`MAX_UNREAD_CHANGES`], as [set](crate::DiscoveryOptions::unread_changes) |
//! | checks of one instance | [`MAX_CHECKS`] |
//! | name of a check | [`MAX_CHECK_NAME`], beyond which it is shortened |
//! | text of a result, and reason of a status that is set | [`MAX_CHECK_TEXT`] |
//! | checks that are declared in a namespace | [`MAX_DECLARED_CHECKS`] |
//! | checks that run at the same time in a namespace | [`MAX_RUNNING_CHECKS`], of them [`MAX_RUNNING_UNPROVEN`] whose last run was no success |
//! | body of a response to a check by HTTP | [`MAX_HTTP_BODY`] |
//!
//! The number of capabilities and labels and the length as a whole can be [set](crate::DiscoveryOptions) lower for a namespace:
//! metadata beyond those of this table is none of an instance.

/// The longest id, in bytes.
pub const MAX_ID: usize = 63;
/// The longest text of a version, in bytes.
pub const MAX_VERSION: usize = 128;
/// The longest protocol of an endpoint, in bytes.
pub const MAX_PROTOCOL: usize = 32;
/// The longest host of an endpoint, in bytes: that of DNS.
pub const MAX_HOST: usize = 253;
/// The longest region, and the longest zone, in bytes.
pub const MAX_ZONE: usize = 63;
/// The largest weight.
pub const MAX_WEIGHT: u16 = 1_000;
/// The weight of an instance that states none.
pub const DEFAULT_WEIGHT: u16 = 100;
/// The largest number of capabilities.
pub const MAX_CAPABILITIES: usize = 32;
/// The longest name of a capability, in bytes.
pub const MAX_CAPABILITY: usize = 64;
/// The largest number of labels.
pub const MAX_LABELS: usize = 32;
/// The longest key of a label, in bytes.
pub const MAX_LABEL_KEY: usize = 64;
/// The longest value of a label, in bytes.
pub const MAX_LABEL_VALUE: usize = 200;
/// The longest instance, in bytes of JSON.
pub const MAX_INSTANCE: usize = 16 * 1_024;
/// The largest number of instances of one service, unless it is set.
pub const MAX_INSTANCES_PER_SERVICE: usize = 256;
/// The largest number of instances of a namespace, unless it is set.
pub const MAX_INSTANCES: usize = 4_096;
/// How many unread changes of names are kept for a watch, unless it is set.
pub const MAX_UNREAD_CHANGES: usize = 1_024;
/// The largest number of checks of one instance.
pub const MAX_CHECKS: usize = 16;
/// The longest name of a check, in bytes.
pub const MAX_CHECK_NAME: usize = 128;
/// The longest text of a result that is kept, in bytes; also of the reason of a status that is set.
pub const MAX_CHECK_TEXT: usize = 1_024;
/// The largest number of checks that are declared in one namespace.
pub const MAX_DECLARED_CHECKS: usize = 256;
/// The largest number of checks that run at the same time in one namespace.
pub const MAX_RUNNING_CHECKS: usize = 64;
/// The largest number of them whose last run was no success, or that have not run yet.
pub const MAX_RUNNING_UNPROVEN: usize = 32;
/// How much of the body of a response to a check by HTTP is read, in bytes.
pub const MAX_HTTP_BODY: usize = 64 * 1_024;

/// How many instances there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PlaceLimits {
    pub(crate) namespace: usize,
    pub(crate) service: usize,
}
