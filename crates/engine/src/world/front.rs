//! `harbinger.dev/v1alpha1` FrontProfile, as written; what is absent keeps its default.

use super::Object;
use crate::name::NamespacedName;
use crate::selector::LabelSelector;

/// How Services are fronted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontProfile {
    /// Its name.
    pub name: NamespacedName,
    /// `spec.serviceSelectors`.
    pub service_selectors: Vec<LabelSelector>,
    /// `spec.ipAddressPools`.
    pub pools: Vec<String>,
    /// `spec.mode`.
    pub mode: Option<String>,
    /// `spec.panic.policy`.
    pub panic: Option<String>,
    /// `spec.panic.threshold`.
    pub threshold: Option<i64>,
    /// `spec.weights`.
    pub weights: Option<String>,
    /// `spec.drainTimeout`.
    pub drain_timeout: Option<String>,
    /// `spec.slowStart`.
    pub slow_start: Option<String>,
    /// `spec.health.interval`.
    pub interval: Option<String>,
    /// `spec.health.timeout`.
    pub timeout: Option<String>,
    /// `spec.health.fall`.
    pub fall: Option<i64>,
    /// `spec.health.rise`.
    pub rise: Option<i64>,
    /// `spec.health.fastInterval`.
    pub fast_interval: Option<String>,
    /// `spec.health.slowInterval`.
    pub slow_interval: Option<String>,
}

impl Object for FrontProfile {
    fn name(&self) -> &NamespacedName {
        &self.name
    }
}
