//! The seal of each datagram: authenticated encryption under a key of the sender's boot.
//!
//! Owns the keys, our counter, and for each boot that sealed something correctly its window against replay. A datagram that does not
//! open leaves no state behind. Each boot seals under HKDF-SHA256 (RFC 5869) of secret, key id and boot id, with ChaCha20-Poly1305
//! (RFC 8439) and the counter as nonce; the header goes in the clear and is authenticated. So two boots never share a key, and one
//! boot never uses a counter twice.

use std::collections::BTreeMap;
use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use crate::event::DropReason;
use crate::identity::BootId;
use crate::message::{MAX_PAYLOAD_BYTES, Reader};
use crate::replay::Window;

/// The keys of the membership: the first seals, all open. To rotate, add the new one at the end on every node, then move it to the
/// front, then remove the old one.
#[derive(Clone, Default)]
pub struct Keys {
    list: Vec<Key>,
}

impl Keys {
    /// No key at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Keys from secrets, each of [`MIN_SECRET_BYTES`] or more arbitrary bytes; a repeated secret counts once.
    ///
    /// # Errors
    ///
    /// A secret that is too short, or more than [`MAX_KEYS`] of them. Nothing is kept.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, KeyError> {
        let mut list: Vec<Key> = Vec::new();
        for (index, secret) in secrets.into_iter().enumerate() {
            let secret = secret.as_ref();
            if secret.len() < MIN_SECRET_BYTES {
                return Err(KeyError::TooShort {
                    index,
                    bytes: secret.len(),
                });
            }
            let key = Key::new(secret);
            if !list.iter().any(|known| known.id == key.id) {
                list.push(key);
            }
            if list.len() > MAX_KEYS {
                return Err(KeyError::TooMany);
            }
        }
        Ok(Self { list })
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn find(&self, id: KeyId) -> Option<&Key> {
        self.list.iter().find(|key| key.id == id)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.list.len())
    }
}

/// Why keys were refused. The keys in use before stay in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// A secret is empty or too short.
    TooShort {
        /// Which one, from 0.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// More than [`MAX_KEYS`].
    TooMany,
    /// No key at all, while the membership runs sealed.
    Missing,
}

impl fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { index, bytes: 0 } => {
                write!(
                    formatter,
                    "membership key {index} is empty, at least {MIN_SECRET_BYTES} bytes are needed"
                )
            }
            Self::TooShort { index, bytes } => {
                write!(
                    formatter,
                    "membership key {index} has {bytes} bytes, at least {MIN_SECRET_BYTES} are needed"
                )
            }
            Self::TooMany => write!(formatter, "more than {MAX_KEYS} membership keys"),
            Self::Missing => {
                formatter.write_str("no membership key is left; the ones in use are kept")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// A datagram that opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) boot: BootId,
    pub(crate) payload: Vec<u8>,
}

/// A datagram that did not, and whether it names a key we do not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: DropReason,
    pub(crate) foreign_key: bool,
}

/// Seals what we send and opens what comes.
pub(crate) struct Seal {
    boot: BootId,
    keys: Keys,
    sending: Option<(KeyId, LessSafeKey)>,
    /// Grows by one with each datagram, over all keys, and never goes back.
    counter: u64,
    senders: BTreeMap<BootId, Sender>,
    uses: u64,
}

/// What is kept for a boot that has sealed something correctly.
struct Sender {
    window: Window,
    key_id: KeyId,
    key: LessSafeKey,
    last_use: u64,
}

impl Seal {
    pub(crate) fn new(boot: BootId, keys: Keys) -> Self {
        let mut seal = Self {
            boot,
            keys: Keys::none(),
            sending: None,
            counter: 0,
            senders: BTreeMap::new(),
            uses: 0,
        };
        seal.set_keys(keys);
        seal
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.sending.is_some()
    }

    /// Takes other keys. The counter and the windows go on.
    pub(crate) fn set_keys(&mut self, keys: Keys) {
        self.sending = keys
            .list
            .first()
            .map(|key| (key.id, key.for_boot(self.boot)));
        self.keys = keys;
    }

    /// Seals a payload, or writes it in the clear when there is no key. `None` when the counter is used up.
    pub(crate) fn seal(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        self.counter = self.counter.checked_add(1)?;
        let (version, key_id) = match &self.sending {
            Some((key_id, _)) => (VERSION_SEALED, *key_id),
            None => (VERSION_PLAIN, [0; 8]),
        };
        let mut datagram =
            Vec::with_capacity(HEADER_BYTES + payload.len() + CHACHA20_POLY1305.tag_len());
        datagram.push(version);
        datagram.extend_from_slice(&key_id);
        datagram.extend_from_slice(self.boot.as_bytes());
        datagram.extend_from_slice(&self.counter.to_be_bytes());
        let Some((_, key)) = &self.sending else {
            datagram.extend_from_slice(payload);
            return Some(datagram);
        };
        let mut body = payload.to_vec();
        key.seal_in_place_append_tag(nonce(self.counter), Aad::from(&datagram), &mut body)
            .ok()?;
        datagram.extend_from_slice(&body);
        Some(datagram)
    }

    /// Opens a datagram. State is kept only for one that opens.
    pub(crate) fn open(&mut self, datagram: &[u8]) -> Result<Opened, Refused> {
        if datagram.len() > MAX_DATAGRAM_BYTES {
            return Err(refused(DropReason::TooLong));
        }
        let (header, body) = datagram
            .split_at_checked(HEADER_BYTES)
            .ok_or(refused(DropReason::Malformed))?;
        let (version, key_id, boot, counter) =
            read_header(header).ok_or(refused(DropReason::Malformed))?;
        if version != VERSION_SEALED && version != VERSION_PLAIN {
            return Err(refused(DropReason::Malformed));
        }
        if (version == VERSION_SEALED) != self.is_keyed() {
            return Err(refused(DropReason::NotAllowed));
        }
        if boot == self.boot {
            return Err(refused(DropReason::FromSelf));
        }
        if version == VERSION_PLAIN {
            return Ok(Opened {
                boot,
                payload: body.to_vec(),
            });
        }
        let secret = self.keys.find(key_id).ok_or(Refused {
            reason: DropReason::Unsealed,
            foreign_key: true,
        })?;
        let known = self.senders.get(&boot);
        if !known
            .map_or(Window::default(), |sender| sender.window)
            .is_fresh(counter)
        {
            return Err(refused(DropReason::Replayed));
        }
        let fresh_key;
        let key = match known {
            Some(sender) if sender.key_id == key_id => &sender.key,
            _ => {
                fresh_key = secret.for_boot(boot);
                &fresh_key
            }
        };
        let mut payload = body.to_vec();
        let length = key
            .open_in_place(nonce(counter), Aad::from(header), &mut payload)
            .map_err(|_| refused(DropReason::Unsealed))?
            .len();
        payload.truncate(length);
        let key = key.clone();
        self.remember(boot, counter, key_id, key);
        Ok(Opened { boot, payload })
    }

    /// Marks a counter of a boot whose datagram has just opened.
    ///
    /// The window of a former boot of a node is not thrown away when a newer one shows up: without it, a recorded datagram of the
    /// former would look like a living rival. The table is bounded instead, and the longest unused goes first; by then the rank of
    /// the name (`membership`) keeps old boots out.
    fn remember(&mut self, boot: BootId, counter: u64, key_id: KeyId, key: LessSafeKey) {
        self.uses += 1;
        if !self.senders.contains_key(&boot) && self.senders.len() >= MAX_SENDERS {
            let oldest = self
                .senders
                .iter()
                .min_by_key(|(_, sender)| sender.last_use)
                .map(|(boot, _)| *boot);
            oldest.and_then(|boot| self.senders.remove(&boot));
        }
        let last_use = self.uses;
        let sender = self.senders.entry(boot).or_insert(Sender {
            window: Window::default(),
            key_id,
            key: key.clone(),
            last_use,
        });
        sender.window.mark(counter);
        sender.last_use = last_use;
        if sender.key_id != key_id {
            (sender.key_id, sender.key) = (key_id, key);
        }
    }

    #[cfg(test)]
    pub(crate) fn skip(&mut self, counters: u64) {
        self.counter += counters;
    }

    #[cfg(test)]
    pub(crate) fn senders(&self) -> usize {
        self.senders.len()
    }
}

/// One secret, after the extract step of HKDF; the secret itself is not kept.
#[derive(Clone)]
struct Key {
    id: KeyId,
    extracted: Prk,
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let extracted = Salt::new(HKDF_SHA256, SALT).extract(secret);
        let mut id = [0; 8];
        extracted
            .expand(&[LABEL_ID], Bytes(id.len()))
            .and_then(|material| material.fill(&mut id))
            .expect("8 bytes are within HKDF's limit of 255 hashes");
        Self { id, extracted }
    }

    fn for_boot(&self, boot: BootId) -> LessSafeKey {
        let info: [&[u8]; 3] = [LABEL_SEAL, &self.id, boot.as_bytes()];
        let material = self
            .extracted
            .expand(&info, &CHACHA20_POLY1305)
            .expect("32 bytes are within HKDF's limit of 255 hashes");
        LessSafeKey::new(UnboundKey::from(material))
    }
}

/// A length of derived bytes, as ring wants to be told it.
#[derive(Debug)]
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn refused(reason: DropReason) -> Refused {
    Refused {
        reason,
        foreign_key: false,
    }
}

fn read_header(header: &[u8]) -> Option<(u8, KeyId, BootId, u64)> {
    let mut reader = Reader::new(header);
    Some((
        reader.byte()?,
        reader.array()?,
        reader.boot()?,
        reader.u64()?,
    ))
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (_, low) = bytes.split_at_mut(NONCE_LEN - 8);
    low.copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

type KeyId = [u8; 8];

const VERSION_PLAIN: u8 = 0;
const VERSION_SEALED: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 16 + 8;
const TAG_BYTES: usize = 16;
const SALT: &[u8] = b"harbinger membership 1";
const LABEL_ID: &[u8] = b"key id";
const LABEL_SEAL: &[u8] = b"seal";

/// Bytes of a datagram with its seal. The socket's buffer should have one more, so that a longer one is seen as such.
pub const MAX_DATAGRAM_BYTES: usize = HEADER_BYTES + MAX_PAYLOAD_BYTES + TAG_BYTES;

/// Bytes a secret must have: 128 bits.
pub const MIN_SECRET_BYTES: usize = 16;

/// Keys at once: old, new, and two for a person's mistakes.
pub const MAX_KEYS: usize = 4;

/// Boots with a window (about 700 bytes each): all members twice over.
const MAX_SENDERS: usize = 2_048;

#[cfg(test)]
mod tests;
