//! Words that this project does not use: of two words for one thing, the one that is not the field's.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::sources::is_only_in_tests;
use crate::{product_files, tree};

/// What is not said, and what is said instead. A phrase is found as whole words, in small letters.
pub(crate) const GLOSSARY: &[(&[&str], &str)] = &[
    (&["master", "masters"], "control-plane node"),
    (
        &["host that takes part", "hosts that take part"],
        "control-plane node",
    ),
    (&["one that votes", "those that vote"], "voter"),
    (
        &[
            "take back",
            "takes back",
            "taken back",
            "took back",
            "taking back",
            "take it back",
            "takes it back",
            "taking it back",
            "take them back",
            "takes them back",
            "taken it back",
        ],
        "roll back",
    ),
    (
        &[
            "go on with",
            "goes on with",
            "gone on with",
            "going on with",
            "gone on from",
            "go on from",
        ],
        "resume",
    ),
    (
        &["is so already", "are so already"],
        "already set, unchanged",
    ),
    (
        &[
            "put aside",
            "puts aside",
            "putting aside",
            "puts it aside",
            "put it aside",
        ],
        "moved aside",
    ),
    (&["kept manifest", "kept manifests"], "archived manifest"),
    (&["kept snapshot", "kept snapshots"], "stored snapshot"),
    (
        &["answers nobody", "answer nobody"],
        "down, or does not answer",
    ),
    (
        &["is silent", "are silent", "silent node", "silent member"],
        "unreachable",
    ),
    (
        &["does not take", "do not take"],
        "rejects, or is unreachable",
    ),
    (&["lifts by itself", "lift by itself"], "expires"),
    (&["prospect"], "plan preview"),
    (&["fence", "fences"], "caveat"),
    (
        &[
            "is brought",
            "are brought",
            "be brought",
            "brought in",
            "bring the program",
            "brings the program",
        ],
        "upload",
    ),
];

/// Where one of these words is part of a name that is not ours to change.
const NAMES: &[&str] = &[
    "node-role.kubernetes.io/master",
    "…/master",
    // Of a folder in a bundle, and of ssh.
    "\"masters\"",
    "\"master\"",
    "masters/",
    "/masters",
    "{masters}",
];

/// The phrases of the glossary that a text has, and what to say instead.
pub(crate) fn found(text: &str) -> Vec<(&'static str, &'static str)> {
    let mut plain = text.replace("\\n", " ").to_lowercase();
    for name in NAMES {
        plain = plain.replace(name, "");
    }
    // Words alone, with one space between them and one around all.
    let words =
        plain.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_' && c != '\'');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let plain = format!(" {} ", words.join(" "));
    let all = GLOSSARY
        .iter()
        .flat_map(|(phrases, instead)| phrases.iter().map(move |phrase| (*phrase, *instead)));
    all.filter(|(phrase, _)| plain.contains(&format!(" {phrase} ")))
        .collect()
}

/// The texts in a source file that may be read by who uses the program: all strings outside of attributes and tests.
pub(crate) fn strings(source: &str) -> Result<Vec<(usize, String)>> {
    let tokens =
        TokenStream::from_str(source).map_err(|cause| anyhow!("it is no Rust: {cause}"))?;
    let mut all = Vec::new();
    collect(tokens, &mut all);
    Ok(all)
}

fn collect(tokens: TokenStream, all: &mut Vec<(usize, String)>) {
    let mut for_tests = false;
    let mut after_hash = false;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) => {
                after_hash = punct.as_char() == '#' || after_hash && punct.as_char() == '!';
                if punct.as_char() == ';' {
                    for_tests = false;
                }
                continue;
            }
            TokenTree::Group(group) if after_hash && group.delimiter() == Delimiter::Bracket => {
                for_tests |= is_for_tests(&group);
                // Messages of `thiserror` are read by users.
                let name = group.stream().into_iter().next();
                let is_message = matches!(name, Some(TokenTree::Ident(one)) if one == "error");
                if is_message && !for_tests {
                    collect(group.stream(), all);
                }
            }
            TokenTree::Group(group) => {
                if !for_tests {
                    collect(group.stream(), all);
                }
                for_tests &= group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Literal(literal) if !for_tests => {
                let written = literal.to_string();
                if written.contains('"') {
                    all.push((literal.span().start().line, written));
                }
            }
            TokenTree::Literal(_) | TokenTree::Ident(_) => {}
        }
        after_hash = false;
    }
}

fn is_for_tests(attribute: &Group) -> bool {
    let mut tokens = attribute.stream().into_iter();
    let is_cfg = matches!(tokens.next(), Some(TokenTree::Ident(name)) if name == "cfg");
    match tokens.next() {
        Some(TokenTree::Group(condition)) if is_cfg => {
            is_only_in_tests(&condition.stream().to_string())
        }
        _ => false,
    }
}

/// The documents of the project; their quoted output and commands are held by other tests.
fn documents(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in [
        "",
        "plugin",
        "plugin/docs",
        "images",
        "manifests",
        "krew",
        "tests",
    ] {
        for entry in fs::read_dir(tree.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "md") {
                all.push(path);
            }
        }
    }
    all.sort();
    Ok(all)
}

#[test]
fn texts_use_the_words_of_the_field() -> Result<()> {
    let tree = tree();
    let mut texts = Vec::new();
    for file in product_files()? {
        let source = fs::read_to_string(&file)?;
        let all = strings(&source).with_context(|| file.display().to_string())?;
        let all = all.into_iter();
        texts.extend(all.map(|(line, text)| (file.clone(), line, text)));
    }
    assert!(
        texts.len() > 2_000,
        "only {} strings were found",
        texts.len()
    );
    for file in documents(tree)? {
        let text = fs::read_to_string(&file)?;
        let lines = text.lines().enumerate();
        texts.extend(lines.map(|(at, line)| (file.clone(), at + 1, line.to_owned())));
    }
    let mut wrong = Vec::new();
    for (file, line, text) in texts {
        let file = file
            .strip_prefix(tree)
            .unwrap_or(&file)
            .display()
            .to_string();
        let all = found(&text).into_iter();
        wrong.extend(
            all.map(|(phrase, instead)| format!("{file}:{line}: \"{phrase}\" (say: {instead})")),
        );
    }
    assert!(
        wrong.is_empty(),
        "words that this project does not use:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn a_word_is_found_in_strings_and_not_in_tests_comments_or_names() -> Result<()> {
    let source = r#"
        /// Takes it back.
        #[doc = "the master"]
        #[error("a fence")]
        fn f() { println!("{} is Taken\n back", "node-role.kubernetes.io/master"); }
        #[cfg(test)]
        mod tests { const A: &str = "a master"; }
        #[cfg(test)]
        use a::b;
        const B: &str = "two masters";
    "#;
    let texts = strings(source)?;
    let found: Vec<_> = texts
        .iter()
        .flat_map(|(line, text)| found(text).into_iter().map(move |one| (*line, one.0)))
        .collect();
    assert_eq!(found, [(4, "fence"), (5, "taken back"), (10, "masters")]);
    Ok(())
}
