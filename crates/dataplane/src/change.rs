//! Changes of a ruleset, and what each does: the meaning that the kernel gives them.
//!
//! Owns [`Change`] and its application to a value. The cache of what the kernel holds and the model kernel of the tests
//! use the same code. Deliberately decides nothing.

use crate::ruleset::{
    Chain, ChainName, Expr, Family, Hook, Octets, Ruleset, Set, SetName, SetSpec, Table, Value,
};

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    /// Makes the table.
    AddTable { family: Family, owned: bool },
    /// Removes it with all that is in it.
    DeleteTable { family: Family },
    /// Makes an empty set.
    AddSet {
        family: Family,
        name: SetName,
        spec: SetSpec,
    },
    /// Removes a set that no rule uses.
    DeleteSet { family: Family, name: SetName },
    /// Makes an empty chain.
    AddChain {
        family: Family,
        name: ChainName,
        hook: Option<Hook>,
    },
    /// Removes all rules of a chain.
    FlushChain { family: Family, name: ChainName },
    /// Removes an empty chain to which nothing goes.
    DeleteChain { family: Family, name: ChainName },
    /// Adds a rule at the end.
    AddRule {
        family: Family,
        chain: ChainName,
        rule: Vec<Expr>,
    },
    /// Adds elements.
    AddElements {
        family: Family,
        set: SetName,
        interval: bool,
        elements: Vec<(Octets, Value)>,
    },
    /// Removes elements.
    DeleteElements {
        family: Family,
        set: SetName,
        interval: bool,
        keys: Vec<Octets>,
    },
}

impl Change {
    /// The family it is about.
    pub fn family(&self) -> Family {
        match self {
            Self::AddTable { family, .. }
            | Self::DeleteTable { family }
            | Self::AddSet { family, .. }
            | Self::DeleteSet { family, .. }
            | Self::AddChain { family, .. }
            | Self::FlushChain { family, .. }
            | Self::DeleteChain { family, .. }
            | Self::AddRule { family, .. }
            | Self::AddElements { family, .. }
            | Self::DeleteElements { family, .. } => *family,
        }
    }

    /// How many things it changes.
    pub fn weight(&self) -> usize {
        match self {
            Self::AddElements { elements, .. } => elements.len(),
            Self::DeleteElements { keys, .. } => keys.len(),
            Self::AddTable { .. }
            | Self::DeleteTable { .. }
            | Self::AddSet { .. }
            | Self::DeleteSet { .. }
            | Self::AddChain { .. }
            | Self::FlushChain { .. }
            | Self::DeleteChain { .. }
            | Self::AddRule { .. } => 1,
        }
    }

    /// What it does, in words, for error texts.
    pub fn describe(&self) -> String {
        match self {
            Self::AddTable { .. } => "make the table".to_owned(),
            Self::DeleteTable { .. } => "remove the table".to_owned(),
            Self::AddSet { name, .. } => format!("make set {name}"),
            Self::DeleteSet { name, .. } => format!("remove set {name}"),
            Self::AddChain { name, .. } => format!("make chain {name}"),
            Self::FlushChain { name, .. } => format!("empty chain {name}"),
            Self::DeleteChain { name, .. } => format!("remove chain {name}"),
            Self::AddRule { chain, .. } => format!("add a rule to chain {chain}"),
            Self::AddElements { set, elements, .. } => {
                format!("add {} elements to set {set}", elements.len())
            }
            Self::DeleteElements { set, keys, .. } => {
                format!("remove {} elements of set {set}", keys.len())
            }
        }
    }
}

/// Why a change does not fit a ruleset: what the kernel answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// `ENOENT`.
    Missing,
    /// `EEXIST`.
    Exists,
    /// `EBUSY`.
    Busy,
}

/// Applies changes one after the other. On a misfit the ruleset is as far as the changes before it: work on a copy.
///
/// # Errors
/// The number of the first change that does not fit, and why.
pub fn apply(ruleset: &mut Ruleset, changes: &[Change]) -> Result<(), (usize, Misfit)> {
    for (n, change) in changes.iter().enumerate() {
        step(ruleset, change).map_err(|misfit| (n, misfit))?;
    }
    Ok(())
}

fn step(ruleset: &mut Ruleset, change: &Change) -> Result<(), Misfit> {
    let tables = &mut ruleset.tables;
    match change {
        Change::AddTable { family, owned } => {
            let table = Table {
                owned: *owned,
                ..Table::default()
            };
            match tables.insert(*family, table) {
                Some(_) => Err(Misfit::Exists),
                None => Ok(()),
            }
        }
        Change::DeleteTable { family } => tables.remove(family).map(|_| ()).ok_or(Misfit::Missing),
        _ => {
            let table = tables.get_mut(&change.family()).ok_or(Misfit::Missing)?;
            match change {
                Change::AddElements { .. } | Change::DeleteElements { .. } => {
                    elements(table, change)
                }
                _ => structure(table, change),
            }
        }
    }
}

fn structure(table: &mut Table, change: &Change) -> Result<(), Misfit> {
    match change {
        Change::AddSet { name, spec, .. } => {
            let set = Set {
                spec: *spec,
                elements: Default::default(),
            };
            match table.sets.insert(name.clone(), set) {
                Some(_) => Err(Misfit::Exists),
                None => Ok(()),
            }
        }
        Change::DeleteSet { name, .. } => {
            let used =
                rules(table).any(|expr| matches!(expr, Expr::Lookup { set, .. } if set == name));
            if used {
                return Err(Misfit::Busy);
            }
            table.sets.remove(name).map(|_| ()).ok_or(Misfit::Missing)
        }
        Change::AddChain { name, hook, .. } => {
            let chain = Chain {
                hook: *hook,
                accepts: true,
                rules: Vec::new(),
            };
            match table.chains.insert(name.clone(), chain) {
                Some(_) => Err(Misfit::Exists),
                None => Ok(()),
            }
        }
        Change::FlushChain { name, .. } => {
            let chain = table.chains.get_mut(name).ok_or(Misfit::Missing)?;
            chain.rules.clear();
            Ok(())
        }
        Change::DeleteChain { name, .. } => {
            let chain = table.chains.get(name).ok_or(Misfit::Missing)?;
            if !chain.rules.is_empty() || goes_to(table, name) {
                return Err(Misfit::Busy);
            }
            table.chains.remove(name);
            Ok(())
        }
        Change::AddRule { chain, rule, .. } => {
            let known = rule.iter().all(|expr| match expr {
                Expr::Lookup { set, .. } => table.sets.contains_key(set),
                Expr::Goto(chain) => table.chains.contains_key(chain),
                _ => true,
            });
            let chain = table.chains.get_mut(chain).ok_or(Misfit::Missing)?;
            if !known {
                return Err(Misfit::Missing);
            }
            chain.rules.push(rule.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

fn rules(table: &Table) -> impl Iterator<Item = &Expr> {
    table.chains.values().flat_map(|c| c.rules.iter().flatten())
}

fn goes_to(table: &Table, name: &ChainName) -> bool {
    let by_rule = rules(table).any(|expr| matches!(expr, Expr::Goto(to) if to == name));
    // Only verdict maps lead to chains; slots and ports are not looked through.
    let by_map = table
        .sets
        .values()
        .filter(|s| s.spec.data_type == crate::ruleset::VERDICT)
        .flat_map(|s| s.elements.values())
        .any(|value| matches!(value, Value::Goto(to) if to == name));
    by_rule || by_map
}

fn elements(table: &mut Table, change: &Change) -> Result<(), Misfit> {
    match change {
        Change::AddElements { set, elements, .. } => {
            for (_, value) in elements {
                if let Value::Goto(chain) = value
                    && !table.chains.contains_key(chain)
                {
                    return Err(Misfit::Missing);
                }
            }
            let set = table.sets.get_mut(set).ok_or(Misfit::Missing)?;
            for (key, value) in elements {
                match set.elements.insert(key.clone(), value.clone()) {
                    Some(had) if had != *value => return Err(Misfit::Exists),
                    _ => {}
                }
            }
            Ok(())
        }
        Change::DeleteElements { set, keys, .. } => {
            let set = table.sets.get_mut(set).ok_or(Misfit::Missing)?;
            for key in keys {
                set.elements.remove(key).ok_or(Misfit::Missing)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
