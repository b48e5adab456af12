//! A virtual API server: objects with versions, watches that lag, writes that fail.

use crate::alloc::tests::build::*;
use crate::controller::{Controller, ControllerConfig};
use crate::lease::Leadership;
use crate::name::NamespacedName;
use crate::world::{
    Change, ConfigurationState, Delta, Ingress, IpAddressPool, Origin, Secret, Service, Stored,
};
use crate::write::{Event, Outcome, ServiceStatus, Ticket, Write};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Server {
    pub(super) services: BTreeMap<NamespacedName, (Service, u64)>,
    pub(super) pools: BTreeMap<NamespacedName, IpAddressPool>,
    pub(super) states: BTreeMap<NamespacedName, ConfigurationState>,
    pub(super) secrets: BTreeMap<NamespacedName, Secret>,
    /// Everything that was done, in order.
    pub(super) done: Vec<Write>,
    pub(super) conflicts: usize,
    pub(super) events: Vec<Event>,
    /// Not yet shown by the watch.
    pub(super) watch: VecDeque<Change>,
    version: u64,
    pub(super) now: Instant,
    /// Two Services that may not share showed one address at some time.
    pub(super) doubled: bool,
}

impl Server {
    pub(super) fn new(pools: Vec<IpAddressPool>, services: Vec<Service>) -> Self {
        // The one reading of the clock that a test needs to have an Instant at all.
        #[allow(clippy::disallowed_methods)]
        let now = Instant::now();
        let mut server = Self {
            services: BTreeMap::new(),
            pools: pools.into_iter().map(|p| (p.name.clone(), p)).collect(),
            states: BTreeMap::new(),
            secrets: BTreeMap::new(),
            done: Vec::new(),
            conflicts: 0,
            events: Vec::new(),
            watch: VecDeque::new(),
            version: 0,
            now,
            doubled: false,
        };
        for service in services {
            server.put(service);
        }
        server.watch.clear();
        server
    }

    pub(super) fn config() -> ControllerConfig {
        ControllerConfig {
            secret_name: Some("memberlist".to_owned()),
            ..ControllerConfig::new(NAMESPACE)
        }
    }

    /// A controller with complete lists, leading for ever.
    pub(super) fn leader(&self) -> Controller {
        let mut controller = Controller::new(Self::config(), 1, self.now);
        let leadership = Leadership::Leader {
            epoch: 1,
            until: None,
        };
        controller.handle_leadership(&leadership, self.now);
        self.list(&mut controller, 1);
        controller
    }

    /// Lists everything to a controller.
    pub(super) fn list(&self, controller: &mut Controller, epoch: u64) {
        let services = self
            .services
            .values()
            .map(|(s, v)| versioned(s.clone(), *v))
            .collect();
        let plain = |objects| Delta::Reset { objects, epoch };
        let mut tell = |change| controller.handle_change(change, self.now);
        tell(Change::Namespace(Delta::Reset {
            objects: vec![stored(namespace("default", ""))],
            epoch,
        }));
        tell(Change::Pool(Delta::Reset {
            objects: self.pools.values().cloned().map(stored).collect(),
            epoch,
        }));
        tell(Change::Service(plain(services)));
        tell(Change::Secret(Delta::Reset {
            objects: self.secrets.values().cloned().map(stored).collect(),
            epoch,
        }));
        tell(Change::ConfigurationState(Delta::Reset {
            objects: self.states.values().cloned().map(stored).collect(),
            epoch,
        }));
    }

    pub(super) fn put(&mut self, service: Service) {
        self.version += 1;
        let name = service.name.clone();
        let change = versioned(service.clone(), self.version);
        self.services.insert(name, (service, self.version));
        self.watch.push_back(Change::Service(Delta::Upsert(change)));
    }

    /// The user edits a Service; its status stays.
    pub(super) fn edit(&mut self, service: Service) {
        let mut service = service;
        if let Some((old, _)) = self.services.get(&service.name) {
            service.ingress = old.ingress.clone();
            if let Some(pool) = old
                .annotations
                .get("metallb.io/ip-allocated-from-pool")
                .cloned()
            {
                service = service.of_pool(&pool);
            }
        }
        self.put(service);
    }

    pub(super) fn delete(&mut self, name: &str) {
        let name = NamespacedName::new("default", name);
        self.services.remove(&name);
        self.watch.push_back(Change::Service(Delta::Delete(name)));
    }

    pub(super) fn put_pool(&mut self, pool: IpAddressPool) {
        self.watch
            .push_back(Change::Pool(Delta::Upsert(stored(pool.clone()))));
        self.pools.insert(pool.name.clone(), pool);
    }

    /// Carries out one write.
    pub(super) fn apply(&mut self, write: &Write) -> Outcome {
        let outcome = match write {
            Write::ServiceStatus(status) => self.apply_status(status),
            Write::PoolStatus { name, status } => match self.pools.get(name).cloned() {
                Some(mut pool) => {
                    pool.status = Some(*status);
                    self.put_pool(pool);
                    Outcome::Done(None)
                }
                None => Outcome::NotFound,
            },
            Write::ConfigurationState(value) => {
                let state = ConfigurationState {
                    name: value.name.clone(),
                    result: value.result.to_owned(),
                    error_summary: value.error_summary.clone(),
                };
                self.states.insert(value.name.clone(), state.clone());
                let delta = Delta::Upsert(stored(state));
                self.watch.push_back(Change::ConfigurationState(delta));
                Outcome::Done(None)
            }
            Write::MembershipSecret(name) => {
                let secret = Secret {
                    name: name.clone(),
                    ..Secret::default()
                };
                self.secrets.insert(name.clone(), secret.clone());
                self.watch
                    .push_back(Change::Secret(Delta::Upsert(stored(secret))));
                Outcome::Done(None)
            }
            Write::Event(event) => {
                self.events.push(event.clone());
                Outcome::Done(None)
            }
            Write::L2Status { .. }
            | Write::DeleteL2Status(_)
            | Write::BgpStatus { .. }
            | Write::DeleteBgpStatus(_)
            | Write::SessionState(_)
            | Write::DeleteSessionState(_) => Outcome::NotFound,
        };
        match outcome {
            Outcome::Done(_) => self.done.push(write.clone()),
            _ => self.conflicts += 1,
        }
        outcome
    }

    fn apply_status(&mut self, status: &ServiceStatus) -> Outcome {
        let Some((service, version)) = self.services.get(&status.name).cloned() else {
            return Outcome::NotFound;
        };
        if version.to_string() != status.version || service.uid != status.uid {
            return Outcome::Conflict;
        }
        let mut service = service;
        service.ingress = status.addresses.iter().map(|a| ingress(*a)).collect();
        service
            .annotations
            .remove("metallb.io/ip-allocated-from-pool");
        if let Some(pool) = &status.pool {
            service = service.of_pool(pool);
        }
        self.put(service);
        self.doubled |= self.shows_doubles();
        Outcome::Done(Some(self.version.to_string()))
    }

    pub(super) fn shows_doubles(&self) -> bool {
        let mut seen: BTreeMap<IpAddr, &Service> = BTreeMap::new();
        self.services.values().any(|(service, _)| {
            service.addresses().any(|a| match seen.insert(a, service) {
                Some(other) => {
                    service.annotation("allow-shared-ip") != other.annotation("allow-shared-ip")
                        || service.annotation("allow-shared-ip").is_none()
                }
                None => false,
            })
        })
    }

    /// Shows everything the watch has, and lets the controller decide.
    pub(super) fn show(&mut self, controller: &mut Controller) {
        while let Some(change) = self.watch.pop_front() {
            controller.handle_change(change, self.now);
        }
        controller.turn(self.now);
    }

    /// Carries out what is due now.
    pub(super) fn write(&mut self, controller: &mut Controller) -> usize {
        let mut count = 0;
        while let Some((ticket, write)) = controller.poll_write(self.now) {
            let outcome = self.apply(&write);
            controller.handle_outcome(ticket, outcome, self.now);
            count += 1;
        }
        count
    }

    /// Until nothing is due any more; time passes as it must.
    pub(super) fn settle(&mut self, controller: &mut Controller) {
        for _ in 0..100_000 {
            self.show(controller);
            if self.write(controller) > 0 || !self.watch.is_empty() {
                continue;
            }
            match controller.poll_timeout() {
                Some(due) => {
                    self.now = self.now.max(due) + Duration::from_nanos(1);
                    controller.handle_timeout(self.now);
                }
                None => return,
            }
        }
        panic!("does not settle");
    }

    /// `name addresses pool` of each Service.
    pub(super) fn statuses(&self) -> Vec<String> {
        let line = |(service, _): &(Service, u64)| {
            let addresses: Vec<String> = service.addresses().map(|a| a.to_string()).collect();
            let pool = service.annotations.get("metallb.io/ip-allocated-from-pool");
            let pool = pool.map(String::as_str).unwrap_or("-");
            format!("{} {} {pool}", service.name.name, addresses.join(","))
        };
        self.services.values().map(line).collect()
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        let line = |e: &Event| format!("{} {}", e.service.name, e.reason);
        self.events.iter().map(line).collect()
    }

    /// Takes a write away without answering it.
    pub(super) fn take(&self, controller: &mut Controller) -> Option<(Ticket, Write)> {
        controller.poll_write(self.now)
    }
}

fn ingress(address: IpAddr) -> Ingress {
    Ingress {
        ip: Some(address),
        hostname: None,
        // As the server fills it in.
        ip_mode: Some("VIP".into()),
    }
}

fn versioned(service: Service, version: u64) -> Stored<Service> {
    Stored {
        object: Arc::new(service),
        origin: Origin {
            version: version.to_string(),
            source: None,
        },
    }
}
