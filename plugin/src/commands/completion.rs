//! `kubectl etcd completion`

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::{Args, Command, Subcommand};
use clap_complete::{Shell, generate};
use etcd_operations::shell::CommandLine;

use crate::args::OfflineArgs;
use crate::ui::Ui;
use kubectl_etcd_core::error::{Error, Verdict};

/// The name this program has when kubectl asks it for completions.
pub const PROGRAM: &str = "kubectl_complete-etcd";

const EXAMPLES: &str = "\
Examples:
  # Completion behind `kubectl etcd`: kubectl (1.26 and later) runs kubectl_complete-etcd from PATH
  kubectl etcd completion kubectl --install-to ~/.local/bin

  # Completion behind `kubectl-etcd`, without kubectl
  source <(kubectl-etcd completion bash)";

/// Make the shell complete commands, flags and node names
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    _offline: OfflineArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the completion script for bash
    #[command(
        after_help = "Examples:\n  # In this shell\n  source <(kubectl-etcd completion bash)"
    )]
    Bash,
    /// Print the completion script for zsh
    #[command(after_help = "Examples:\n  # In this shell\n  source <(kubectl-etcd completion zsh)")]
    Zsh,
    /// Print the completion script for fish
    #[command(after_help = "Examples:\n  # In this shell\n  kubectl-etcd completion fish | source")]
    Fish,
    /// Print the completion script for PowerShell
    #[command(
        after_help = "Examples:\n  # In this shell\n  kubectl-etcd completion powershell | Out-String | Invoke-Expression"
    )]
    Powershell,
    /// Link this program as kubectl_complete-etcd, which is what kubectl asks
    #[command(
        after_help = "Examples:\n  # kubectl 1.26 and later finds it on PATH\n  kubectl etcd completion kubectl --install-to ~/.local/bin"
    )]
    Kubectl(KubectlArgs),
}

#[derive(Debug, Args)]
struct KubectlArgs {
    /// A folder on PATH to put the link in
    #[arg(long, value_name = "DIR")]
    install_to: PathBuf,
}

/// Prints a script or makes the link.
///
/// # Errors
/// When the link cannot be made.
pub fn completion(
    ui: &Ui,
    args: CompletionArgs,
    command_line: &mut Command,
) -> Result<Verdict, Error> {
    let shell = match args.action {
        Action::Bash => Shell::Bash,
        Action::Zsh => Shell::Zsh,
        Action::Fish => Shell::Fish,
        Action::Powershell => Shell::PowerShell,
        Action::Kubectl(args) => return link(ui, &args),
    };
    let mut script = Vec::new();
    generate(shell, command_line, "kubectl-etcd", &mut script);
    ui.print(&String::from_utf8_lossy(&script))?;
    Ok(Verdict::Healthy)
}

fn link(ui: &Ui, args: &KubectlArgs) -> Result<Verdict, Error> {
    let failed = |what: String| move |cause: std::io::Error| Error::failed(what).caused_by(cause);
    let program = std::env::current_exe()
        .map_err(failed("the path of this program cannot be told".to_owned()))?;
    let link = args.install_to.join(PROGRAM);
    match std::fs::read_link(&link) {
        // Made before, by this or another version: it is ours to renew, a file of somebody else's is not.
        Ok(target) if target == program => {
            ui.print(&format!("{} is there already\n", link.display()))?;
            return Ok(Verdict::Healthy);
        }
        Ok(_) | Err(_) if link.symlink_metadata().is_ok() => {
            return Err(Error::refused(format!(
                "{} is there already and is not this program",
                link.display()
            ))
            .hint(format!("move it aside: {}", aside(&link))));
        }
        Ok(_) | Err(_) => {}
    }
    symlink(&program, &link).map_err(failed(format!(
        "the link {} cannot be made",
        link.display()
    )))?;
    ui.print(&format!("{} -> {}\n", link.display(), program.display()))?;
    Ok(Verdict::Healthy)
}

/// The command that moves a file aside.
fn aside(path: &Path) -> CommandLine {
    let path = path.display();
    CommandLine::new("mv")
        .operand(&path)
        .operand(format_args!("{path}.old"))
}
