//! One connection for everything that is asked of a host: ssh's own multiplexing.
//!
//! It is started here, and not by the `openssh` crate, which would put a policy for unknown host keys over the user's own.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use openssh::Session;
use tokio::process::Command;
use tokio::time::timeout;

use super::destination::Destination;
use super::error::{SshError, SshErrorKind, of_connecting};
use super::options::SshOptions;
use crate::host_name::HostName;
use crate::limits;

/// What every connection is told. A host that says nothing for 12 s is gone: that is how a power loss shows. Should this
/// process be killed, the connection ends when it was idle for ten minutes.
const SETTINGS: [&str; 7] = [
    "BatchMode=yes",
    "ControlPersist=600",
    "ConnectTimeout=4",
    "ServerAliveInterval=4",
    "ServerAliveCountMax=3",
    // They may be in use by the user's own connection to the host.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
];

/// Connects, as whoever the configuration or the options say.
///
/// # Errors
/// Why not, in words for a person.
pub(super) async fn open(
    host: &str,
    destination: &Destination,
    options: &SshOptions,
) -> Result<Session, SshError> {
    let here = |error: io::Error| {
        let message = format!("{host}: no connection can be prepared: {error}");
        SshError::new(SshErrorKind::Program, message).caused_by(error)
    };
    // In the folder for temporary files: the path of a socket must be short.
    let folder = tempfile::Builder::new()
        .prefix("kubectl-etcd-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(here)?;
    let log = folder.path().join("log");
    let mut command = ssh(options);
    command
        .arg("-E")
        .arg(&log)
        .arg("-S")
        .arg(folder.path().join("master"))
        .args(["-M", "-f", "-N"]);
    for setting in SETTINGS {
        command.args(["-o", setting]);
    }
    command.arg("--").arg(destination.as_str());
    match timeout(limits::SSH_CONNECT, command.status()).await {
        Ok(Ok(status)) if status.success() => Ok(Session::new_process_mux(folder)),
        Ok(Ok(_)) => {
            let said = std::fs::read(&log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            Err(of_connecting(host, destination, &said))
        }
        Ok(Err(error)) => Err(not_started(error)),
        Err(_) => {
            let words = format!("no connection after {} s", limits::SSH_CONNECT.as_secs());
            Err(of_connecting(host, destination, &words))
        }
    }
}

/// Where ssh's configuration leads a name, if it has something to say of it.
pub(super) async fn leads(name: &HostName, options: &SshOptions) -> Option<String> {
    let mut command = ssh(options);
    command
        .args(["-G", "--", name.as_str()])
        .stdout(Stdio::piped());
    let Ok(Ok(output)) = timeout(limits::SSH_CONNECT, command.output()).await else {
        return None;
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("hostname "))
        // ssh tells names in small letters.
        .find(|leads_to| !name.is_same(leads_to))
        .map(str::to_owned)
}

fn ssh(options: &SshOptions) -> Command {
    let mut command = Command::new("ssh");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(config) = &options.config {
        command.arg("-F").arg(config);
    }
    if let Some(user) = &options.user {
        command.arg("-l").arg(user);
    }
    if let Some(identity) = &options.identity {
        command
            .args(["-o", "IdentitiesOnly=yes", "-i"])
            .arg(identity);
    }
    command
}

fn not_started(error: io::Error) -> SshError {
    SshError::new(SshErrorKind::NoSsh, format!("ssh does not start: {error}"))
        .hint(
            "install OpenSSH's client on this host, or run the commands on each control-plane node",
        )
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_users_configuration_names_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, "Host cp-1\n  HostName 192.0.2.1\n").unwrap();
        let options = SshOptions {
            config: Some(config),
            ..SshOptions::default()
        };
        let leads = async |name| leads(&HostName::parse(name).unwrap(), &options).await;
        assert_eq!(leads("cp-1").await.as_deref(), Some("192.0.2.1"));
        assert_eq!(leads("cp-2").await, None);
        assert_eq!(leads("CP-2").await, None);
    }

    #[tokio::test]
    async fn a_host_that_refuses_is_told_with_its_words() {
        let closed = Destination::typed("ssh://127.0.0.1:1").unwrap();
        let error = open("cp-1", &closed, &SshOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, SshErrorKind::Unreachable);
        assert!(error.message.contains("onnection refused"), "{error}");
    }
}
