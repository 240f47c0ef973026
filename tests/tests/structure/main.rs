//! How the crates are built up: no modules import each other in a circle, no function is too long to be read at once, and
//! texts use the words of the field.

mod circles;
mod functions;
mod sources;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use circles::Circle;
use sources::Crate;

const PACKAGES: [&str; 7] = [
    "plugin",
    "plugin/core",
    "jobs/agent",
    "jobs/datadir",
    "jobs/loader",
    "jobs/operations",
    "tests",
];

/// Functions that may be longer, each with the reason.
const LONG: [(&str, &str); 0] = [];

fn tree() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("the tests lie in a workspace")
}

/// The files of the product's crates but those that only unit tests have.
fn product_files() -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for package in PACKAGES.iter().filter(|package| **package != "tests") {
        for root in ["src/lib.rs", "src/main.rs"] {
            let root = tree().join(package).join(root);
            if root.exists() {
                files.extend(functions::files(&root)?);
            }
        }
    }
    ensure!(files.len() > 200, "only {} files were found", files.len());
    Ok(files)
}

#[test]
fn one_module_alone_knows_the_folder_on_a_host() -> Result<()> {
    let mut knows = Vec::new();
    for file in product_files()? {
        if fs::read_to_string(&file)?.contains("/var/lib/kubectl-etcd") {
            knows.push(file.strip_prefix(tree())?.display().to_string());
        }
    }
    assert_eq!(knows, ["jobs/operations/src/state.rs"]);
    Ok(())
}

#[test]
fn no_function_has_more_than_60_lines() -> Result<()> {
    let excepted = |one: &String| LONG.iter().any(|(name, _)| one.starts_with(name));
    let mut found = functions::too_long(&product_files()?, tree())?;
    for (name, _) in LONG {
        assert!(
            found.iter().any(|one| one.starts_with(name)),
            "{name} is short enough: no exception is needed"
        );
    }
    found.retain(|one| !excepted(one));
    assert!(
        found.is_empty(),
        "functions of more than 60 lines (split them):\n{}",
        found.join("\n")
    );
    Ok(())
}

#[test]
fn a_long_function_is_named_and_a_test_is_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("lib.rs");
    let body = |lines: usize| "    // why\n\n    go();\n".repeat(lines);
    let text = format!(
        "fn short() {{\n{}}}\nimpl A {{\nfn long() {{\n{}}}\n}}\n#[cfg(test)]\nmod tests {{\nfn test() {{\n{}}}\n}}\n",
        body(60),
        body(61),
        body(99)
    );
    fs::write(&file, text)?;
    let found = functions::too_long(&BTreeSet::from([file]), folder.path())?;
    assert_eq!(found, ["lib.rs: long: 61 lines"]);
    Ok(())
}

#[test]
fn no_modules_import_each_other_in_a_circle() -> Result<()> {
    let tree = tree();
    let mut found = Vec::new();
    for package in PACKAGES {
        for root in roots(&tree.join(package))? {
            found.extend(circles::find(&Crate::read(&root)?, tree));
        }
    }
    let found: Vec<String> = found.iter().map(Circle::to_string).collect();
    assert!(
        found.is_empty(),
        "circles of imports (move what both need into a module below both):\n{}",
        found.join("\n")
    );
    Ok(())
}

/// The root files of all crates of a package, as cargo finds them.
fn roots(package: &Path) -> Result<Vec<PathBuf>> {
    let source = package.join("src");
    let mut roots = vec![source.join("lib.rs"), source.join("main.rs")];
    for folder in [
        source.join("bin"),
        package.join("tests"),
        package.join("examples"),
    ] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            let is_file = path.extension().is_some_and(|ending| ending == "rs");
            roots.push(if is_file { path } else { path.join("main.rs") });
        }
    }
    roots.retain(|root| root.exists());
    roots.sort();
    ensure!(!roots.is_empty(), "no crate in {}", package.display());
    Ok(roots)
}

#[test]
fn a_circle_is_named_with_the_files_and_the_names_that_tie_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let write = |path: &str, text: &str| -> Result<()> {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it lies in a folder"))?;
        Ok(fs::write(path, text)?)
    };
    // A parent and its children may take from each other, a re-export is no tie, and tests may use what they like.
    write(
        "lib.rs",
        "mod a; mod b; mod c; pub use c::Low; fn top() { a::go() }",
    )?;
    write(
        "a.rs",
        "mod deep; use crate::Low; pub fn go() { deep::go() }",
    )?;
    write(
        "a/deep.rs",
        "pub fn go() { super::go(); println!(\"{}\", crate::b::SIZE) }",
    )?;
    write(
        "b.rs",
        "use crate::{a, c}; pub const SIZE: u8 = 1; fn f(_: c::Low) { a::go() }",
    )?;
    write(
        "c.rs",
        "pub struct Low; #[cfg(test)] mod tests { use crate::a::go; }",
    )?;
    let found = circles::find(&Crate::read(&folder.path().join("lib.rs"))?, folder.path());
    let found: Vec<String> = found.iter().map(Circle::to_string).collect();
    let expected = "lib.rs: a, b\n  a/deep.rs -> b.rs: SIZE\n  b.rs -> a.rs: go, itself\n";
    assert_eq!(found, [expected]);
    Ok(())
}
