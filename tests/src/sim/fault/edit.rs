//! What people write into the cluster: Services, pools, advertisements, what they say of Nodes.

use super::Fault;
use crate::sim::Sim;
use crate::sim::cluster::{Said, node_object, pod_name, pool_object, slice};
use crate::sim::server::{NAMESPACE, stored};
use engine::name::NamespacedName;
use engine::world::{Change, Delta, MOVE_ANNOTATION, Service};

impl Sim {
    pub(super) fn apply_edit(&mut self, fault: Fault) -> Option<Fault> {
        let service = self.a_service();
        match &fault {
            Fault::ServiceAdd => {
                let ipv6 = self.server.truth.pools.len() > 1;
                let (service, slice) = self.draw_service(ipv6);
                self.edit(slice);
                self.edit(Change::Service(Delta::Upsert(stored(service))));
                return None;
            }
            Fault::ServiceDelete => {
                self.edit(Change::Service(Delta::Delete(service?.name.clone())));
                return None;
            }
            Fault::ServiceRecreate => {
                let old = service?;
                self.edit(Change::Service(Delta::Delete(old.name.clone())));
                self.boots += 1;
                let again = Service {
                    uid: format!("uid-{}", self.boots),
                    ingress: Vec::new(),
                    annotations: Default::default(),
                    created: Some(1_000 + self.boots as i64),
                    ..old
                };
                self.edit(Change::Service(Delta::Upsert(stored(again))));
                return None;
            }
            Fault::ServiceEdit => {
                self.edit_service(service?);
                return None;
            }
            Fault::Endpoints(service) => self.edit(slice(service, &[], false)),
            Fault::PoolEdit => {
                let end = self.random.range(12, 40);
                let other = self.random.range(50, 60);
                let ranges = match self.random.below(3) {
                    0 => vec![format!("10.0.0.10-10.0.0.{end}")],
                    1 => vec![format!("10.0.0.{end}-10.0.0.{other}")],
                    _ => vec!["10.0.0.10-10.0.0.90".to_owned()],
                };
                self.edit(pool_object("main", &ranges));
                return None;
            }
            Fault::AdvertisementEdit => {
                let name = NamespacedName::new(NAMESPACE, "all");
                self.edit(Change::L2Advertisement(Delta::Delete(name)));
            }
            Fault::Exclude(node) => {
                let name = self.nodes[*node].name.clone();
                self.edit(node_object(
                    &name,
                    Said {
                        excluded: true,
                        ..Said::default()
                    },
                ));
            }
            Fault::Unavailable(node) => {
                let name = self.nodes[*node].name.clone();
                self.edit(node_object(
                    &name,
                    Said {
                        unavailable: true,
                        ..Said::default()
                    },
                ));
            }
            Fault::Maintenance(node) => {
                let name = self.nodes[*node].name.clone();
                let said = Said {
                    maintenance: true,
                    ..Said::default()
                };
                self.edit(node_object(&name, said));
            }
            Fault::Move(name, node) => self.set_move(name, Some(*node)),
            Fault::NodeLeaves(node) => {
                self.stop_process(*node);
                let name = self.nodes[*node].name.clone();
                self.edit(Change::Pod(Delta::Delete(pod_name(&name))));
                self.edit(Change::Node(Delta::Delete(NamespacedName::new("", name))));
            }
            _ => return None,
        }
        Some(fault)
    }

    /// A user changes his mind about type, address or sharing.
    fn edit_service(&mut self, mut service: Service) {
        match self.random.below(3) {
            0 => service.load_balancer = !service.load_balancer,
            1 => {
                let wish = format!("10.0.0.{}", self.random.range(8, 40));
                service
                    .annotations
                    .insert("metallb.io/loadBalancerIPs".to_owned(), wish);
            }
            _ => {
                service.annotations.remove("metallb.io/loadBalancerIPs");
                service.annotations.remove("metallb.io/allow-shared-ip");
            }
        }
        self.edit(Change::Service(Delta::Upsert(stored(service))));
    }

    /// A person moves a Service to a node, or takes the word back.
    pub(super) fn set_move(&mut self, name: &NamespacedName, node: Option<usize>) {
        let Some(known) = self.server.truth.services.get(name) else {
            return;
        };
        let mut service = (*known.object).clone();
        let key = MOVE_ANNOTATION.to_owned();
        match node {
            Some(node) => {
                let target = self.nodes[node].name.clone();
                service.annotations.insert(key, target);
            }
            None => {
                service.annotations.remove(&key);
            }
        }
        self.edit(Change::Service(Delta::Upsert(stored(service))));
    }
}
