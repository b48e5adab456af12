//! Names of interfaces that are never used: MetalLB's list, or the user's (L2-42).
//!
//! Owns the patterns. Does not read the ConfigMap: the shell hands over its list.

use regex::{RegexSet, RegexSetBuilder};

/// MetalLB's default list, in its order.
pub const DEFAULT_EXCLUSION: [&str; 14] = [
    "^docker.*",
    "^cbr.*",
    "^dummy.*",
    "^virbr.*",
    "^lxcbr.*",
    "^veth.*",
    "^lo$",
    "^cali.*",
    "^tunl.*",
    "^flannel.*",
    "^kube-ipvs.*",
    "^cni.*",
    "^nodelocaldns.*",
    "^lxc.*",
];

/// LIMIT: patterns in one list; real lists have tens.
pub const PATTERNS_MAX: usize = 1_024;

/// LIMIT: bytes of one pattern; an interface name has 15.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// LIMIT: bytes of the compiled list, so that `a{1000}{1000}` is refused and not built.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// A checked list of patterns, joined by OR, unanchored unless written. Matching takes
/// time linear in the name, whatever the pattern.
#[derive(Clone, Debug)]
pub struct Exclusion {
    set: RegexSet,
}

impl Exclusion {
    /// Checks a list. On an error the caller keeps the list it has.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, String> {
        if patterns.len() > PATTERNS_MAX {
            return Err(format!(
                "{} patterns are more than {PATTERNS_MAX}",
                patterns.len()
            ));
        }
        for pattern in patterns.iter().map(AsRef::as_ref) {
            if pattern.len() > PATTERN_BYTES_MAX {
                return Err(format!(
                    "a pattern is longer than {PATTERN_BYTES_MAX} bytes"
                ));
            }
        }
        RegexSetBuilder::new(patterns)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map(|set| Self { set })
            .map_err(|error| one_line(&error.to_string()))
    }

    /// Excludes nothing.
    pub fn none() -> Self {
        Self {
            set: RegexSet::empty(),
        }
    }

    /// Whether a name is excluded.
    pub fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }

    /// The patterns as written.
    pub fn patterns(&self) -> &[String] {
        self.set.patterns()
    }
}

impl Default for Exclusion {
    /// MetalLB's list.
    fn default() -> Self {
        Self::parse(&DEFAULT_EXCLUSION).expect("the default patterns are valid")
    }
}

impl PartialEq for Exclusion {
    fn eq(&self, other: &Self) -> bool {
        self.patterns() == other.patterns()
    }
}

impl Eq for Exclusion {}

/// The library's errors draw a caret over several lines; a problem is one sentence.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
