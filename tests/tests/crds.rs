//! The definitions: equal to MetalLB's but for what is listed as added, fresh in `deploy/`, and
//! the check of `api` gives the verdicts of the table of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tests::metallb_shaped::metallb_crds;
use tests::schema_table::{Row, SCHEMA, Table, flatten, parse};
use tests::validation::{Expect, cases};

/// Each bound, pattern, rule and short name that MetalLB's definitions do not have.
const ADDED: &str = include_str!("../data/schema-added.txt");

/// What the table says in words about MetalLB's own rules, and our rules that say it.
const RULES_OF_THE_TABLE: [(&str, &str); 4] = [
    ("cannot be changed once set", "cannot be changed"),
    ("duration from 1 s to 65535 s", "from 1s to 65535s"),
    ("whole number of seconds", "a whole number of seconds"),
    (
        "non-empty serviceSelectors only with aggregationLength 32 or absent and aggregationLengthV6 128 or absent",
        "only with aggregationLength 32 and aggregationLengthV6 128",
    ),
];

fn by_name(table: &Table) -> BTreeMap<&str, &Row> {
    let rows = table.rows.iter().map(|row| (row.name.as_str(), row));
    rows.collect()
}

/// The word that starts a fact: bounds and patterns may be added, merge rules may not.
fn may_be_added(fact: &str) -> bool {
    ["max items ", "max length ", "pattern ", "rule "]
        .iter()
        .any(|start| fact.starts_with(start))
}

/// The facts that the table has and we have too, in our words.
fn in_our_words(theirs: &Row, ours: &Row) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for fact in &theirs.facts {
        let words = RULES_OF_THE_TABLE.iter().find(|(table, _)| table == fact);
        let Some((_, message)) = words else {
            facts.insert(fact.clone());
            continue;
        };
        let rule = ours.facts.iter().find(|it| it.ends_with(message));
        let rule = rule.unwrap_or_else(|| panic!("{}: no rule says {fact}", ours.name));
        facts.insert(rule.clone());
    }
    facts
}

/// Names, versions and columns: the same but for our short names and the conversion.
fn other_kind_lines(theirs: &Table, ours: &Table) -> BTreeSet<String> {
    let mut added = BTreeSet::new();
    let mut plain = BTreeSet::new();
    for line in &ours.kinds {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells[..] {
            ["kind", kind, .., short] => {
                added.insert(format!("{kind}: short name {short}"));
                plain.insert(format!("{}\t-", line.trim_end_matches(short).trim_end()));
            }
            ["conversion", kind, strategy] if !theirs.kinds.contains(line) => {
                added.insert(format!("{kind}: conversion {strategy}"));
                plain.insert(format!("conversion\t{kind}\tWebhook"));
            }
            _ => {
                plain.insert(line.clone());
            }
        }
    }
    assert_eq!(
        plain, theirs.kinds,
        "names, versions and columns are the same"
    );
    added
}

/// `selector PATH` in the list of what is added stands for these, below each path of a selector.
fn selector_facts(prefix: &str) -> Vec<String> {
    [
        ("matchExpressions", "max items 64"),
        ("matchExpressions[].key", "max length 317"),
        (
            "matchExpressions[].key",
            r"pattern ^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
        (
            "matchExpressions[].operator",
            "pattern ^(In|NotIn|Exists|DoesNotExist)$",
        ),
        ("matchExpressions[].values[]", "max length 63"),
        (
            "matchExpressions[].values[]",
            "pattern ^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        ),
        ("matchLabels.*", "max length 63"),
        (
            "matchLabels.*",
            "pattern ^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        ),
    ]
    .map(|(path, fact)| format!("{prefix}.{path}: {fact}"))
    .to_vec()
}

#[test]
fn definitions_equal_metallbs_but_for_what_is_listed() {
    let theirs = parse(SCHEMA);
    let mut crds = api::crds();
    crds.retain(|crd| crd.spec.group == api::GROUP);
    let ours = flatten(&crds);
    let mut added = BTreeSet::new();

    let their_rows = by_name(&theirs);
    let our_rows = by_name(&ours);
    let their_names: Vec<_> = their_rows.keys().collect();
    let our_names: Vec<_> = our_rows.keys().collect();
    assert_eq!(our_names, their_names, "the fields are the same");
    for (name, theirs) in their_rows {
        let ours = our_rows[name];
        assert_eq!(ours.shape, theirs.shape, "{name}: type and format");
        assert_eq!(ours.required, theirs.required, "{name}: required");
        assert_eq!(ours.values, theirs.values, "{name}: default, enum, bounds");
        let known = in_our_words(theirs, ours);
        let missing: Vec<_> = known.difference(&ours.facts).collect();
        assert!(missing.is_empty(), "{name}: without {missing:?}");
        for fact in ours.facts.difference(&known) {
            assert!(may_be_added(fact), "{name}: {fact} may not be added");
            added.insert(format!("{}: {fact}", name.replace('\t', " ")));
        }
    }

    added.extend(other_kind_lines(&theirs, &ours));
    let mut listed = BTreeSet::new();
    for line in ADDED
        .lines()
        .filter(|it| !it.is_empty() && !it.starts_with('#'))
    {
        match line.strip_prefix("selector ") {
            Some(prefix) => listed.extend(selector_facts(prefix)),
            None => {
                listed.insert(line.to_owned());
            }
        }
    }
    let unlisted: Vec<_> = added.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&added).collect();
    assert!(unlisted.is_empty(), "added and not listed: {unlisted:#?}");
    assert!(gone.is_empty(), "listed and not there: {gone:#?}");
}

#[test]
fn metallb_shaped_definitions_are_the_table() {
    let mut theirs = parse(SCHEMA);
    let mut shaped = flatten(&metallb_crds());
    assert_eq!(shaped.kinds, theirs.kinds);
    let unmark = |row: Row| Row {
        facts: row
            .facts
            .iter()
            .map(|it| it.strip_prefix("rule ").unwrap_or(it).to_owned())
            .collect(),
        ..row
    };
    shaped.rows = shaped.rows.into_iter().map(unmark).collect();
    theirs.rows = theirs.rows.into_iter().collect();
    assert_eq!(shaped.rows, theirs.rows);
}

#[test]
fn definitions_in_deploy_are_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/crds.yaml");
    let text = api::crds_yaml();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "deploy/base/crds.yaml is stale: run this test with UPDATE=1"
    );
}

#[test]
fn the_check_gives_the_verdicts_of_the_table() {
    let mut wrong = Vec::new();
    for mut case in cases() {
        api::apply_defaults(&case.kind, &case.version, &mut case.object);
        let errors = api::validate(&case.kind, &case.version, &case.object);
        let good = match &case.expect {
            Expect::Field(path) => errors.iter().any(|error| error.path == *path),
            Expect::Ok | Expect::Rule(_) => errors.is_empty(),
        };
        if !good {
            wrong.push(format!("{}: {:?}, not {errors:?}", case.is, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_the_check_takes_can_be_read() {
    for mut case in cases() {
        if matches!(case.expect, Expect::Field(_)) {
            continue;
        }
        api::apply_defaults(&case.kind, &case.version, &mut case.object);
        let error = match (case.kind.as_str(), case.version.as_str()) {
            ("BFDProfile", _) => read::<api::BFDProfile>(case.object),
            ("BGPAdvertisement", _) => read::<api::BGPAdvertisement>(case.object),
            ("BGPPeer", "v1beta1") => read::<api::v1beta1::BGPPeer>(case.object),
            // An absent spec is read as one without numbers, which the engine must refuse.
            ("BGPPeer", _) => read::<api::BGPPeer>(case.object),
            ("Community", _) => read::<api::Community>(case.object),
            ("ConfigurationState", _) => read::<api::ConfigurationState>(case.object),
            ("FrontProfile", _) => read::<api::FrontProfile>(case.object),
            ("IPAddressPool", _) => read::<api::IPAddressPool>(case.object),
            ("L2Advertisement", _) => read::<api::L2Advertisement>(case.object),
            ("ServiceBGPStatus", _) => read::<api::ServiceBGPStatus>(case.object),
            ("ServiceL2Status", _) => read::<api::ServiceL2Status>(case.object),
            (kind, _) => panic!("no type for {kind}"),
        };
        assert_eq!(error, None, "{}", case.is);
    }
}

fn read<T: serde::de::DeserializeOwned>(object: serde_json::Value) -> Option<String> {
    let read = serde_json::from_value::<T>(object);
    read.err().map(|error| error.to_string())
}

#[test]
fn every_rule_and_every_added_bound_has_a_good_and_a_bad_object() {
    let cases = cases();
    for rule in api::rules() {
        let bad = cases.iter().any(|case| {
            case.kind == rule.kind
                && case.version == rule.version
                && case.expect == Expect::Rule(rule.id.to_owned())
        });
        assert!(bad, "{} {} {}: no object", rule.kind, rule.version, rule.id);
    }
    for row in flatten(&api::crds()).rows {
        let facts = row.facts.iter().filter(|fact| fact.starts_with("max "));
        for fact in facts {
            let (kind, path) = row.name.split_once('\t').unwrap();
            let (version, path) = path.split_once('\t').unwrap();
            let path = path.replace("[]", "[0]").replace(".*", ".k");
            let bad = cases.iter().any(|case| {
                case.kind == kind
                    && case.version == version
                    && case.expect == Expect::Field(path.clone())
            });
            assert!(bad, "{}: {fact}: no object is refused for it", row.name);
        }
    }
}
