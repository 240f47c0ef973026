//! What the plugin prints as JSON, against the schemas in the tree.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::Answer;

/// The answer's JSON, which has to be as the schema of its kind says.
pub(crate) fn checked(answer: &Answer) -> Result<Value> {
    let said = answer.json()?;
    let kind = said["kind"]
        .as_str()
        .with_context(|| format!("no kind: {answer}"))?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../plugin/schemas/{}.json", file_name(kind)));
    let schema =
        std::fs::read_to_string(&path).with_context(|| format!("no schema {}", path.display()))?;
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema)?)?;
    let wrong: Vec<String> = schema
        .iter_errors(&said)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    ensure!(
        wrong.is_empty(),
        "not as {} says: {}\n{answer}",
        path.display(),
        wrong.join("; ")
    );
    Ok(said)
}

/// Both kinds of answers about alarms have one schema.
fn file_name(kind: &str) -> &str {
    if kind.starts_with("Alarm") {
        "Alarms"
    } else {
        kind
    }
}
