//! What people read: documents name tests, pages and headings that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in a workspace")
}

/// The names of tests in SECURITY.md: words in backticks with several parts.
fn named_tests(text: &str) -> BTreeSet<&str> {
    let is_name = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.matches('_').count() > 1 && word.chars().all(plain)
    };
    text.split('`').skip(1).step_by(2).filter(is_name).collect()
}

fn sources(folder: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != "corpus" {
            sources(&path, text)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Whether the sources have a test of this name that is not left out.
fn runs(sources: &str, name: &str) -> bool {
    let Some((before, _)) = sources.split_once(&format!("fn {name}(")) else {
        return false;
    };
    // Its attributes, and what else stands before it without an empty line between.
    let before = before.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let lines = before.lines().rev();
    let attributes: Vec<&str> = lines.take_while(|line| !line.trim().is_empty()).collect();
    let any = |words: &[&str]| {
        let mut lines = attributes.iter();
        lines.any(|line| words.iter().any(|word| line.trim().starts_with(word)))
    };
    any(&["#[test]", "#[tokio::test"]) && !any(&["#[ignore"])
}

#[test]
fn every_test_that_the_threat_model_names_is_there() -> Result<()> {
    let security = fs::read_to_string(tree().join("SECURITY.md"))?;
    let named = named_tests(&security);
    ensure!(named.len() > 30, "only {} were found", named.len());
    let mut text = String::new();
    for folder in ["plugin", "jobs", "tests"] {
        sources(&tree().join(folder), &mut text)?;
    }
    let missing: Vec<&&str> = named.iter().filter(|name| !runs(&text, name)).collect();
    ensure!(missing.is_empty(), "no test {missing:?} is run");
    Ok(())
}
