//! The commands: what is done about what was typed.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use testbed::cluster::{state, sweep};
use testbed::process::say;
use testbed::{Cluster, parts};

use crate::arguments::{Arguments, Command, Down, OneNode, Run, Up};

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Up(args) => up(&args)?,
        Command::Down(args) => down(&args)?,
        Command::List => list()?,
        Command::Off(at) => at_node(&at, testbed::Node::power_off, "is off")?,
        Command::On(at) => at_node(&at, testbed::Node::power_on, "is on; its pods follow")?,
        Command::Freeze(at) => at_node(&at, testbed::Node::freeze, "is frozen")?,
        Command::Thaw(at) => at_node(&at, testbed::Node::thaw, "goes on")?,
        Command::Run(args) => return run_on(&args),
        Command::Build(versions) => {
            parts::for_nodes(versions.kubernetes, versions.etcd())?;
            println!(
                "everything is built: {}",
                testbed::paths::parts()?.display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up(args: &Up) -> Result<()> {
    let start = Instant::now();
    let cluster = Cluster::up(&args.spec(), &args.cluster.name)?;
    println!(
        "cluster {} is ready after {} s\n",
        cluster.name(),
        start.elapsed().as_secs()
    );
    println!("{}", cluster.kubectl(["get", "nodes"])?.success()?);
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!(
        "export PATH={}:$PATH",
        cluster
            .kubectl_path()
            .parent()
            .unwrap_or(cluster.folder())
            .display()
    );
    println!(
        "ssh -F {} m1",
        cluster.folder().join("ssh_config").display()
    );
    Ok(())
}

fn down(args: &Down) -> Result<()> {
    sweep::sweep()?;
    if !args.all {
        sweep::remove(&state::load(&args.name)?)?;
        println!("cluster {} is removed", args.name);
        return Ok(());
    }
    for state in state::all()?.iter().filter(|s| s.owner.is_none()) {
        sweep::remove(state)?;
        println!("cluster {} is removed", state.name);
    }
    Ok(())
}

fn list() -> Result<()> {
    let all = state::all()?;
    if all.is_empty() {
        println!("there is no cluster");
        return Ok(());
    }
    println!(
        "{:<20} {:<11} {:<5} {:<16} {:<24} FOLDER",
        "CLUSTER", "KUBERNETES", "ETCD", "NETWORK", "MASTERS"
    );
    for state in all {
        let cluster = Cluster::open(&state.name)?;
        let masters: Vec<String> = cluster
            .nodes()
            .iter()
            .map(|n| format!("{}{}", n.name(), if n.is_on() { "" } else { " (off)" }))
            .collect();
        let owner = match &state.owner {
            None => String::new(),
            Some(owner) if owner.alive() => format!("  (of process {})", owner.pid),
            Some(_) => "  (left behind, removed at the next start)".to_owned(),
        };
        println!(
            "{:<20} {:<11} {:<5} {:<16} {:<24} {}{owner}",
            state.name,
            state.kubernetes.to_string(),
            state.etcd.to_string(),
            format!("{}/24", state.slot.gateway()),
            masters.join(" "),
            cluster.folder().display(),
        );
    }
    Ok(())
}

fn at_node(at: &OneNode, work: impl Fn(&testbed::Node) -> Result<()>, done: &str) -> Result<()> {
    let cluster = Cluster::open(&at.cluster.name)?;
    work(cluster.node(&at.node)?)?;
    say(&format!("{} {done}", at.node));
    Ok(())
}

fn run_on(args: &Run) -> Result<ExitCode> {
    let cluster = Cluster::open(&args.at.cluster.name)?;
    let status = cluster
        .node(&args.at.node)?
        .command(&args.command)?
        .status()?;
    let code = status
        .code()
        .and_then(|c| u8::try_from(c).ok())
        .unwrap_or(1);
    Ok(ExitCode::from(code))
}
