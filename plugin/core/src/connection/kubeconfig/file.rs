//! A kubeconfig file as client-go reads it: the first YAML document, of two equal keys the last one, null for what is
//! not given, paths below the file's own folder.
//!
//! Types of our own instead of kube's: those refuse what kubectl takes (a context without a cluster, null in places) and
//! take what kubectl refuses (two users of one name), and their reader panics at half a UTF-16 character.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use etcd_datadir::disk::{if_there, read_up_to};
use serde::Deserialize;

use super::super::reading::first_document;
use crate::error::Error;

/// The largest kubeconfig that is read, in bytes. One with a thousand clusters has some 10 MiB.
pub(super) const LARGEST: u64 = 64 << 20;

/// A kubeconfig, of one file or of several.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Kubeconfig {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    kind: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
    current_context: Option<String>,
}

/// A cluster and its name.
#[derive(Clone, Default, Deserialize)]
pub(super) struct NamedCluster {
    name: Option<String>,
    cluster: Option<Cluster>,
}

/// A user and its name.
#[derive(Clone, Default, Deserialize)]
pub(super) struct NamedUser {
    name: Option<String>,
    user: Option<User>,
}

/// A context and its name.
#[derive(Clone, Default, Deserialize)]
pub(super) struct NamedContext {
    name: Option<String>,
    context: Option<Context>,
}

/// Where an apiserver is, and how it proves that it is that one.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure_skip_tls_verify: Option<bool>,
    pub(super) certificate_authority: Option<String>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) proxy_url: Option<String>,
    pub(super) disable_compression: Option<bool>,
    pub(super) extensions: Option<Vec<Extension>>,
}

/// What programs keep in a kubeconfig for themselves; a login plugin is given one of a name of its own.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Extension {
    pub(super) name: Option<String>,
    pub(super) extension: Option<serde_json::Value>,
}

/// Who somebody is to an apiserver. Never printed: it has secrets.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct User {
    pub(super) client_certificate: Option<String>,
    pub(super) client_certificate_data: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) client_key_data: Option<String>,
    pub(super) token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<String>,
    #[serde(rename = "as")]
    pub(super) impersonate: Option<String>,
    #[serde(rename = "as-uid")]
    pub(super) impersonate_uid: Option<String>,
    #[serde(rename = "as-groups")]
    pub(super) impersonate_groups: Option<Vec<String>>,
    #[serde(rename = "as-user-extra")]
    pub(super) impersonate_extra: Option<BTreeMap<String, Vec<String>>>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) auth_provider: Option<AuthProvider>,
    pub(super) exec: Option<Exec>,
}

/// A way to log in that is compiled into the client.
#[derive(Clone, Default, Deserialize)]
pub(super) struct AuthProvider {
    pub(super) name: Option<String>,
    pub(super) config: Option<BTreeMap<String, Option<String>>>,
}

/// A program that logs in.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exec {
    pub(super) command: Option<String>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<ExecVariable>>,
    pub(super) api_version: Option<String>,
    pub(super) install_hint: Option<String>,
    pub(super) provide_cluster_info: Option<bool>,
    pub(super) interactive_mode: Option<String>,
}

/// A variable of a login plugin's environment.
#[derive(Clone, Default, Deserialize)]
pub(super) struct ExecVariable {
    pub(super) name: Option<String>,
    pub(super) value: Option<String>,
}

/// A user on a cluster.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Context {
    pub(super) cluster: Option<String>,
    pub(super) user: Option<String>,
    pub(super) namespace: Option<String>,
}

/// A text that is given and not empty: an empty one means the same as none.
pub(super) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// What of a kubeconfig has names: clusters, users and contexts.
pub(super) trait Named {
    /// What it is called in messages.
    const KIND: &'static str;
    /// What the name stands for.
    type Value: Clone + Default;
    fn name(&self) -> &str;
    fn value(&self) -> Option<&Self::Value>;
}

macro_rules! named {
    ($named:ident, $value:ident, $field:ident, $kind:literal) => {
        impl Named for $named {
            const KIND: &'static str = $kind;
            type Value = $value;
            fn name(&self) -> &str {
                self.name.as_deref().unwrap_or_default()
            }
            fn value(&self) -> Option<&$value> {
                self.$field.as_ref()
            }
        }
    };
}
named!(NamedCluster, Cluster, cluster, "cluster");
named!(NamedUser, User, user, "user");
named!(NamedContext, Context, context, "context");

/// The one of this name.
fn find<N: Named>(list: &Option<Vec<N>>, name: &str) -> Option<N::Value> {
    let mut named = list.iter().flatten();
    let found = named.find(|one| one.name() == name)?;
    Some(found.value().cloned().unwrap_or_default())
}

fn names<N: Named>(list: &Option<Vec<N>>) -> Vec<String> {
    let named = list.iter().flatten();
    named.map(|one| one.name().to_owned()).collect()
}

/// The first file to have a name has it for good.
fn append<N: Named>(list: &mut Option<Vec<N>>, more: Option<Vec<N>>) {
    let have: BTreeSet<String> = names(list).into_iter().collect();
    let new = more.into_iter().flatten();
    let new = new.filter(|one| !have.contains(one.name()));
    list.get_or_insert_default().extend(new);
}

fn twice<N: Named>(list: &Option<Vec<N>>) -> Result<(), String> {
    let mut have = BTreeSet::new();
    match list.iter().flatten().find(|one| !have.insert(one.name())) {
        Some(one) => Err(format!(
            "it has two {kind}s named `{}`: rename or remove one of them",
            one.name(),
            kind = N::KIND
        )),
        None => Ok(()),
    }
}

impl Kubeconfig {
    /// Reads a file; none: it is not there.
    ///
    /// # Errors
    /// When it cannot be read, or is no kubeconfig.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let origin = path.display();
        let trouble = |error: io::Error| {
            Error::usage(format!("the kubeconfig {origin} cannot be read")).caused_by(error)
        };
        let Some(bytes) = if_there(read_up_to(path, LARGEST)).map_err(trouble)? else {
            return Ok(None);
        };
        let mut read = Self::parse(&bytes).map_err(|what| {
            Error::usage(format!("the kubeconfig {origin} cannot be used: {what}"))
        })?;
        let folder = std::path::absolute(path).map_err(trouble)?;
        read.resolve_paths(folder.parent().unwrap_or(Path::new("/")));
        Ok(Some(read))
    }

    /// Reads a file's text; an error says what is wrong with it, without any of the text: that has secrets.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        if !utf16 && std::str::from_utf8(bytes).is_err() {
            return Err("it is not a text file".to_owned());
        }
        let read: Self = first_document(bytes).map_err(|error| error.to_string())?;
        match (given(&read.api_version), given(&read.kind)) {
            (None | Some("v1"), None | Some("Config")) => {}
            (version, kind) => {
                let (version, kind) = (version.unwrap_or("v1"), kind.unwrap_or("Config"));
                return Err(format!(
                    "it is a {kind:?} of version {version:?}, not a \"Config\" of version \"v1\""
                ));
            }
        }
        twice(&read.clusters)?;
        twice(&read.users)?;
        twice(&read.contexts)?;
        Ok(read)
    }

    /// What stands in it as a path is meant from its folder. A program without a slash is looked for in `PATH`.
    fn resolve_paths(&mut self, folder: &Path) {
        let resolve = |path: &mut Option<String>| {
            if let Some(text) = path.as_mut().filter(|text| !text.is_empty()) {
                *text = folder.join(&*text).to_string_lossy().into_owned();
            }
        };
        for named in self.clusters.iter_mut().flatten() {
            if let Some(cluster) = &mut named.cluster {
                resolve(&mut cluster.certificate_authority);
            }
        }
        for named in self.users.iter_mut().flatten() {
            let Some(user) = &mut named.user else {
                continue;
            };
            resolve(&mut user.client_certificate);
            resolve(&mut user.client_key);
            resolve(&mut user.token_file);
            if let Some(exec) = &mut user.exec
                && given(&exec.command).is_some_and(|command| command.contains('/'))
            {
                resolve(&mut exec.command);
            }
        }
    }

    /// This one, and of another one what this one has not.
    #[must_use]
    pub(super) fn merged(mut self, next: Self) -> Self {
        append(&mut self.clusters, next.clusters);
        append(&mut self.users, next.users);
        append(&mut self.contexts, next.contexts);
        if given(&self.current_context).is_none() {
            self.current_context = next.current_context;
        }
        self
    }

    /// Whether nothing stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.cluster_names().is_empty()
            && self.user_names().is_empty()
            && self.context_names().is_empty()
            && self.current_context().is_none()
    }

    pub(super) fn current_context(&self) -> Option<&str> {
        given(&self.current_context)
    }

    pub(super) fn context(&self, name: &str) -> Option<Context> {
        find(&self.contexts, name)
    }

    pub(super) fn cluster(&self, name: &str) -> Option<Cluster> {
        find(&self.clusters, name)
    }

    pub(super) fn user(&self, name: &str) -> Option<User> {
        find(&self.users, name)
    }

    pub(super) fn context_names(&self) -> Vec<String> {
        names(&self.contexts)
    }

    pub(super) fn cluster_names(&self) -> Vec<String> {
        names(&self.clusters)
    }

    pub(super) fn user_names(&self) -> Vec<String> {
        names(&self.users)
    }
}

/// The files that count, as kubectl takes them, and what to call them.
#[derive(Default)]
pub(super) struct Files {
    /// What stands in them together; none: there is no such file, or nothing in any.
    pub(super) kubeconfig: Option<Kubeconfig>,
    /// Their paths.
    pub(super) origin: String,
    /// Those that were named and are not there.
    pub(super) missing: Vec<PathBuf>,
}

impl Files {
    /// Reads and merges. Files that are not there are skipped, and so is a file's second mention.
    ///
    /// # Errors
    /// As [`Kubeconfig::read`].
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut files = Self::default();
        let mut names = Vec::new();
        let mut seen = BTreeSet::new();
        for path in paths {
            if path.as_os_str().is_empty() || !seen.insert(path) {
                continue;
            }
            let Some(next) = Kubeconfig::read(path)? else {
                files.missing.push(path.clone());
                continue;
            };
            names.push(path.display().to_string());
            files.kubeconfig = Some(match files.kubeconfig.take() {
                None => next,
                Some(so_far) => so_far.merged(next),
            });
        }
        files.origin = names.join(":");
        Ok(files)
    }
}
