//! What the user may not do, in the apiserver's words, and the command that grants just that.

use etcd_operations::shell::CommandLine;

/// The longest part of a user's name in a binding's.
const NAME_CHARS: usize = 40;

/// A role that the manifests define, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Which nodes are control-plane nodes.
    Discovery,
    /// The static pods of the control plane.
    StaticPods,
    /// Exec into the etcd pods.
    Exec,
    /// The cluster's lock.
    Lock,
    /// Jobs, their pods and their output.
    Viewer,
    /// What brings the program in and changes something.
    Operator,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Discovery => "kubectl-etcd-discovery",
            Self::StaticPods => "kubectl-etcd-static-pods",
            Self::Exec => "kubectl-etcd-exec",
            Self::Lock => "kubectl-etcd-lock",
            Self::Viewer => "kubectl-etcd-viewer",
            Self::Operator => "kubectl-etcd-operator",
        }
    }
}

/// The way to what a `Forbidden` message says is missing, and to no more: one role, for one person.
pub(crate) fn grant(message: &str) -> String {
    let Some(denied) = Denied::parse(message) else {
        return "an administrator applies manifests/, which say who may do what".to_owned();
    };
    let Some(role) = denied.role() else {
        return format!(
            "no role in manifests/ allows that; an administrator has to grant to {} what is said above",
            denied.user
        );
    };
    let name = format!("{}-{}", role.name(), plain(denied.user));
    let command = match denied.namespace {
        None => CommandLine::new("kubectl create clusterrolebinding")
            .operand(name)
            .option("--clusterrole", role.name()),
        Some(namespace) => CommandLine::new("kubectl create rolebinding")
            .operand(name)
            .option("-n", namespace)
            .option("--role", role.name()),
    };
    let file = match denied.namespace {
        Some("kube-system") if matches!(role, Role::Viewer | Role::Operator) => {
            "manifests/rbac-kube-system.yaml"
        }
        _ => "manifests/rbac.yaml",
    };
    let user = denied.user;
    let command = command.option("--user", user);
    format!(
        "an administrator applies {file} and puts {user} into the group of it that has the role {}, or grants it alone: {command}",
        role.name()
    )
}

/// What a user's name leaves in the name of an object.
fn plain(user: &str) -> String {
    let shown = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let name: String = user.chars().take(NAME_CHARS).map(shown).collect();
    name.trim_matches('-').to_owned()
}

/// Who may not do what: read out of `pods is forbidden: User "jane" cannot list resource "pods" in API group "" …`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denied<'a> {
    pub(crate) user: &'a str,
    pub(crate) verb: &'a str,
    /// With its subresource, as `pods/exec`.
    pub(crate) resource: &'a str,
    /// None: at the cluster scope.
    pub(crate) namespace: Option<&'a str>,
}

impl<'a> Denied<'a> {
    /// The parts of an RBAC refusal; none for refusals by admission, which have other words.
    pub(crate) fn parse(message: &'a str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once('"')?;
        let namespace = rest.split_once("in the namespace \"");
        let namespace = namespace.and_then(|(_, rest)| Some(rest.split_once('"')?.0));
        Some(Self {
            user,
            verb,
            resource,
            namespace,
        })
    }

    /// The smallest of the manifests' roles that allows it.
    fn role(&self) -> Option<Role> {
        let reads = matches!(self.verb, "get" | "list" | "watch");
        let in_system = self.namespace == Some("kube-system");
        Some(match (self.resource, self.namespace) {
            ("nodes", _) if reads => Role::Discovery,
            (_, None) => return None,
            ("pods", _) if in_system && matches!(self.verb, "get" | "list") => Role::StaticPods,
            ("pods/exec", _) if in_system => Role::Exec,
            ("leases", _) if in_system => Role::Lock,
            ("jobs", _) => Role::Viewer,
            ("cronjobs" | "pods" | "pods/log" | "events" | "configmaps", _) if reads => {
                Role::Viewer
            }
            ("cronjobs" | "pods" | "pods/exec" | "configmaps", _) => Role::Operator,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize as _;
    use serde_yaml::Value;

    use super::*;

    fn refusal(user: &str, verb: &str, resource: &str, place: &str) -> String {
        format!(
            "x is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"\" {place}"
        )
    }

    const REFUSED: &str = "jobs.batch is forbidden: User \"jane\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"kube-system\"";

    #[test]
    fn an_rbac_refusal_names_who_and_what() {
        let denied = Denied::parse(REFUSED).unwrap();
        assert_eq!(
            (denied.user, denied.verb, denied.resource, denied.namespace),
            ("jane", "create", "jobs", Some("kube-system"))
        );
        assert!(grant(REFUSED).contains("--user jane"));
    }

    #[test]
    fn a_refusal_by_admission_is_none() {
        assert_eq!(
            Denied::parse("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\""),
            None
        );
    }

    #[test]
    fn who_may_not_list_nodes_is_offered_no_more_than_that() {
        let hint = grant(&refusal("jane", "list", "nodes", "at the cluster scope"));
        assert!(
            hint.ends_with("kubectl create clusterrolebinding kubectl-etcd-discovery-jane --clusterrole kubectl-etcd-discovery --user jane"),
            "{hint}"
        );
        assert!(!hint.contains("operator"), "{hint}");
        let nobody = grant(&refusal("jane", "delete", "nodes", "at the cluster scope"));
        assert!(nobody.contains("no role"), "{nobody}");
    }

    #[test]
    fn names_of_users_are_words_of_a_shell() {
        let hint = grant(&refusal(
            "oidc:jane$(x)@a b",
            "create",
            "configmaps",
            "in the namespace \"a;b\"",
        ));
        assert!(
            hint.ends_with("kubectl create rolebinding kubectl-etcd-operator-oidc-jane--x--a-b -n 'a;b' --role kubectl-etcd-operator --user 'oidc:jane$(x)@a b'"),
            "{hint}"
        );
    }

    /// Whether a role of the manifests allows it.
    fn allows(file: &str, role: Role, verb: &str, resource: &str) -> bool {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../manifests")
            .join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let documents =
            serde_yaml::Deserializer::from_str(&text).map(|one| Value::deserialize(one).unwrap());
        let is_it = |one: &Value| {
            let kind = one["kind"].as_str().unwrap_or_default();
            kind.ends_with("Role") && one["metadata"]["name"].as_str() == Some(role.name())
        };
        let found: Vec<Value> = documents.filter(is_it).collect();
        assert_eq!(found.len(), 1, "{} in {file}", role.name());
        let has = |list: &Value, text: &str| {
            let mut items = list.as_sequence().unwrap().iter();
            items.any(|item| item.as_str() == Some(text))
        };
        let mut rules = found[0]["rules"].as_sequence().unwrap().iter();
        rules.any(|rule| has(&rule["resources"], resource) && has(&rule["verbs"], verb))
    }

    #[test]
    fn the_role_that_is_offered_allows_what_was_refused() {
        let own = "in the namespace \"kubectl-etcd\"";
        let system = "in the namespace \"kube-system\"";
        for (verb, resource, place) in [
            ("list", "nodes", "at the cluster scope"),
            ("list", "pods", system),
            ("create", "pods/exec", system),
            ("create", "leases", system),
            ("update", "leases", system),
            ("create", "jobs", own),
            ("create", "jobs", system),
            ("list", "cronjobs", own),
            ("get", "pods/log", own),
            ("list", "configmaps", own),
            ("create", "configmaps", own),
            ("create", "configmaps", system),
            ("create", "cronjobs", own),
            ("create", "pods", own),
            ("get", "pods/exec", own),
        ] {
            let message = refusal("jane", verb, resource, place);
            let role = Denied::parse(&message).unwrap().role().unwrap();
            let hint = grant(&message);
            let file = match hint.contains("rbac-kube-system.yaml") {
                true => "rbac-kube-system.yaml",
                false => "rbac.yaml",
            };
            assert!(allows(file, role, verb, resource), "{message}: {hint}");
        }
    }
}
