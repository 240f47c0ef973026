//! The control-plane nodes that are reached without an apiserver: this host, and others over ssh.

use std::collections::BTreeSet;

use etcd_operations::host::{Ask, Hello, HostAnswer, HostRequest};
use etcd_operations::local::host;
use etcd_operations::look::{Look, LookOptions};
use etcd_operations::manifest::Selection;
use futures::future::join_all;

use super::{Candidate, Origin, host_of};
use crate::cli::ConnectionArgs;
use crate::error::{Error, ErrorKind};
use crate::runners::host::Host;
use crate::runners::local;
use crate::ssh::{SshArgs, SshHost};
use crate::ui::Ui;

/// Who was reached, and who was not.
pub(crate) struct Reached {
    /// Control-plane nodes, in the order of their names.
    pub(crate) hosts: Vec<ReachedHost>,
    /// Who could not be reached, or is no control-plane node.
    pub(crate) unreached: Vec<Unreached>,
    /// Whether these are all there are, as far as anybody knows.
    pub(crate) complete: bool,
    /// Which manifests are meant on them.
    selection: Selection,
}

/// A host, and what it says of itself.
pub(crate) struct ReachedHost {
    /// The host.
    pub(crate) host: Host,
    /// What it says.
    pub(crate) hello: Hello,
}

/// A host that takes no part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreached {
    /// What it is called: its node's name where that is known.
    pub(crate) name: String,
    /// Where it was looked for.
    pub(crate) addresses: Vec<String>,
    /// Why.
    pub(crate) why: String,
    /// What would help.
    pub(crate) hint: Option<String>,
}

/// The members that hosts know beside those that were looked for.
#[derive(Debug, Default)]
struct Others {
    /// Them, at the addresses where members reach them.
    new: Vec<Candidate>,
    /// Whether with them it is all there are, by the word of an etcd or of its data.
    all: bool,
}

/// Finds the control-plane nodes and connects to all of them at once. This host is one when it is a control-plane node
/// and we are root.
///
/// Who is asked, and who says so, is told: those that the command line names, those that this host's etcd knows, those of
/// the last time that the cluster answered. Where there is nothing but the kubeconfig's server, or the address of some
/// node, the hosts reached there know the others.
///
/// # Errors
/// When there is nobody.
pub(crate) async fn reach(
    ui: &Ui,
    ssh: &SshArgs,
    connection: &ConnectionArgs,
) -> Result<Reached, Error> {
    let mut reached = Reached::nobody(connection.selection());
    match local::node_name() {
        Ok(node) => {
            let here = here(ui, node, &reached.selection);
            reached.add_here(here, ssh.wanted()).await?;
        }
        Err(error) if !ssh.wanted() => {
            return Err(error.hint("--ssh works on the control-plane nodes from here"));
        }
        Err(_) => {}
    }
    if ssh.wanted() {
        let others = match ssh.master.is_empty() {
            true => reached.others(ui).await,
            // Who names masters means these and no others.
            false => Others::default(),
        };
        match others.all || !others.new.is_empty() {
            true => reached.connect_to_others(ui, others, ssh).await,
            false => reached.find(ui, ssh, connection).await?,
        }
    }
    reached
        .hosts
        .sort_by(|one, other| one.node().cmp(other.node()));
    match reached.hosts.is_empty() {
        false => Ok(reached),
        true => Err(reached.none()),
    }
}

/// This host, and where others reach it: by its etcd's peer URL.
pub(crate) fn here(ui: &Ui, node: String, selection: &Selection) -> Host {
    let found = host(selection).ok().and_then(|host| host.etcd.ok()?);
    let target = found.and_then(|etcd| etcd.target.ok());
    let address = target.and_then(|target| host_of(target.peer_urls.first()?));
    Host::here(node, address, ui.notices()).meaning(selection.clone())
}

impl ReachedHost {
    /// The node's name.
    pub(crate) fn node(&self) -> &str {
        self.host.node()
    }
}

impl Reached {
    fn nobody(selection: Selection) -> Self {
        Self {
            hosts: Vec::new(),
            unreached: Vec::new(),
            complete: false,
            selection,
        }
    }

    /// This host. Where others are asked too, it takes part only as a control-plane node: a worker has such a folder too.
    async fn add_here(&mut self, host: Host, others: bool) -> Result<(), Error> {
        let hello = host.hello().await?;
        if hello.control_plane || !others {
            self.hosts.push(ReachedHost { host, hello });
        }
        Ok(())
    }

    /// Those that are found without asking any, and, where these may not be all, those that they know.
    async fn find(
        &mut self,
        ui: &Ui,
        ssh: &SshArgs,
        connection: &ConnectionArgs,
    ) -> Result<(), Error> {
        let found = match super::find(ssh, connection).await {
            Ok(found) => found,
            // This host is enough to begin with.
            Err(_) if !self.hosts.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        ui.say(&found.told);
        self.connect(ui, found.candidates, ssh).await;
        // Who is named on the command line may be some of them.
        self.complete = found.complete && ssh.master.is_empty();
        if !found.complete && !self.hosts.is_empty() {
            let others = self.others(ui).await;
            self.connect_to_others(ui, others, ssh).await;
        }
        Ok(())
    }

    /// Those that one of the hosts knows, at the addresses that the command line gives where it does; and those that it
    /// names beside them: what was a member once, say.
    async fn connect_to_others(&mut self, ui: &Ui, others: Others, ssh: &SshArgs) {
        self.complete = others.all;
        let mut named = super::named(ssh);
        named.retain(|one| !self.has_tried(one) && !others.new.iter().any(|new| one.is_of(new)));
        let given = ssh.addresses();
        let known = others.new.into_iter().map(|one| one.at_given(&given));
        let known: Vec<Candidate> = known.collect();
        let who: Vec<&str> = self.hosts.iter().map(ReachedHost::node).collect();
        let whence = format!("as {} knows them", who.join(", "));
        for (whence, new) in [(whence.as_str(), known), ("from --ssh", named)] {
            if !new.is_empty() {
                ui.say(&super::told(&new, whence));
                self.connect(ui, new, ssh).await;
            }
        }
    }

    /// Whether it was looked for, by its name or one of its addresses.
    fn has_tried(&self, candidate: &Candidate) -> bool {
        let hosts = self.hosts.iter();
        let reached = hosts.flat_map(|one| [Some(one.node()), one.host.host.address.as_deref()]);
        let unreached = self.unreached.iter().flat_map(Unreached::words);
        let mut tried = reached.flatten().chain(unreached);
        tried.any(|tried| candidate.words().any(|word| word == tried))
    }

    /// The members that the hosts know and that were not looked for yet.
    async fn others(&self, ui: &Ui) -> Others {
        let looks = self
            .hosts
            .iter()
            .map(async |one| one.host.look(LookOptions::WITHOUT_DATABASES).await);
        let looks = join_all(looks).await;
        ui.end_progress();
        let mut others = Others::default();
        for look in looks.iter().filter_map(|look| look.as_ref().ok()) {
            others.all |= knows_members(look);
            for candidate in others_of(look) {
                if !self.has_tried(&candidate) && !others.new.contains(&candidate) {
                    others.new.push(candidate);
                }
            }
        }
        // etcd lists its members by their ids.
        others
            .new
            .sort_by(|one, other| one.name().cmp(other.name()));
        others
    }

    /// Connects to all of these at once.
    async fn connect(&mut self, ui: &Ui, candidates: Vec<Candidate>, ssh: &SshArgs) {
        let asked = candidates
            .iter()
            .map(|candidate| connect(ui, candidate, ssh, &self.selection));
        for (candidate, connected) in candidates.iter().zip(join_all(asked).await) {
            match connected {
                Ok(one) if self.hosts.iter().any(|known| known.node() == one.node()) => {}
                Ok(one) => self.hosts.push(one),
                Err(error) => self.unreached.push(Unreached::new(candidate, error)),
            }
        }
    }

    fn none(self) -> Error {
        let message = "no control-plane node could be reached";
        let error = Error::new(ErrorKind::NothingReached, message);
        self.unreached.into_iter().fold(error, |error, one| {
            let error = error.hint(format!("{}: {}", one.name, one.why));
            one.hint.into_iter().fold(error, Error::hint)
        })
    }
}

impl Unreached {
    fn new(candidate: &Candidate, error: Error) -> Self {
        let hint = match candidate.origin {
            Origin::Kubeconfig => Some(
                "the kubeconfig's server may be a load balancer: --master HOST names a control-plane node".to_owned(),
            ),
            Origin::Ssh | Origin::Master | Origin::Cache | Origin::Member => {
                error.hints.into_iter().next()
            }
        };
        Self {
            name: candidate.name().to_owned(),
            addresses: candidate.addresses.clone(),
            why: error.message,
            hint,
        }
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        let addresses = self.addresses.iter().map(String::as_str);
        addresses.chain([self.name.as_str()])
    }
}

/// Whether a host knows the members from its etcd or its data: a manifest tells of those there were at first.
fn knows_members(look: &Look) -> bool {
    let live = look
        .live
        .ok()
        .is_some_and(|live| live.members.ok().is_some());
    let inspection = look
        .cold
        .ok()
        .and_then(|cold| cold.inspection.as_ref()?.ok());
    live || inspection.is_some_and(|found| !found.members.is_empty())
}

/// The other members that a host knows, at the addresses where members reach them.
fn others_of(look: &Look) -> Vec<Candidate> {
    let own: BTreeSet<&String> = look
        .etcd
        .ok()
        .into_iter()
        .flat_map(|etcd| &etcd.target.peer_urls)
        .collect();
    let others = look.known_members().into_iter();
    others
        .filter(|(_, urls)| !urls.iter().any(|url| own.contains(url)))
        .map(|(name, urls)| Candidate {
            node: (!name.is_empty()).then_some(name),
            addresses: urls.iter().filter_map(|url| host_of(url)).collect(),
            origin: Origin::Member,
        })
        .filter(|candidate| !candidate.addresses.is_empty())
        .collect()
}

/// Connects to a host, and has it say who it is.
pub(crate) async fn connect(
    ui: &Ui,
    candidate: &Candidate,
    ssh: &SshArgs,
    selection: &Selection,
) -> Result<ReachedHost, Error> {
    let connected = SshHost::connect(candidate, &ssh.options(), ui.notices()).await?;
    let ask = Ask::new(HostRequest::Hello).of(selection.clone());
    let hello = match connected.ask(&ask, &mut |_| ()).await? {
        HostAnswer::Hello(hello) => hello,
        other => {
            return Err(Error::failed(format!(
                "an answer to something else: {other:?}"
            )));
        }
    };
    if !hello.control_plane {
        let node = &hello.node;
        return Err(Error::failed(format!(
            "{node} is no control-plane node: no static pod there is of a control plane"
        )));
    }
    let address = candidate.addresses.first().cloned();
    let host = Host::over_ssh(hello.node.clone(), address, connected, ui.notices());
    let host = host.meaning(selection.clone());
    Ok(ReachedHost { host, hello })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(origin: Origin) -> Candidate {
        Candidate {
            node: None,
            addresses: vec!["api.example.com".into()],
            origin,
        }
    }

    fn refused() -> Error {
        Error::new(ErrorKind::NothingReached, "nobody there").hint("does `ssh` work?")
    }

    #[test]
    fn a_kubeconfigs_server_that_is_no_master_is_told_with_what_lifts_it() {
        let mut reached = Reached::nobody(Selection::default());
        let server = candidate(Origin::Kubeconfig);
        reached.unreached.push(Unreached::new(&server, refused()));
        let error = reached.none();
        assert_eq!(error.kind.exit_code(), 6);
        assert_eq!(error.hints[0], "api.example.com: nobody there");
        assert!(error.hints[1].contains("--master HOST"), "{error:?}");
    }

    #[test]
    fn a_host_that_was_named_is_told_with_its_own_hint() {
        let one = Unreached::new(&candidate(Origin::Master), refused());
        assert_eq!(one.hint.as_deref(), Some("does `ssh` work?"));
        assert_eq!(one.name, "api.example.com");
    }
}
