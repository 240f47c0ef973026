//! What people read: documents name tests, pages and headings that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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

/// The documents: Markdown files at the top and below `plugin/docs`.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [tree().to_owned(), tree().join("plugin/docs")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    ensure!(found.len() > 9, "only {found:?}");
    Ok(found)
}

/// A document's lines that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence && !line.starts_with("    ")
    })
}

/// What GitHub makes of headings: lower case, `-` for a space, and nothing but letters, digits, `-` and `_`.
fn anchors(text: &str) -> BTreeSet<String> {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    };
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter_map(kept).collect())
        .collect()
}

/// The targets of links, `](TARGET)`, that are in this repository.
fn links(text: &str) -> Vec<&str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://"))
        .collect()
}

#[test]
fn every_link_in_the_documents_leads_somewhere() -> Result<()> {
    let (mut broken, mut count) = (Vec::new(), 0);
    for document in documents()? {
        let text = fs::read_to_string(&document)?;
        for link in links(&text) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = match file {
                "" => document.clone(),
                file => document.with_file_name(file),
            };
            let is_there = match anchor {
                "" => path.exists(),
                anchor => {
                    fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(anchor))
                }
            };
            if !is_there {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "these links lead nowhere: {broken:#?}");
    ensure!(count > 40, "only {count} links were found");
    Ok(())
}

/// Printed, a line has some 110 characters and a page some 56 lines.
#[test]
fn each_part_of_the_runbook_fits_on_a_page() -> Result<()> {
    let text = fs::read_to_string(tree().join("plugin/docs/outages.md"))?;
    let parts: Vec<&str> = text.split("\n## ").skip(1).collect();
    ensure!(parts.len() == 5, "{} parts", parts.len());
    for part in parts {
        let printed = |line: &str| line.chars().count().div_ceil(110).max(1);
        let lines: usize = part.lines().map(printed).sum();
        let title = part.lines().next().unwrap_or_default();
        ensure!(lines <= 56, "{title}: {lines} lines");
    }
    Ok(())
}

#[test]
fn links_and_headings_are_read_as_github_reads_them() {
    let text =
        "# A (b), `c` & d!\n```\n# no heading\n](no-link)\n```\n[x](y.md#z) and [w](https://w)\n";
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c--d".to_owned()]));
    assert_eq!(links(text), ["y.md#z"]);
}
