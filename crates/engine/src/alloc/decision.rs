//! What is decided for one Service, in the words of `harbinger plan` (design/cli.md).

use super::Options;
use super::claim::Origin;
use super::text::{cut, listed, quoted_list};
use super::wish::{Complaint, Standing, Wish};
use crate::config::PoolSet;
use crate::world::Service;
use crate::write::EVENT_NOTE_BYTES_MAX;
use std::net::IpAddr;

/// What happens to a Service's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It has what it had.
    Kept,
    /// It had none.
    Assigned,
    /// A second family beside what it had.
    Added,
    /// Others than it had, also when only one of two could be kept.
    Reassigned,
    /// It had addresses, may not have them, and there are none to give.
    Cleared,
    /// It wants an address and gets none.
    Pending,
    /// Foreign class.
    Ignored,
    /// Not of type LoadBalancer and holds nothing.
    None,
}

impl Change {
    /// As the plan spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Assigned => "assigned",
            Self::Added => "added",
            Self::Reassigned => "reassigned",
            Self::Cleared => "cleared",
            Self::Pending => "pending",
            Self::Ignored => "ignored",
            Self::None => "none",
        }
    }
}

/// One event to be sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// MetalLB's reason.
    pub reason: &'static str,
    /// At most [`EVENT_NOTE_BYTES_MAX`] bytes.
    pub message: String,
}

/// What is decided for one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// `metadata.uid`.
    pub uid: String,
    /// The pool of its addresses.
    pub pool: Option<String>,
    /// Its addresses, in the order of the status.
    pub addresses: Vec<IpAddr>,
    /// The addresses its status shows.
    pub previous: Vec<IpAddr>,
    /// In one word.
    pub change: Change,
    /// For what is not well: the reason of the event.
    pub reason: Option<&'static str>,
    /// Its text.
    pub message: Option<String>,
    /// The status or the annotation differs from what it should be.
    pub write: bool,
    /// Events to send once the status is written (or at once when nothing is).
    pub events: Vec<Note>,
}

/// What serving a Service came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) origin: Option<Origin>,
    pub(super) lost: Vec<String>,
    pub(super) complaint: Option<Complaint>,
}

/// The status key that only this project and MetalLB write.
pub(super) const POOL_ANNOTATION: &str = "metallb.io/ip-allocated-from-pool";
const DEPRECATED_PREFIX: &str = "metallb.universe.tf/";

pub(super) fn decide(
    service: &Service,
    wish: &Wish,
    served: &Served,
    pools: &PoolSet,
    options: &Options,
) -> Decision {
    let mut previous: Vec<IpAddr> = service.addresses().collect();
    previous.shrink_to_fit();
    let pool = served.origin.as_ref().map(|o| o.name(pools).to_owned());
    let change = match wish.standing {
        Standing::Foreign => return ignored(service, previous),
        Standing::Plain if previous.is_empty() => Change::None,
        Standing::Plain => Change::Cleared,
        Standing::Ours => change(&previous, &served.addresses),
    };
    let write = differs(service, &served.addresses, pool.as_deref(), options);
    let lost = (!served.lost.is_empty() && matches!(change, Change::Reassigned | Change::Cleared))
        .then(|| clear_note(&previous, &served.lost));
    let complaint = served.complaint.as_ref().map(|complaint| Note {
        warning: complaint.warning,
        reason: complaint.reason,
        message: cut(&complaint.text, EVENT_NOTE_BYTES_MAX),
    });
    let bad = complaint.as_ref().or(lost.as_ref());
    let (reason, message) = (bad.map(|n| n.reason), bad.map(|n| n.message.clone()));
    let mut events = Vec::new();
    if write && wish.standing == Standing::Ours {
        events.extend(deprecated(service));
    }
    events.extend(lost);
    if matches!(
        change,
        Change::Assigned | Change::Added | Change::Reassigned
    ) {
        events.push(Note {
            warning: false,
            reason: "IPAllocated",
            message: format!("Assigned IP {}", quoted_list(&served.addresses)),
        });
    }
    events.extend(complaint);
    Decision {
        uid: service.uid.clone(),
        pool,
        addresses: served.addresses.clone(),
        previous,
        change,
        reason,
        message,
        write,
        events,
    }
}

fn ignored(service: &Service, previous: Vec<IpAddr>) -> Decision {
    Decision {
        uid: service.uid.clone(),
        pool: None,
        addresses: Vec::new(),
        previous,
        change: Change::Ignored,
        reason: None,
        message: None,
        write: false,
        events: Vec::new(),
    }
}

fn change(previous: &[IpAddr], addresses: &[IpAddr]) -> Change {
    let all_of = |some: &[IpAddr], of: &[IpAddr]| some.iter().all(|a| of.contains(a));
    match (previous.is_empty(), addresses.is_empty()) {
        (true, true) => Change::Pending,
        (false, true) => Change::Cleared,
        (true, false) => Change::Assigned,
        (false, false) if !all_of(previous, addresses) => Change::Reassigned,
        (false, false) if all_of(addresses, previous) => Change::Kept,
        (false, false) => Change::Added,
    }
}

/// Whether a write is needed. The server fills in `ipMode: VIP`, so a missing one is one.
/// A hostname beside the right addresses is no reason to write.
fn differs(service: &Service, addresses: &[IpAddr], pool: Option<&str>, options: &Options) -> bool {
    let seen = service.ingress.iter().filter(|entry| entry.ip.is_some());
    let right = seen
        .clone()
        .map(|entry| entry.ip)
        .eq(addresses.iter().copied().map(Some));
    let mode = seen
        .map(|entry| entry.ip_mode.as_deref().unwrap_or("VIP"))
        .all(|mode| mode == options.ip_mode);
    let only_hostnames = addresses.is_empty() && !service.ingress.is_empty();
    let annotation = service.annotations.get(POOL_ANNOTATION).map(String::as_str);
    !right || !mode || only_hostnames || annotation != pool
}

fn clear_note(previous: &[IpAddr], lost: &[String]) -> Note {
    let head = format!(
        "current IP {} not allowed by config, will attempt for new IP assignment",
        quoted_list(previous)
    );
    Note {
        warning: false,
        reason: "ClearAssignment",
        message: listed(&head, lost.iter().cloned()),
    }
}

fn deprecated(service: &Service) -> Option<Note> {
    let keys: Vec<&String> = service
        .annotations
        .keys()
        .filter(|key| key.starts_with(DEPRECATED_PREFIX))
        .collect();
    if keys.is_empty() {
        return None;
    }
    let head =
        format!("Annotations with the prefix {DEPRECATED_PREFIX} are deprecated, use metallb.io/");
    Some(Note {
        warning: true,
        reason: "deprecatedAnnotation",
        message: listed(&head, keys.into_iter().cloned()),
    })
}
