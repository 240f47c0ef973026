//! The plugin on a node, as root: an administrator who is logged in there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testbed::{Answer, Node, Running, Workstation};

/// No command of a test takes longer, whatever else the machine does.
const LIMIT: &str = "300";

fn words<'a>(words: &'a [&'a str], before: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let admin = ["env", "KUBECONFIG=/etc/kubernetes/admin.conf"];
    let all = admin.into_iter().chain(before.iter().copied());
    all.chain(["kubectl-etcd"]).chain(words.iter().copied())
}

/// Runs `kubectl etcd WORDS` on a node to its end; what it took is shown.
pub(crate) fn on(node: &Node, line: &[&str]) -> Result<Answer> {
    let answer = quietly(node, line)?;
    let (took, code) = (seconds(answer.took), answer.output.code);
    let words = line.join(" ");
    eprintln!(
        "on {}: kubectl etcd {words}: {took:.1} s, exit code {code}",
        node.name()
    );
    Ok(answer)
}

/// Like [`on`], for what is shown in a table.
pub(crate) fn quietly(node: &Node, line: &[&str]) -> Result<Answer> {
    let begun = Instant::now();
    let output = node.run(words(line, &["timeout", LIMIT]))?;
    let line = format!("on {}: kubectl etcd {}", node.name(), line.join(" "));
    Ok(Answer::of(&line, output, begun.elapsed()))
}

/// Begins `kubectl etcd WORDS` on a node. What it says is kept in the folder of `me`.
pub(crate) fn begin(me: &Workstation, node: &Node, line: &[&str]) -> Result<Running> {
    me.begin(&mut node.command(words(line, &[]))?)
}

pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// The command that `doctor` says to run on a node about a situation.
pub(crate) fn advised(node: &Node, kind: &str) -> Result<String> {
    let told = on(node, &["doctor", "-o", "json"])?;
    let situations = told.json()?["situations"].clone();
    let found = situations
        .as_array()
        .and_then(|all| all.iter().find(|one| one["kind"] == kind));
    let command = found.with_context(|| told.to_string())?["next"]["command"].clone();
    Ok(command.as_str().context("no command")?.to_owned())
}

/// Shows how long each stage of a plan took.
pub(crate) fn stages(answer: &Answer) -> Result<()> {
    let told = answer.json()?;
    let all = told["stages"]
        .as_array()
        .with_context(|| format!("no stages: {told}"))?;
    for stage in all.iter().filter(|stage| stage["tookMs"].is_u64()) {
        let took = Duration::from_millis(stage["tookMs"].as_u64().unwrap_or(0));
        eprintln!(
            "    {:>5.1} s  {}",
            seconds(took),
            stage["title"].as_str().unwrap_or("-")
        );
    }
    Ok(())
}
