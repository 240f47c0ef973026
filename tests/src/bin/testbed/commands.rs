//! The commands: what is done about what was typed.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use testbed::bench::{self, Bench};
use testbed::cluster::{checkpoint, state, sweep};
use testbed::needs::{self, Wanted, Work};
use testbed::parts::Part;
use testbed::process::{ProcessId, say};
use testbed::{Cluster, Spec, all_tests, demo, parts};

use crate::arguments::{
    Arguments, Build, Checkpoint, Command, DEFAULT_NAME, Down, Needs, OneNode, Run, Up,
};

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Demo(args) => demonstrate(&args)?,
        Command::Up(args) => up(&args)?,
        Command::Down(args) => down(&args)?,
        Command::List => list()?,
        Command::Off(at) => at_node(&at, testbed::Node::power_off, "is off")?,
        Command::On(at) => at_node(&at, testbed::Node::power_on, "is on; its pods follow")?,
        Command::Freeze(at) => at_node(&at, testbed::Node::freeze, "is frozen")?,
        Command::Thaw(at) => at_node(&at, testbed::Node::thaw, "goes on")?,
        Command::Run(args) => return run_on(&args),
        Command::Test { arguments } => return all_tests::run(&arguments),
        Command::Needs { command } => check_needs(command)?,
        Command::Build(args) => build(&args)?,
        Command::Sweep { after } => {
            let process = after.and_then(ProcessId::of);
            while process.as_ref().is_some_and(ProcessId::alive) {
                std::thread::sleep(Duration::from_millis(200));
            }
            sweep::sweep()?;
        }
        Command::Hold => {
            let cluster = Cluster::start(Spec::masters(1).side_by_side())?;
            println!("{}", cluster.name());
            loop {
                std::thread::park();
            }
        }
        Command::Bench { name: None, .. } => {
            for Bench { name, about, .. } in bench::ALL {
                println!("{name:<12} {about}");
            }
        }
        Command::Bench {
            name: Some(name),
            arguments,
        } => {
            let bench = bench::find(&name)?;
            needs::ensure(&demo::wanted(&Spec::masters(3), true))?;
            (bench.run)(&arguments, &mut std::io::stdout())?;
        }
        Command::Samples { folder } => {
            needs::ensure(&parts_alone(parts::of_tests()))?;
            testbed::samples::make(&folder)?;
        }
        Command::Checkpoint { what: None } => checkpoints()?,
        Command::Checkpoint {
            what: Some(Checkpoint::Make(args)),
        } => drop(Cluster::start(args.spec())?),
        Command::Checkpoint {
            what: Some(Checkpoint::Clear),
        } => checkpoint::clear()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check_needs(command: Needs) -> Result<()> {
    let (wanted, what) = match command {
        Needs::Demo => (demo::wanted(&Spec::masters(3), true), "demo"),
        Needs::Test => (all_tests::wanted(), "test"),
    };
    needs::ensure(&wanted)?;
    println!("everything that `testbed {what}` needs is there");
    Ok(())
}

fn parts_alone(parts: Vec<Part>) -> Wanted {
    Wanted {
        work: Work::Cluster,
        parts,
        nodes: 0,
    }
}

fn build(args: &Build) -> Result<()> {
    let (kubernetes, etcd) = (args.versions.kubernetes(), args.versions.etcd());
    if args.for_tests {
        needs::ensure(&parts_alone(parts::of_tests()))?;
        parts::build_for_tests()?;
    } else {
        needs::ensure(&parts_alone(parts::of_nodes(kubernetes, etcd)))?;
        parts::for_nodes(kubernetes, etcd)?;
    }
    let folder = testbed::paths::parts()?;
    println!("everything is built: {}", folder.display());
    Ok(())
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
    how_to_go_on(
        &cluster,
        cluster.kubectl_path().parent().unwrap_or(cluster.folder()),
    );
    Ok(())
}

fn demonstrate(args: &Up) -> Result<()> {
    let demo = demo::run(&args.spec(), &args.cluster.name)?;
    println!(
        "\nthe cluster goes on, and {} is a verified snapshot of it\n",
        demo.snapshot.display()
    );
    how_to_go_on(&demo.cluster, &demo.programs);
    Ok(())
}

fn how_to_go_on(cluster: &Cluster, programs: &Path) {
    let name = cluster.name();
    let named = if name == DEFAULT_NAME {
        String::new()
    } else {
        format!(" --name {name}")
    };
    println!(
        "To go on:
  export KUBECONFIG={kubeconfig}
  export PATH={programs}:$PATH
  kubectl get nodes                            (--context m2: by m2's own apiserver)
  ssh -F {ssh} m1

  cargo run -p testbed -- off{named} m2         cut m2's power
  cargo run -p testbed -- on{named} m2          power it on again
  cargo run -p testbed -- run{named} m1 journalctl -u kubelet
  cargo run -p testbed -- down {name}         take it all down",
        kubeconfig = cluster.kubeconfig().display(),
        programs = programs.display(),
        ssh = cluster.folder().join("ssh_config").display(),
    );
}

fn checkpoints() -> Result<()> {
    for found in checkpoint::all()? {
        let hours = found.taken.elapsed().unwrap_or_default().as_secs() / 3600;
        println!("{}  ({hours} h old)", found.name);
    }
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
