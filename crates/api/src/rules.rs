//! The rules that the API server checks (CEL).
//!
//! Owns their text. They are those of MetalLB's webhook checks that one object alone can decide
//! and that fit the server's cost budget; the rest are problems in ConfigurationState.

/// One rule of the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The kind it belongs to.
    pub kind: &'static str,
    /// The version of the kind.
    pub version: &'static str,
    /// Its name, unique in the kind and version; the twin in the engine has the same.
    pub id: &'static str,
    /// Where in the schema it stands, as in schema.tsv: `spec.addresses[]`.
    pub path: &'static str,
    /// What must be true of `self`, in CEL.
    pub expression: &'static str,
    /// What is said when it is not; names the field.
    pub message: &'static str,
}

/// All rules, by kind and version.
pub fn rules() -> &'static [Rule] {
    RULES
}

const RULES: &[Rule] = &[];
