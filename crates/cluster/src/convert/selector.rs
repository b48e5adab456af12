//! Label selectors; unchecked, `engine::selector` parses them.

use engine::selector::{LabelSelector, Requirement};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

pub(super) fn selector(from: meta::LabelSelector) -> LabelSelector {
    LabelSelector {
        match_labels: from.match_labels.unwrap_or_default(),
        match_expressions: from
            .match_expressions
            .unwrap_or_default()
            .into_iter()
            .map(|requirement| Requirement {
                key: requirement.key,
                operator: requirement.operator,
                values: requirement.values.unwrap_or_default(),
            })
            .collect(),
    }
}

pub(super) fn selectors(from: Vec<meta::LabelSelector>) -> Vec<LabelSelector> {
    from.into_iter().map(selector).collect()
}
