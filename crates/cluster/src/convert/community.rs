//! metallb.io Community.

use super::{Convert, FieldError, WithSpec};
use engine::name::Kind;
use engine::world::{Change, Community, Delta};

impl Convert for Community {
    const KIND: Kind = Kind::Community;
    type Raw = WithSpec<api::CommunitySpec>;

    fn convert(raw: Self::Raw) -> Result<Self, FieldError> {
        let aliases = raw.spec.communities.into_iter();
        Ok(Self {
            name: raw.metadata.named(),
            aliases: aliases
                .map(|alias| {
                    let (name, value) = (alias.name, alias.value);
                    (name.unwrap_or_default(), value.unwrap_or_default())
                })
                .collect(),
        })
    }

    fn change(delta: Delta<Self>) -> Change {
        Change::Community(delta)
    }
}
