//! EndpointSlices by the Service they are of, for the election.
//!
//! Owns the two maps. Does not read what is in a slice.

use crate::compact::{Few, tighten, tighten_set};
use crate::name::NamespacedName;
use crate::world::EndpointSlice;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// EndpointSlices by the Service they are of.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    by_service: BTreeMap<NamespacedName, Few<Arc<EndpointSlice>>>,
    known: BTreeSet<ByName>,
}

impl Slices {
    pub(super) fn of(&self, service: &NamespacedName) -> &[Arc<EndpointSlice>] {
        self.by_service.get(service).map_or(&[], Few::as_slice)
    }

    pub(super) fn add(&mut self, slice: &Arc<EndpointSlice>) -> NamespacedName {
        let service = service_of(slice);
        let all = self.by_service.entry(service.clone()).or_default();
        all.push(Arc::clone(slice));
        self.known.replace(ByName(Arc::clone(slice)));
        service
    }

    /// All were added in the order of their names.
    pub(super) fn tighten(&mut self) {
        tighten(&mut self.by_service);
        tighten_set(&mut self.known);
    }

    /// Takes in what became of a slice; tells the Services it was and is of.
    pub(super) fn replace(
        &mut self,
        name: &NamespacedName,
        slice: Option<Arc<EndpointSlice>>,
    ) -> Vec<NamespacedName> {
        let mut services = Vec::new();
        if let Some(ByName(old)) = self.known.take(name) {
            let service = service_of(&old);
            if let Some(all) = self.by_service.get_mut(&service) {
                all.retain(|other| other.name != *name);
                if all.is_empty() {
                    self.by_service.remove(&service);
                }
            }
            services.push(service);
        }
        services.extend(slice.map(|slice| self.add(&slice)));
        services
    }
}

fn service_of(slice: &EndpointSlice) -> NamespacedName {
    NamespacedName::new(slice.name.namespace.clone(), slice.service.clone())
}

/// A slice kept by its own name, without a second copy of the name.
#[derive(Clone, Debug)]
struct ByName(Arc<EndpointSlice>);

impl Borrow<NamespacedName> for ByName {
    fn borrow(&self) -> &NamespacedName {
        &self.0.name
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.name.cmp(&other.0.name)
    }
}
