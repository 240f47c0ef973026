//! Clusters of etcd processes that speak TLS as kubeadm's do, and operations on them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use etcd_operations::failure::Failure;
use etcd_operations::operation::{Health, Operation};
use etcd_operations::report::{HealthReport, Report, StatusReport};
use etcd_operations::run::run;
use etcd_operations::target::{Target, TlsFiles};
use rustix::process::{Pid, Signal, kill_process};
use testbed::local::{PATIENCE, Place, server};
use testbed::wait;

use super::pki;

pub(crate) struct Members {
    pub(crate) tls: TlsFiles,
    pub(crate) members: Vec<Member>,
    dir: tempfile::TempDir,
}

pub(crate) struct Member {
    child: Child,
    place: Place,
    data_dir: PathBuf,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Members {
    /// A cluster of a line that serves.
    pub(crate) fn start(line: &str, count: usize, more: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let tls = pki::make(&dir.path().join("pki"))?;
        let places = Place::several(count)?;
        let program = server(line)?;
        let members = places
            .iter()
            .map(|place| Member::start(&program, place, &places, dir.path(), &tls, more));
        let cluster = Self {
            members: members.collect::<Result<_>>()?,
            tls,
            dir,
        };
        wait::until("the cluster serves", PATIENCE, || {
            for at in 0..count {
                let health = cluster
                    .health(at, 2000)
                    .map_err(|error| format!("{error:#}"))?;
                if let Some(failure) = health.read_us.failure() {
                    return Err(failure.to_string());
                }
            }
            Ok(())
        })?;
        Ok(cluster)
    }

    /// Adds a member that has no vote, and waits until it answers.
    pub(crate) fn add_learner(&mut self, line: &str) -> Result<()> {
        let place = Place::new("learner")?;
        let peer = https(place.peer);
        self.etcdctl(
            0,
            &[
                "member",
                "add",
                "learner",
                "--learner",
                "--peer-urls",
                &peer,
            ],
        )?;
        self.start_added(line, &place)
    }

    /// Starts a member that was added without a vote, and waits until it answers.
    pub(crate) fn start_added(&mut self, line: &str, place: &Place) -> Result<()> {
        let mut places: Vec<Place> = self
            .members
            .iter()
            .map(|member| member.place.clone())
            .collect();
        places.push(place.clone());
        let program = server(line)?;
        let more = ["--initial-cluster-state=existing"];
        let learner = Member::start(&program, place, &places, self.dir.path(), &self.tls, &more)?;
        self.members.push(learner);
        let at = self.members.len() - 1;
        wait::until("the learner answers", PATIENCE, || {
            let status = self.status(at).map_err(|error| format!("{error:#}"))?;
            match status.own.ok() {
                Some(own) if own.is_learner => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    pub(crate) fn target(&self, at: usize) -> Target {
        let member = &self.members[at];
        Target {
            node: member.place.name.clone(),
            pod: format!("etcd-{}", member.place.name),
            member_name: member.place.name.clone(),
            client_urls: vec![member.client_url()],
            peer_urls: vec![],
            tls: Some(self.tls.clone()),
            data_dir: member.data_dir.clone(),
            wal_dir: None,
            quota_bytes: None,
            image: None,
        }
    }

    pub(crate) fn run(&self, at: usize, operation: Operation) -> Result<Report, Failure> {
        run_on(self.target(at), operation)
    }

    pub(crate) fn status(&self, at: usize) -> Result<StatusReport> {
        match self.run(at, Operation::Status)? {
            Report::Status(status) => Ok(status),
            other => bail!("{other:?}"),
        }
    }

    pub(crate) fn health(&self, at: usize, timeout_ms: u64) -> Result<HealthReport> {
        match self.run(at, Operation::Health(Health { timeout_ms }))? {
            Report::Health(health) => Ok(health),
            other => bail!("{other:?}"),
        }
    }

    /// etcdctl through a member.
    pub(crate) fn etcdctl(&self, at: usize, args: &[&str]) -> Result<String> {
        let etcdctl = testbed::parts::etcd("3.5")?.etcdctl;
        let output = Command::new(etcdctl)
            .arg("--endpoints")
            .arg(self.members[at].client_url())
            .arg("--cacert")
            .arg(&self.tls.ca)
            .arg("--cert")
            .arg(&self.tls.cert)
            .arg("--key")
            .arg(&self.tls.key)
            .args(args)
            .output()?;
        if !output.status.success() {
            bail!(
                "etcdctl {}: {}",
                args.first().unwrap_or(&""),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Puts keys of Kubernetes' kind, 100 kB each, until so many are there or etcd refuses.
    pub(crate) fn fill(&self, keys: usize) -> Result<()> {
        let value = "0123456789".repeat(10_000);
        for i in 0..keys {
            self.etcdctl(
                0,
                &[
                    "put",
                    &format!("/registry/configmaps/ns{}/k{i}", i % 3),
                    &value,
                ],
            )?;
        }
        Ok(())
    }
}

impl Member {
    fn start(
        program: &Path,
        place: &Place,
        places: &[Place],
        dir: &Path,
        tls: &TlsFiles,
        more: &[&str],
    ) -> Result<Self> {
        let data_dir = dir.join(&place.name);
        let log = File::create(data_dir.with_extension("log"))?;
        let (client, peer) = (https(place.client), https(place.peer));
        let cluster: Vec<_> = places
            .iter()
            .map(|place| format!("{}={}", place.name, https(place.peer)))
            .collect();
        let mut command = Command::new(program);
        command
            .args(["--name", &place.name, "--data-dir"])
            .arg(&data_dir)
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &cluster.join(",")])
            .args([
                "--client-cert-auth",
                "--peer-client-cert-auth",
                "--logger=zap",
            ]);
        for prefix in ["", "peer-"] {
            command
                .arg(format!("--{prefix}cert-file={}", tls.cert.display()))
                .arg(format!("--{prefix}key-file={}", tls.key.display()))
                .arg(format!("--{prefix}trusted-ca-file={}", tls.ca.display()));
        }
        let child = command
            .args(more)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            place: place.clone(),
            data_dir,
        })
    }

    pub(crate) fn client_url(&self) -> String {
        https(self.place.client)
    }

    pub(crate) fn peer_url(&self) -> String {
        https(self.place.peer)
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops the process without ending it; it does not answer and holds all it has.
    pub(crate) fn freeze(&self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, Signal::STOP)?)
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, Signal::CONT)?)
    }
}

pub(crate) fn https(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

pub(crate) fn run_on(target: Target, operation: Operation) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async move { run(&operation, &target, &mut |_| {}).await })
}

/// How long something took, and what it gave.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}
