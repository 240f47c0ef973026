//! `kubectl etcd viewers`

use clap::Args;
use etcd_operations::advice;
use etcd_operations::advice::Task;
use kube::Client;

use super::Context;
use crate::advice::typed;
use crate::args::FleetArgs;
use kubectl_etcd_core::connection::chain;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::outcome::run_error;
use kubectl_etcd_core::runners::program::Program;
use kubectl_etcd_core::session::Node;
use kubectl_etcd_core::viewers::{Grant, REFUSED_NAMESPACE, Subject, manifests};

/// The group that looks unless somebody else is named.
const GROUP: &str = "kubectl-etcd:viewers";

const EXAMPLES: &str = "\
Examples:
  # The group kubectl-etcd:viewers may run status, members, health, alarm list, snapshot list
  # and snapshot schedule show
  kubectl etcd viewers | kubectl apply -f -

  # A user and the service account of a monitoring system
  kubectl etcd viewers --for-user jane --for-serviceaccount monitoring:checks | kubectl apply -f -

Needs Kubernetes 1.30 or later and an operator: the policy is made for the program that this version \
uploads, and after an upgrade of kubectl etcd the same command renews it.";

/// Print the role that lets people look, with the admission policy that holds them to it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ViewersArgs {
    /// A group that may look; may be given several times [default: kubectl-etcd:viewers]
    #[arg(long, value_name = "GROUP")]
    for_group: Vec<String>,
    /// A user who may look; may be given several times
    #[arg(long, value_name = "USER")]
    for_user: Vec<String>,
    /// A service account that may look; may be given several times
    #[arg(long, value_name = "NAMESPACE:NAME", value_parser = service_account)]
    for_serviceaccount: Vec<Subject>,
}

fn service_account(text: &str) -> Result<Subject, String> {
    match text.split_once(':') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(Subject::ServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        }
        _ => Err("a namespace and a name, as in monitoring:checks".to_owned()),
    }
}

impl ViewersArgs {
    /// Who may look.
    fn subjects(self) -> Vec<Subject> {
        let groups = self.for_group.into_iter().map(Subject::Group);
        let users = self.for_user.into_iter().map(Subject::User);
        let named: Vec<Subject> = groups.chain(users).chain(self.for_serviceaccount).collect();
        if named.is_empty() {
            return vec![Subject::Group(GROUP.to_owned())];
        }
        named
    }
}

/// Prints the manifests.
///
/// # Errors
/// When the cluster has no such policies, the namespace is one that does not fit, or the program cannot be uploaded.
pub async fn viewers(context: &Context<'_>, args: ViewersArgs) -> Result<Verdict, Error> {
    let session = context.open(&FleetArgs::default()).await?;
    let cluster = session.cluster()?;
    let namespace = &cluster.connection.namespace;
    if namespace == REFUSED_NAMESPACE {
        return Err(Error::refused(format!(
            "people who may only look need a namespace of their own: in {namespace} they would read the logs and the \
             ConfigMaps of the whole control plane"
        ))
        .hint("kubectl apply -f manifests/namespace.yaml, then the same command again"));
    }
    has_policies(&cluster.connection.control).await?;
    let program = cluster.program().await;
    let program = match program.map_err(|error| run_error("viewers", &error))? {
        Program::Carried(program) => program.clone(),
        Program::Image { .. } => {
            return Err(Error::usage("the policy is made for the carried program")
                .hint("leave --image and KUBECTL_ETCD_IMAGE out"));
        }
    };
    let grant = Grant {
        renewed_by: typed(&Task::GrantViewers.into()).to_string(),
        namespace: namespace.clone(),
        program,
        targets: session
            .nodes()
            .iter()
            .filter_map(Node::target)
            .cloned()
            .collect(),
        subjects: args.subjects(),
    };
    let documents: Result<Vec<String>, _> = manifests(&grant)
        .iter()
        .map(serde_saphyr::to_string)
        .collect();
    let documents = documents.map_err(|error| {
        Error::failed("the manifests cannot be written as YAML").caused_by(error)
    })?;
    context.ui.print(&documents.join("---\n"))?;
    Ok(Verdict::Healthy)
}

/// Without such policies nothing would hold the role to reading.
async fn has_policies(client: &Client) -> Result<(), Error> {
    let listed = client
        .list_api_group_resources("admissionregistration.k8s.io/v1")
        .await;
    let listed = listed.map_err(|error| {
        Error::failed(format!(
            "asking which policies the cluster has: {}",
            chain(&error)
        ))
    })?;
    let mut kinds = listed
        .resources
        .iter()
        .map(|resource| resource.kind.as_str());
    if kinds.any(|kind| kind == "ValidatingAdmissionPolicy") {
        return Ok(());
    }
    Err(Error::refused(
        "this cluster has no ValidatingAdmissionPolicy (Kubernetes 1.30 and later), and without one a role that creates Jobs \
         on control-plane nodes is root there",
    )
    .hint(advice!["let operators look for the others, for instance with a CronJob that runs ", Task::ShowStatus, " -o json"]))
}
