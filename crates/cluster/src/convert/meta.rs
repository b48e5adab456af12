//! `metadata`, as far as it is read.

use engine::name::NamespacedName;
use engine::selector::Labels;
use engine::world::ANNOTATION_PREFIXES;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// Lean object metadata.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(default, deserialize_with = "super::nullable")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "super::nullable")]
    pub(crate) namespace: String,
    #[serde(default, deserialize_with = "super::nullable")]
    pub(crate) uid: String,
    #[serde(default, deserialize_with = "super::nullable")]
    pub(crate) resource_version: String,
    /// Creation time in seconds since 1970; none where it is absent or no time.
    #[serde(default, rename = "creationTimestamp", deserialize_with = "seconds")]
    pub(crate) created: Option<i64>,
    /// `deletionTimestamp` is set.
    #[serde(default, rename = "deletionTimestamp", deserialize_with = "is_some")]
    pub(crate) deleting: bool,
    #[serde(default, deserialize_with = "super::nullable")]
    pub(crate) labels: Labels,
    #[serde(default, deserialize_with = "super::nullable")]
    pub(crate) annotations: OurAnnotations,
}

impl Meta {
    /// Namespace and name.
    pub(crate) fn named(&self) -> NamespacedName {
        NamespacedName::new(self.namespace.clone(), self.name.clone())
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let time = text.and_then(|text| text.parse::<Timestamp>().ok());
    Ok(time.map(Timestamp::as_second))
}

fn is_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// Annotations whose key has one of our prefixes; the others are never stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct OurAnnotations(pub(crate) BTreeMap<String, String>);

/// Whether an annotation is kept.
pub(super) fn is_ours(key: &str) -> bool {
    ANNOTATION_PREFIXES
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

impl<'de> Deserialize<'de> for OurAnnotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ours;
        impl<'de> Visitor<'de> for Ours {
            type Value = OurAnnotations;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut kept = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if is_ours(&key) {
                        kept.insert(key, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(OurAnnotations(kept))
            }
        }
        deserializer.deserialize_map(Ours)
    }
}
