//! `kubectl etcd member replace`

use clap::Args;
use etcd_operations::advice;
use etcd_operations::look::LookOptions;
use etcd_operations::plan::make::{HostView, Replacing, replace as plan};
use jiff::Timestamp;

use crate::commands::Context;
use crate::commands::life::carry_out;
use crate::commands::making::Making;
use crate::commands::planned::{Accepted, Nothing, PlanArgs, Planned, WhoArgs, name_manifests};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::executor::gather::Gathered;
use kubectl_etcd_core::ssh::at_address;

const EXAMPLES: &str = "\
Examples:
  # On the control-plane node whose etcd is broken
  kubectl etcd member replace cp-3

  # From another control-plane node, or from anywhere
  kubectl etcd member replace cp-3 --ssh

  # On cp-3, which joins the cluster that was made anew on cp-1
  kubectl etcd member replace cp-3 --this-node-only --endpoint https://10.0.0.1:2379

The others must hold the quorum. The old data is moved aside, never deleted.
Exit codes: 0 done, 1 a step failed, 4 the quorum is lost, 5 refused or not confirmed.";

/// Replace a member whose data is damaged or lost, while the others hold the quorum
///
/// The old member is removed, its data is moved aside, and it joins anew under the same name and address: as a learner, which is
/// promoted once it has everything.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplaceArgs {
    /// Node whose member is replaced; with --this-node-only it may be left out
    #[arg(value_name = "NODE", required_unless_present = "this_node_only")]
    node: Option<String>,
    /// Replace it although it answers and follows a leader
    #[arg(long)]
    even_if_healthy: bool,
    /// Agree to losing what the plan says may be lost; needed with --yes where it is a member of another cluster that works
    #[arg(long)]
    accept_data_loss: bool,
    /// Client URL of another member, which is asked to remove, add and promote; else one that this host knows and that has
    /// a leader
    #[arg(long, value_name = "URL", requires = "this_node_only", value_parser = endpoint)]
    endpoint: Option<String>,
    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

/// A URL as etcd announces them to clients.
fn endpoint(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let uri: Option<http::Uri> = url.parse().ok();
    let fits = uri.is_some_and(|uri| {
        let scheme = uri
            .scheme_str()
            .is_some_and(|scheme| ["http", "https"].contains(&scheme));
        scheme
            && uri.port_u16().is_some()
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    });
    match fits {
        true => Ok(url.to_owned()),
        false => Err(format!(
            "`{text}` is no member's client URL, such as https://10.0.0.1:2379"
        )),
    }
}

pub(super) async fn replace(context: &Context<'_>, args: ReplaceArgs) -> Result<Verdict, Error> {
    let Gathered {
        mut hosts,
        unreachable,
    } = context.hosts(&args.who.ssh).await?;
    name_manifests(&mut hosts, &args.who.manifest)?;
    let node = match args.node.clone() {
        Some(node) => node,
        None => context.this_host()?.node().to_owned(),
    };
    let host = hosts
        .of(&node)
        .map_err(|_| not_there(&node, args.who.ssh.wanted(), &unreachable))?;
    let options = LookOptions {
        endpoint: args.endpoint.clone(),
        ..LookOptions::default()
    };
    let plan_of = async |now| {
        let looked = HostView {
            look: host.look(options.clone()).await?,
            host: host.host.clone(),
        };
        let what = Replacing {
            although_well: args.even_if_healthy,
            endpoint: args.endpoint.clone(),
            // Where there is none the plan says so.
            manifest: host.manifest("etcd").await.ok(),
        };
        let made = plan(&looked, &what, now);
        Planned::new(vec![looked], made, &args.who.manifest)
    };
    let making = Making {
        hosts: &hosts,
        accepted: Accepted::data_loss(args.accept_data_loss),
        bring: &Nothing,
        surroundings: context.apiservers(args.who.this_node_only),
        now: Timestamp::now(),
        plan_of,
    };
    carry_out(&making, context.ui, args.plan.consent()).await
}

/// The node whose member is to be replaced is not among the hosts.
fn not_there(node: &str, over_ssh: bool, unreachable: &[(String, String)]) -> Error {
    if let Some((_, why)) = unreachable.iter().find(|(name, _)| name == node) {
        let message = format!("{node} could not be reached: {why}");
        return Error::new(ErrorKind::NothingReached, message);
    }
    match over_ssh {
        // The others do not know what is no member any more.
        true => Error::usage(format!(
            "{node} is not among the control-plane nodes that were found"
        ))
        .hint(advice![
            at_address(node),
            format!(" says where it is; or run it on {node}"),
        ]),
        false => Error::usage(format!(
            "this host is not {node}, whose member is to be replaced"
        ))
        .hint(format!("run it on {node}, or with --ssh")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_there_is_told_with_what_lifts_it() {
        let off = [("cp-3".to_owned(), "nobody there".to_owned())];
        let unreached = not_there("cp-3", true, &off);
        assert_eq!(unreached.kind.exit_code(), 6);
        assert!(unreached.message.ends_with("nobody there"), "{unreached:?}");
        let unknown = not_there("cp-2", true, &off);
        assert_eq!(unknown.kind.exit_code(), 2);
        assert!(
            crate::advice::hints(&unknown)[0].contains("--ssh cp-2=ADDRESS"),
            "{unknown:?}"
        );
        let other = not_there("cp-2", false, &[]);
        assert!(
            crate::advice::hints(&other)[0].ends_with("or with --ssh"),
            "{other:?}"
        );
    }

    #[test]
    fn an_endpoint_is_a_url_with_a_port() {
        assert_eq!(
            endpoint("https://[fd00::1]:2379/").unwrap(),
            "https://[fd00::1]:2379"
        );
        assert!(endpoint("http://cp-1.example:2379").is_ok());
        for bad in [
            "",
            "10.0.0.1:2379",
            "https://10.0.0.1",
            "ftp://a:1",
            "https://a:1/x",
            "https://a:1?x",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
