//! A registry for images that wants a login, on this machine's own address in a cluster's network.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Cluster, Node, parts, wait};

/// Who may push and pull.
const USER: &str = "puller";
/// The password, and beside it how the registry knows it.
const PASSWORD: &str = "open sesame";
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";

/// A registry; it ends, and its images go, when it is dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    folder: TempDir,
    program: PathBuf,
    process: Option<Child>,
}

impl Registry {
    /// Starts one for the nodes of a cluster.
    ///
    /// # Errors
    /// When Debian's registry cannot be had, or does not start.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let own = cluster.state().slot.gateway();
        let address = TcpListener::bind((own, 0))?.local_addr()?;
        let mut registry = Self {
            address,
            folder: tempfile::Builder::new().prefix("registry-").tempdir()?,
            program: parts::registry()?,
            process: None,
        };
        let folder = registry.folder.path();
        let passwords = folder.join("htpasswd");
        fs::write(&passwords, format!("{USER}:{HASH}\n"))?;
        // JSON is YAML, too.
        let config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": folder.join("images")}},
            "http": {"addr": address.to_string(), "secret": "one registry alone"},
            "auth": {"htpasswd": {"realm": "testbed", "path": passwords}},
        });
        fs::write(folder.join("config.yml"), config.to_string())?;
        registry.go_on()?;
        Ok(registry)
    }

    /// Its name in references to images: an address with a port.
    #[must_use]
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// A file of logins for it, as docker writes it.
    #[must_use]
    pub fn logins(&self) -> Value {
        self.logins_with(PASSWORD)
    }

    /// The same with a password that is wrong.
    #[must_use]
    pub fn wrong_logins(&self) -> Value {
        self.logins_with("open barley")
    }

    fn logins_with(&self, password: &str) -> Value {
        let auth = BASE64_STANDARD.encode(format!("{USER}:{password}"));
        json!({"auths": {self.name(): {"auth": auth}}})
    }

    /// What must be in nothing that is printed.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let auth = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
        vec![PASSWORD.to_owned(), auth]
    }

    /// Makes a node's runtime take it without TLS.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn trusted_by(&self, node: &Node) -> Result<()> {
        let name = self.name();
        let folder = node.path(&format!("/etc/containerd/certs.d/{name}"));
        fs::create_dir_all(&folder)?;
        let text = format!(
            "server = \"http://{name}\"\n\n[host.\"http://{name}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        Ok(fs::write(folder.join("hosts.toml"), text)?)
    }

    /// Brings an image of a node into it; gives back the reference there, by which the node does not know it.
    ///
    /// # Errors
    /// When the node has no such image, or the registry does not take it.
    pub fn push(&self, node: &Node, image: &str, name: &str) -> Result<String> {
        let reference = format!("{}/{name}", self.name());
        let ctr = |args: &[&str]| {
            let words = ["ctr", "-n", "k8s.io", "images"].iter().chain(args);
            node.run(words)?.success()
        };
        ctr(&["tag", image, &reference])?;
        let login = format!("{USER}:{PASSWORD}");
        let pushed = ctr(&["push", "--plain-http", "--user", &login, &reference]);
        ctr(&["rm", "--sync", &reference])?;
        pushed.with_context(|| format!("cannot push {reference}; it says: {}", self.log()))?;
        Ok(reference)
    }

    /// Ends it; its images stay.
    ///
    /// # Errors
    /// When that fails.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts it when it was stopped.
    ///
    /// # Errors
    /// When nobody listens within 30 s.
    pub fn go_on(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let process = Command::new(&self.program)
            .arg("serve")
            .arg(self.folder.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.process = Some(process);
        let limit = Duration::from_secs(30);
        wait::until("a registry that listens", limit, || {
            TcpStream::connect(self.address)
                .map(drop)
                .map_err(|error| format!("{error}; it says: {}", self.log()))
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.stop());
    }
}
