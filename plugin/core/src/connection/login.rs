//! Login plugins: programs that a kubeconfig names and that print credentials (`exec`), run as client-go runs them.
//!
//! kube has a runner of its own, which is not used: it runs the plugin several times for each client, takes an unknown
//! version of the interface, tells it that a person is there when none is, and its errors name neither the plugin nor
//! what installs it.

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice};
use std::io::{self, IsTerminal};
use std::process::{ExitStatus, Stdio};

use http::HeaderValue;
use jiff::Timestamp;
use kube::config::ExecAuthCluster;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::kuberc::Policy;
use super::token::bearer;
use crate::clean::clean;
use crate::error::{Error, ErrorKind};
use crate::limits;

/// The versions of the interface, as kubectl takes them.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];
/// The most that a plugin prints.
const LARGEST_ANSWER: u64 = 1 << 20;
/// Whether a plugin may ask a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interactive {
    /// It asks nobody.
    Never,
    /// When standard input is a terminal.
    IfAvailable,
    /// Only then it can do its work.
    Always,
}

impl Interactive {
    /// Reads a kubeconfig's `interactiveMode`. The old version of the interface did not have to say it.
    ///
    /// # Errors
    /// When it is none, or is missing.
    pub(super) fn parse(mode: Option<&str>, api_version: &str) -> Result<Self, String> {
        match mode {
            Some("Never") => Ok(Self::Never),
            Some("IfAvailable") => Ok(Self::IfAvailable),
            Some("Always") => Ok(Self::Always),
            None if api_version == VERSIONS[1] => Ok(Self::IfAvailable),
            None => Err("has no interactiveMode: Never, IfAvailable or Always".to_owned()),
            Some(other) => Err(format!(
                "has the interactiveMode {other:?}, which is none of Never, IfAvailable and Always"
            )),
        }
    }
}

/// Checks a version of the interface.
///
/// # Errors
/// When kubectl does not take it either.
pub(super) fn check_version(api_version: &str) -> Result<(), String> {
    if VERSIONS.contains(&api_version) {
        return Ok(());
    }
    let removed = match api_version.ends_with("/v1alpha1") {
        true => {
            ", which kubectl has not taken since 1.24: a newer version of the plugin and of its lines in the kubeconfig"
        }
        false => "",
    };
    Err(format!(
        "has the apiVersion {api_version:?}, which is none of {}{removed}",
        VERSIONS.join(" and ")
    ))
}

/// A login plugin.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    /// The user whose it is, for messages.
    pub(super) user: String,
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) api_version: String,
    pub(super) interactive: Interactive,
    pub(super) install_hint: Option<String>,
    /// What it is told of the cluster.
    pub(super) cluster: Option<ExecAuthCluster>,
    /// Whether kubectl would run it.
    pub(super) policy: Policy,
}

/// What a plugin gave.
pub(super) struct Login {
    pub(super) token: Option<HeaderValue>,
    /// A client certificate and its key, in PEM.
    pub(super) identity: Option<(String, String)>,
    /// Until when.
    pub(super) expires: Option<Timestamp>,
}

/// Why nobody is logged in: by a plugin or a file with a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoginFailure {
    /// What happened.
    pub message: String,
    /// What would help, a line each.
    pub hints: Vec<Advice>,
}

impl From<LoginFailure> for Error {
    fn from(failure: LoginFailure) -> Self {
        let error = Self::new(ErrorKind::NotAllowed, failure.message);
        failure.hints.into_iter().fold(error, Self::hint)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: Option<String>,
    kind: Option<String>,
    status: Option<ExecCredentialStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredentialStatus {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl Plugin {
    /// Runs it. It shares this process's standard error, and its standard input where it may ask somebody.
    ///
    /// # Errors
    /// When kubectl's settings forbid it, it cannot be run, fails, or prints what are no credentials.
    pub(super) async fn run(&self) -> Result<Login, LoginFailure> {
        let allowed = self.policy.allows(&self.command);
        allowed.map_err(|what| self.failure(what))?;
        let interactive = self.may_ask(io::stdin().is_terminal())?;
        let answer = tokio::time::timeout(limits::LOGIN, self.answer(interactive)).await;
        let gave_up = |_| {
            self.failure(format!(
                "gave no answer within {} s",
                limits::LOGIN.as_secs()
            ))
        };
        self.read(&answer.map_err(gave_up)??)
    }

    fn may_ask(&self, terminal: bool) -> Result<bool, LoginFailure> {
        match (self.interactive, terminal) {
            (Interactive::Never, _) | (Interactive::IfAvailable, false) => Ok(false),
            (Interactive::IfAvailable | Interactive::Always, true) => Ok(true),
            (Interactive::Always, false) => Err(self
                .failure("needs a terminal (interactiveMode: Always), and standard input is none")),
        }
    }

    async fn answer(&self, interactive: bool) -> Result<Vec<u8>, LoginFailure> {
        let mut command = Command::new(&self.command);
        let own = self.env.iter().map(|(name, value)| (name, value));
        command
            .args(&self.args)
            .envs(own)
            .env("KUBERNETES_EXEC_INFO", self.told(interactive))
            .stdin(if interactive {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| self.not_run(&error))?;
        let mut answer = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = stdout.take(LARGEST_ANSWER + 1);
            let read = stdout.read_to_end(&mut answer).await;
            read.map_err(|error| self.not_run(&error))?;
        }
        if answer.len() as u64 > LARGEST_ANSWER {
            let what = format!("printed more than {LARGEST_ANSWER} bytes");
            return Err(self.failure(what));
        }
        let status = child.wait().await.map_err(|error| self.not_run(&error))?;
        match status.success() {
            true => Ok(answer),
            false => Err(self.failed(status)),
        }
    }

    /// What a plugin is told in its environment.
    fn told(&self, interactive: bool) -> String {
        let mut spec = serde_json::json!({ "interactive": interactive });
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = serde_json::json!(cluster);
        }
        let told = serde_json::json!({
            "kind": "ExecCredential", "apiVersion": self.api_version, "spec": spec,
        });
        told.to_string()
    }

    fn read(&self, answer: &[u8]) -> Result<Login, LoginFailure> {
        let options = serde_saphyr::options! { with_snippet: false };
        let read: ExecCredential =
            serde_saphyr::from_slice_with_options(answer, options).map_err(|error| {
                self.failure(format!(
                    "printed something other than an ExecCredential: {error}"
                ))
            })?;
        let kind = read.kind.unwrap_or_default();
        let version = read.api_version.unwrap_or_default();
        if kind != "ExecCredential" || version != self.api_version {
            let expected = &self.api_version;
            return Err(self.failure(format!(
                "printed a {kind:?} of version {version:?} instead of an \"ExecCredential\" of version {expected:?}"
            )));
        }
        let Some(status) = read.status else {
            return Err(self.failure("printed no status, where the credentials are"));
        };
        let full = |text: Option<String>| text.filter(|text| !text.is_empty());
        let identity = match (
            full(status.client_certificate_data),
            full(status.client_key_data),
        ) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(self.failure("printed a client certificate or its key, not both")),
        };
        let token = full(status.token).map(|token| {
            bearer(&token).map_err(|what| self.failure(format!("printed a token that {what}")))
        });
        let token = token.transpose()?;
        if token.is_none() && identity.is_none() {
            return Err(self.failure("printed neither a token nor a client certificate"));
        }
        let expires = full(status.expiration_timestamp).map(|text| {
            let wrong = |_| self.failure(format!("printed {text:?} as the time it expires"));
            text.parse().map_err(wrong)
        });
        Ok(Login {
            token,
            identity,
            expires: expires.transpose()?,
        })
    }

    fn not_run(&self, error: &io::Error) -> LoginFailure {
        if error.kind() != io::ErrorKind::NotFound {
            return self.failure(format!("cannot be run: {error}"));
        }
        let mut failure = self.failure(match self.command.contains('/') {
            true => "does not exist",
            false => "is not installed: no folder in PATH has it",
        });
        let hint = self.install_hint.iter().flat_map(|hint| hint.lines());
        let hint = hint.map(clean).filter(|line| !line.is_empty());
        failure.hints.extend(hint.map(Advice::from));
        if failure.hints.is_empty() {
            failure.hints.push(advice![
                "install it, or choose another user of the kubeconfig: ",
                Choice::User.with("NAME"),
            ]);
        }
        failure
    }

    fn failed(&self, status: ExitStatus) -> LoginFailure {
        self.failure(match status.code() {
            Some(code) => format!("failed with exit code {code}"),
            None => format!("was ended: {status}"),
        })
    }

    fn failure(&self, what: impl AsRef<str>) -> LoginFailure {
        let (command, user) = (clean(&self.command), clean(&self.user));
        LoginFailure {
            message: format!(
                "the login plugin `{command}` of the user `{user}` {}",
                clean(what.as_ref())
            ),
            hints: Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
