//! From kubectl's own flags and kubeconfig files to a connection's configuration: what kubectl takes is taken, what it
//! refuses is refused. The rules are those of client-go's `clientcmd`.

mod chosen;
mod data;
mod file;
mod proxy;
mod server;
mod usable;

use etcd_operations::advice;
use etcd_operations::advice::{Choice, Task};
use std::path::PathBuf;

use kube::Config;

use super::credentials::Credentials;
use crate::connection::options::ConnectionOptions;
use crate::error::Error;
use chosen::Chosen;
use file::{Files, Kubeconfig};
pub(crate) use proxy::Proxy;
use usable::Usable;

/// The administrator's kubeconfig that kubeadm puts on every control-plane node.
pub(crate) const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// A configuration, and where it came from, for messages.
pub(super) struct Loaded {
    pub(super) config: Config,
    /// What is put on requests beside what the configuration has.
    pub(super) credentials: Credentials,
    /// What leads to the apiserver.
    pub(super) proxy: Option<Proxy>,
    /// The kubeconfig's path, or what stood in for one.
    pub(super) origin: String,
}

/// Reads the kubeconfig as kubectl would and puts the flags over it. Nobody is asked, and no login plugin is run.
///
/// # Errors
/// Usage errors: an unreadable or malformed file, no such context, cluster or user, a certificate that cannot be read.
pub(super) fn load(args: &ConnectionOptions) -> Result<Loaded, Error> {
    let found = find(args)?;
    match &found.kubeconfig {
        Some(kubeconfig) => of(kubeconfig, found.origin.clone(), args),
        None => without_kubeconfig(args, &found),
    }
}

/// What people call this cluster: the current context. None without a kubeconfig.
pub(crate) fn current_context(args: &ConnectionOptions) -> Option<String> {
    let kubeconfig = find(args).ok()?.kubeconfig?;
    kubeconfig.current_context().map(str::to_owned)
}

/// The names of all contexts; none without a kubeconfig.
pub(crate) fn context_names(args: &ConnectionOptions) -> Vec<String> {
    let found = find(args).ok().and_then(|found| found.kubeconfig);
    found.map_or_else(Vec::new, |kubeconfig| kubeconfig.context_names())
}

fn of(kubeconfig: &Kubeconfig, origin: String, args: &ConnectionOptions) -> Result<Loaded, Error> {
    let chosen = Chosen::of(kubeconfig, &origin, args)?;
    let Usable {
        config,
        credentials,
        proxy,
    } = chosen.usable().map_err(|what| unusable(&origin, &what))?;
    Ok(Loaded {
        config,
        credentials,
        proxy,
        origin,
    })
}

/// The error of a kubeconfig with which there is something wrong.
pub(super) fn unusable(origin: &str, what: &str) -> Error {
    Error::usage(format!("the kubeconfig {origin} cannot be used: {what}"))
}

/// The kubeconfig that is named, else those of `KUBECONFIG`, else the usual one.
fn find(args: &ConnectionOptions) -> Result<Files, Error> {
    if let Some(path) = &args.kubeconfig {
        let found = Files::read(std::slice::from_ref(path))?;
        let origin = path.display();
        return match found.kubeconfig {
            None => Err(Error::usage(format!(
                "the kubeconfig {origin} does not exist"
            ))),
            Some(kubeconfig) if kubeconfig.is_empty() && args.server.is_none() => {
                Err(Error::usage(format!("the kubeconfig {origin} is empty")))
            }
            kubeconfig => Ok(Files {
                kubeconfig,
                ..found
            }),
        };
    }
    let list = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
    let mut found = match &list {
        Some(list) => Files::read(&std::env::split_paths(list).collect::<Vec<_>>())?,
        None => {
            let home = std::env::var_os("HOME").map(PathBuf::from);
            let usual = home.map(|home| home.join(".kube/config"));
            Files::read(usual.as_slice())?
        }
    };
    if list.is_none() {
        // Nobody named it.
        found.missing.clear();
    }
    // Nothing in it is as good as no file.
    let kubeconfig = found.kubeconfig.filter(|kubeconfig| !kubeconfig.is_empty());
    Ok(Files {
        kubeconfig,
        ..found
    })
}

/// No kubeconfig: a bare `--server`, the pod this runs in, or kubeadm's own file on a control-plane node.
fn without_kubeconfig(args: &ConnectionOptions, found: &Files) -> Result<Loaded, Error> {
    if args.server.is_some() && args.context.is_none() {
        return of(&Kubeconfig::default(), "--server".into(), args);
    }
    if args.context.is_none()
        && let Ok(mut config) = Config::incluster()
    {
        let token = config.auth_info.token_file.take();
        return Ok(Loaded {
            config,
            credentials: token.map_or(Credentials::Kube, |path| Credentials::File(path.into())),
            proxy: None,
            origin: "this pod's service account".into(),
        });
    }
    if std::fs::File::open(ADMIN_CONF).is_ok()
        && let Files {
            kubeconfig: Some(kubeconfig),
            origin,
            ..
        } = Files::read(&[ADMIN_CONF.into()])?
    {
        return of(&kubeconfig, origin, args);
    }
    Err(none_found(found))
}

fn none_found(found: &Files) -> Error {
    let missing: Vec<String> = found
        .missing
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let why = match (found.origin.as_str(), missing.as_slice()) {
        ("", []) => "neither --kubeconfig, $KUBECONFIG nor ~/.kube/config is there".to_owned(),
        ("", missing) => format!(
            "$KUBECONFIG names {}, which does not exist",
            missing.join(", ")
        ),
        (empty, _) => format!("{empty} is empty"),
    };
    Error::usage(format!("no kubeconfig: {why}")).hint(advice![
        Task::Same.with(Choice::Kubeconfig, "FILE"),
        " …, or as root on a control-plane node ",
        Choice::Via.with("local")
    ])
}

#[cfg(test)]
#[path = "kubeconfig/tests.rs"]
mod tests;
