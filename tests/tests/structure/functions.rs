//! Functions that are too long to be read at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::visit::{self, Visit};
use syn::{Block, Ident, ImplItemFn, Item, ItemFn, TraitItemFn};

use crate::sources::{Crate, is_for_tests};

/// Most lines a function's body may have, without blank lines and comments.
const MOST: usize = 60;

/// The functions of some files that are longer than that: the file, the function, its lines.
pub(crate) fn too_long(files: &BTreeSet<PathBuf>, tree: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)?;
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let mut reader = Reader {
            lines: text.lines().collect(),
            long: Vec::new(),
        };
        reader.visit_file(&parsed);
        let file = file.strip_prefix(tree).unwrap_or(file).display();
        let long = reader.long.iter();
        found.extend(long.map(|(name, lines)| format!("{file}: {name}: {lines} lines")));
    }
    Ok(found)
}

/// The files of a crate but those that only its unit tests have.
pub(crate) fn files(root: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    let modules = Crate::read(root)?.modules;
    Ok(modules.into_iter().map(|module| module.file))
}

/// Collects the long functions of one file.
struct Reader<'t> {
    lines: Vec<&'t str>,
    long: Vec<(String, usize)>,
}

impl Reader<'_> {
    fn measure(&mut self, name: &Ident, body: &Block) {
        let braces = body.brace_token.span;
        let (begin, end) = (braces.open().end().line, braces.close().start().line);
        let body = self.lines.get(begin..end.saturating_sub(1));
        let counts = |line: &&&str| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        };
        let count = body.unwrap_or_default().iter().filter(counts).count();
        if count > MOST {
            self.long.push((name.to_string(), count));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.measure(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !item.attrs.iter().any(is_for_tests) {
            self.measure(&item.sig.ident, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig.ident, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}
