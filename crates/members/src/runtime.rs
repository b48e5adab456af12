//! Where foca puts what it wants done: collected in a value and dealt with after the call.
//!
//! Owns nothing beyond one call of foca.

use std::net::SocketAddr;
use std::time::Duration;

use foca::{Notification, OwnedNotification, Timer};

use crate::identity::Identity;

/// What one call of foca asked for, in order.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) sends: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) timers: Vec<(Duration, Timer<Identity>)>,
    pub(crate) notifications: Vec<OwnedNotification<Identity>>,
}

impl foca::Runtime<Identity> for Wishes {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.notifications.push(notification.to_owned());
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to.address, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((after, event));
    }
}
