//! A crate as its sources show it: its modules, and what each takes from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Ident, Item, ItemMod, ItemUse, Lit, Macro, Meta, UseTree};

/// The names of a path: `crate`, `report`, `Report`.
type Names = Vec<String>;

/// One module; the others know it by its place in [`Crate::modules`].
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// The names that `use` brings in, and the path that each stands for.
    imported: BTreeMap<String, Names>,
    /// Every path that is written in it, those of `use` among them.
    paths: BTreeSet<Names>,
}

/// All modules of one crate but those that only its unit tests have.
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

/// What a path leads to: a module of the crate, or an item of one.
struct Place {
    module: usize,
    item: Option<String>,
}

impl Crate {
    /// Reads a crate from its root file on.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut all = Self {
            modules: Vec::new(),
        };
        let folder = root.parent().context("a file lies in a folder")?;
        let module = Module {
            name: "crate".to_owned(),
            file: root.to_owned(),
            ..Module::default()
        };
        all.add_file(module, folder)?;
        Ok(all)
    }

    /// Adds a module that is a file of its own, and all below it. The files of its children lie in `folder`.
    fn add_file(&mut self, module: Module, folder: &Path) -> Result<usize> {
        let text = fs::read_to_string(&module.file);
        let text = text.with_context(|| module.file.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| module.file.display().to_string())?;
        self.add(module, folder, &parsed.items)
    }

    fn add(&mut self, module: Module, folder: &Path, items: &[Item]) -> Result<usize> {
        let (file, number) = (module.file.clone(), self.modules.len());
        let mut reader = Reader {
            module,
            children: Vec::new(),
        };
        items.iter().for_each(|item| reader.visit_item(item));
        self.modules.push(reader.module);
        for child in reader.children {
            let name = child.ident.to_string();
            let mut module = Module {
                name: name.clone(),
                file: file.clone(),
                parent: Some(number),
                ..Module::default()
            };
            let added = if let Some((_, items)) = &child.content {
                self.add(module, &folder.join(&name), items)?
            } else {
                let below = folder.join(&name);
                let places = match path_attribute(child) {
                    Some(path) => vec![file.with_file_name(path)],
                    None => vec![folder.join(format!("{name}.rs")), below.join("mod.rs")],
                };
                module.file = places
                    .into_iter()
                    .find(|file| file.exists())
                    .context(name)?;
                let moved = path_attribute(child).and(module.file.parent().map(Path::to_owned));
                self.add_file(module, &moved.unwrap_or(below))?
            };
            self.modules[number]
                .children
                .insert(child.ident.to_string(), added);
        }
        Ok(number)
    }

    /// What a module takes from others: the module, and the name there.
    pub(crate) fn taken_by(&self, module: usize) -> BTreeSet<(usize, String)> {
        let paths = self.modules[module].paths.iter();
        let places = paths.filter_map(|path| self.resolve(module, path, 0));
        places
            .filter(|place| place.module != module)
            .map(|place| {
                (
                    place.module,
                    place.item.unwrap_or_else(|| "itself".to_owned()),
                )
            })
            .collect()
    }

    /// Where a path leads that is written in a module. None: out of the crate, or to an item of the same module.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Place> {
        let mut module = from;
        for (number, name) in path.iter().enumerate() {
            let here = &self.modules[module];
            module = match name.as_str() {
                "crate" => 0,
                "self" => module,
                "super" => here.parent?,
                _ if here.children.contains_key(name) => here.children[name],
                // `use anyhow;` stands for itself: the limit ends that.
                _ if here.imported.contains_key(name) && depth < 8 => {
                    match self.resolve(module, &here.imported[name], depth + 1)? {
                        Place { module, item: None } => module,
                        place => return Some(place),
                    }
                }
                _ if number == 0 => return None,
                _ => {
                    return Some(Place {
                        module,
                        item: Some(name.clone()),
                    });
                }
            };
        }
        Some(Place { module, item: None })
    }
}

/// The file that `#[path = "…"]` names.
fn path_attribute(module: &ItemMod) -> Option<String> {
    module
        .attrs
        .iter()
        .find_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(path) => Some(path.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        })
}

/// Collects the paths and the children of one module.
struct Reader<'ast> {
    module: Module,
    children: Vec<&'ast ItemMod>,
}

impl Reader<'_> {
    fn add_use(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => {
                let name = before.last().cloned();
                self.add_import(before.to_vec(), name.unwrap_or_default());
            }
            UseTree::Name(name) => self.add_import(with(&name.ident), name.ident.to_string()),
            UseTree::Rename(name) => self.add_import(with(&name.ident), name.rename.to_string()),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_use(before, tree)),
            UseTree::Glob(_) => {
                self.module.paths.insert(before.to_vec());
            }
        }
    }

    fn add_import(&mut self, path: Names, name: String) {
        self.module.paths.insert(path.clone());
        self.module.imported.insert(name, path);
    }

    fn add_path(&mut self, path: &syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.module.paths.insert(names.collect());
    }

    fn add_loose(&mut self, paths: syn::Result<LoosePaths>) {
        let paths = paths.map(|paths| paths.0);
        paths.iter().flatten().for_each(|path| self.add_path(path));
    }
}

impl<'ast> Visit<'ast> for Reader<'ast> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.children.push(module);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add_path(path);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.add_loose(call.parse_body());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(_) = attribute.meta {
            self.add_loose(attribute.parse_args());
        }
    }
}

pub(crate) fn is_for_tests(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => is_only_in_tests(&list.tokens.to_string()),
        Meta::List(_) | Meta::Path(_) | Meta::NameValue(_) => false,
    }
}

/// Whether this condition of a `cfg` holds in tests alone, those of other crates among them.
pub(crate) fn is_only_in_tests(condition: &str) -> bool {
    let condition = condition.replace(char::is_whitespace, "");
    ["test", "any(test,feature=\"testing\")"].contains(&condition.as_str())
}

/// The paths among the arguments of a macro or an attribute, whose grammar is the macro's own.
struct LoosePaths(Vec<syn::Path>);

impl Parse for LoosePaths {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut paths = Vec::new();
        while !input.is_empty() {
            let ahead = input.fork();
            if let Ok(path) = ahead.call(syn::Path::parse_mod_style) {
                input.advance_to(&ahead);
                paths.push(path);
            } else if let Some(inner) = input.cursor().any_group() {
                paths.extend(syn::parse2::<Self>(inner.0.token_stream())?.0);
                skip_one(input)?;
            } else {
                skip_one(input)?;
            }
        }
        Ok(Self(paths))
    }
}

fn skip_one(input: ParseStream<'_>) -> syn::Result<()> {
    input.step(|at| {
        at.token_tree()
            .map(|(_, rest)| ((), rest))
            .ok_or_else(|| at.error(""))
    })
}
