//! Circles of imports in a crate.
//!
//! A module and what lies below it belong together: a child may use what its parent has, and the parent what its children
//! have. Between the children of one parent, each with all that lies below it, there is an order: none may be in a circle.
//! What a parent re-exports counts as its child's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::path::Path;

use crate::sources::Crate;

/// Modules of one parent that take from each other in a circle.
pub(crate) struct Circle {
    /// Their parent's file and their names.
    pub(crate) name: String,
    /// Which file takes which names from which other file.
    ties: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        for ((taker, giver), names) in &self.ties {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            writeln!(f, "  {taker} -> {giver}: {}", names.join(", "))?;
        }
        Ok(())
    }
}

/// One import between two children of the same parent.
struct Import {
    taker: usize,
    giver: usize,
    files: (String, String),
    name: String,
}

/// All circles of a crate; files are named from `tree` on.
pub(crate) fn find(all: &Crate, tree: &Path) -> Vec<Circle> {
    let file = |module: usize| {
        let file = &all.modules[module].file;
        file.strip_prefix(tree)
            .unwrap_or(file)
            .display()
            .to_string()
    };
    let mut imports: BTreeMap<usize, Vec<Import>> = BTreeMap::new();
    for module in 0..all.modules.len() {
        for (from, name) in all.taken_by(module) {
            if let Some((parent, taker, giver)) = siblings(all, module, from) {
                imports.entry(parent).or_default().push(Import {
                    taker,
                    giver,
                    files: (file(module), file(from)),
                    name,
                });
            }
        }
    }
    let mut circles = Vec::new();
    for (parent, imports) in imports {
        for members in groups(&imports) {
            let mut names: Vec<&str> = members
                .iter()
                .map(|member| all.modules[*member].name.as_str())
                .collect();
            names.sort_unstable();
            let mut ties: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
            for import in &imports {
                if members.contains(&import.taker) && members.contains(&import.giver) {
                    ties.entry(import.files.clone())
                        .or_default()
                        .insert(import.name.clone());
                }
            }
            circles.push(Circle {
                name: format!("{}: {}", file(parent), names.join(", ")),
                ties,
            });
        }
    }
    circles
}

/// The closest parent of two modules, and which of its children each is or lies below. None if one lies below the other.
fn siblings(all: &Crate, left: usize, right: usize) -> Option<(usize, usize, usize)> {
    let line = |module: usize| {
        let above = |module: &usize| all.modules[*module].parent;
        let mut up: Vec<usize> = std::iter::successors(Some(module), above).collect();
        up.reverse();
        up
    };
    let (left, right) = (line(left), line(right));
    let common = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
    Some((left[common - 1], *left.get(common)?, *right.get(common)?))
}

/// Modules that reach each other.
fn groups(imports: &[Import]) -> BTreeSet<BTreeSet<usize>> {
    let reached = |from: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            let next = imports.iter().filter(|import| import.taker == at);
            open.extend(
                next.map(|import| import.giver)
                    .filter(|giver| seen.insert(*giver)),
            );
        }
        seen
    };
    let takers: BTreeSet<usize> = imports.iter().map(|import| import.taker).collect();
    let reached: BTreeMap<usize, BTreeSet<usize>> =
        takers.iter().map(|m| (*m, reached(*m))).collect();
    let circle_of = |module: &usize| {
        let both = reached[module]
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(module)));
        both.copied().collect::<BTreeSet<usize>>()
    };
    takers
        .iter()
        .map(circle_of)
        .filter(|circle| !circle.is_empty())
        .collect()
}
