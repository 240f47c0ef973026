//! Keys made for one cluster: ssh from this machine to its nodes, and between them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::node::Node;
use crate::process::run;

/// Gives every node a host key, the cluster's key and the addresses of all, and this machine an `ssh_config`.
pub(super) fn set_up(folder: &Path, nodes: &[Node]) -> Result<()> {
    let key = folder.join("ssh_key");
    generate(&key, "testbed")?;
    let public = fs::read_to_string(key.with_extension("pub"))?;
    let mut known = String::new();
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for node in nodes {
        let host_key = node.path("/etc/ssh/host_key");
        for old in [&host_key, &host_key.with_extension("pub")] {
            // A disk that comes from a checkpoint has the keys of another cluster.
            if old.exists() {
                fs::remove_file(old)?;
            }
        }
        generate(&host_key, node.name())?;
        let host_public = fs::read_to_string(host_key.with_extension("pub"))?;
        let _ = write!(known, "{},{} {host_public}", node.name(), node.ip());
        let _ = writeln!(hosts, "{} {}", node.ip(), node.name());
    }
    for node in nodes {
        let write = |path: &str, text: &str, mode: u32| {
            let path = node.path(path);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(fs::set_permissions(
                &path,
                fs::Permissions::from_mode(mode),
            )?)
        };
        write("/etc/hosts", &hosts, 0o644)?;
        write("/etc/ssh/cluster_key", &fs::read_to_string(&key)?, 0o600)?;
        write("/etc/ssh/authorized_keys", &public, 0o644)?;
        write("/etc/ssh/ssh_known_hosts", &known, 0o644)?;
        write(
            "/etc/ssh/ssh_config",
            &client_config(nodes, "/etc/ssh/cluster_key", "/etc/ssh/ssh_known_hosts"),
            0o644,
        )?;
        write("/etc/ssh/sshd_config", &server_config(node), 0o644)?;
        unlock_root(node)?;
    }
    let known_hosts = folder.join("known_hosts");
    fs::write(&known_hosts, known)?;
    let config = client_config(
        nodes,
        &key.display().to_string(),
        &known_hosts.display().to_string(),
    );
    Ok(fs::write(folder.join("ssh_config"), config)?)
}

fn generate(path: &Path, comment: &str) -> Result<()> {
    run(
        "ssh-keygen",
        [
            "-q".as_ref(),
            "-t".as_ref(),
            "ed25519".as_ref(),
            "-N".as_ref(),
            "".as_ref(),
            "-C".as_ref(),
            comment.as_ref(),
            "-f".as_ref(),
            path.as_os_str(),
        ],
    )
    .map(drop)
}

fn client_config(nodes: &[Node], key: &str, known_hosts: &str) -> String {
    nodes.iter().fold(String::new(), |mut text, node| {
        let (name, ip) = (node.name(), node.ip());
        let _ = write!(
            text,
            "Host {name} {ip}\n  HostName {ip}\n  User root\n  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known_hosts}\n  StrictHostKeyChecking yes\n\n"
        );
        text
    })
}

fn server_config(node: &Node) -> String {
    format!(
        "ListenAddress {}\nHostKey /etc/ssh/host_key\nAuthorizedKeysFile /etc/ssh/authorized_keys\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\nUsePAM no\nPrintMotd no\nStrictModes no\nPidFile none\nSubsystem sftp internal-sftp\n",
        node.ip()
    )
}

/// sshd refuses an account whose password begins with `!`, even to a key.
fn unlock_root(node: &Node) -> Result<()> {
    let path = node.path("/etc/shadow");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let line = |line: &str| match line.split(':').collect::<Vec<_>>().as_slice() {
        ["root", _, rest @ ..] => format!("root:*:{}\n", rest.join(":")),
        _ => format!("{line}\n"),
    };
    Ok(fs::write(path, text.lines().map(line).collect::<String>())?)
}
