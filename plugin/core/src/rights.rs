//! What the user may not do, in the apiserver's words, and the command that grants just that.

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Task};
use etcd_operations::shell::CommandLine;

/// The longest part of a user's name in a binding's.
const NAME_CHARS: usize = 40;

/// A role that the manifests define, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Which nodes are control-plane nodes, and whether the namespace for Jobs is there.
    Discovery,
    /// The static pods of the control plane.
    StaticPods,
    /// Exec into the etcd pods.
    Exec,
    /// The cluster's lock.
    Lock,
    /// All that is done in the namespace of the Jobs, which is as much as being root on the control-plane nodes.
    Operator,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Discovery => "kubectl-etcd-discovery",
            Self::StaticPods => "kubectl-etcd-static-pods",
            Self::Exec => "kubectl-etcd-exec",
            Self::Lock => "kubectl-etcd-lock",
            Self::Operator => "kubectl-etcd-operator",
        }
    }

    /// The command that gives it to one person. None: it is for a group, whose members are known.
    fn alone(self, user: &str) -> Option<CommandLine> {
        let name = format!("{}-{}", self.name(), plain(user));
        let binding = match self {
            Self::Discovery => CommandLine::new("kubectl create clusterrolebinding")
                .operand(name)
                .option("--clusterrole", self.name()),
            Self::StaticPods | Self::Exec | Self::Lock => {
                CommandLine::new("kubectl create rolebinding -n kube-system")
                    .operand(name)
                    .option("--role", self.name())
            }
            Self::Operator => return None,
        };
        Some(binding.option("--user", user))
    }
}

/// The ways to what a `Forbidden` message says is missing, the smallest first.
pub(crate) fn grant(message: &str) -> Advice {
    let Some(denied) = Denied::parse(message) else {
        return "an administrator applies manifests/, which say who may do what".into();
    };
    let user = denied.user;
    let Some(role) = denied.role() else {
        return format!(
            "no role in manifests/ allows that; an administrator has to grant to {user} what is said above"
        )
        .into();
    };
    let file = match (role, denied.namespace) {
        (Role::Operator, Some("kube-system")) => "manifests/rbac-kube-system.yaml",
        _ => "manifests/rbac.yaml",
    };
    let alone = role.alone(user).map(|command| {
        let name = role.name();
        Advice::from(format!(
            "the role {name} of {file} allows just that: {command}; "
        ))
    });
    let looks = denied.is_for_looking().then(|| {
        advice![
            "people who may only look are in the group kubectl-etcd:viewers, which an operator gives its rights with `",
            Task::GrantViewers,
            " | kubectl apply -f -`; ",
        ]
    });
    let operators = Advice::from(format!(
        "people who change etcd are in the group kubectl-etcd:operators of {file}, which is as much as root on the control-plane nodes"
    ));
    let ways = alone.into_iter().chain(looks).chain([operators]);
    ways.fold(Advice::default(), Advice::and)
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
    pub user: &'a str,
    pub verb: &'a str,
    /// With its subresource, as `pods/exec`.
    pub resource: &'a str,
    /// None: at the cluster scope.
    pub namespace: Option<&'a str>,
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

    fn reads(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch")
    }

    /// The smallest of the manifests' roles that allows it.
    fn role(&self) -> Option<Role> {
        let in_system = self.namespace == Some("kube-system");
        Some(match (self.resource, self.namespace) {
            ("nodes", _) if self.reads() => Role::Discovery,
            ("namespaces" | "validatingadmissionpolicies", _) if self.verb == "get" => {
                Role::Discovery
            }
            (_, None) => return None,
            ("pods", _) if in_system && matches!(self.verb, "get" | "list") => Role::StaticPods,
            ("pods/log", _) if in_system && self.verb == "get" => Role::StaticPods,
            ("pods/exec", _) if in_system => Role::Exec,
            ("leases", _) if in_system => Role::Lock,
            (
                "jobs" | "cronjobs" | "pods" | "pods/log" | "pods/exec" | "events" | "configmaps",
                _,
            ) => Role::Operator,
            _ => return None,
        })
    }

    /// Whether people who only look come to it: their role allows it, or it is what an operator does for them beforehand.
    fn is_for_looking(&self) -> bool {
        match self.resource {
            "nodes" | "namespaces" | "pods" | "pods/log" | "events" | "cronjobs" => self.reads(),
            "jobs" | "configmaps" => self.reads() || self.verb == "create",
            _ => false,
        }
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
    }

    #[test]
    fn a_refusal_by_admission_is_none() {
        assert_eq!(
            Denied::parse("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\""),
            None
        );
    }

    #[test]
    fn who_may_not_list_nodes_is_offered_that_first() {
        let hint = grant(&refusal("jane", "list", "nodes", "at the cluster scope")).written();
        let mut ways = hint.split("; ");
        assert_eq!(
            ways.next(),
            Some(
                "the role kubectl-etcd-discovery of manifests/rbac.yaml allows just that: kubectl create clusterrolebinding \
                 kubectl-etcd-discovery-jane --clusterrole kubectl-etcd-discovery --user jane"
            )
        );
        assert!(
            ways.next()
                .unwrap()
                .contains("`{grant-viewers} | kubectl apply -f -`")
        );
        assert!(ways.next().unwrap().contains("kubectl-etcd:operators"));
        assert_eq!(ways.next(), None);
        let nobody = grant(&refusal("jane", "delete", "nodes", "at the cluster scope")).written();
        assert!(nobody.contains("no role"), "{nobody}");
    }

    #[test]
    fn nobody_is_told_to_become_an_operator_for_a_right_that_has_a_smaller_way() {
        for (verb, resource, place) in CASES {
            let message = refusal("jane", verb, resource, place);
            let hint = grant(&message).written();
            let looks = hint.contains("{grant-viewers}");
            let viewers = ["jobs", "pods/log", "events", "nodes", "namespaces"].contains(&resource)
                && verb != "delete";
            assert!(looks || !viewers, "{message}: {hint}");
            // A binding of the operators' role is in no hint.
            assert!(!hint.contains("kubectl-etcd-operator"), "{hint}");
            assert!(hint.contains("group kubectl-etcd:operators"), "{hint}");
        }
        let more = ["pods/exec", "leases", "cronjobs"];
        for resource in more {
            let hint = grant(&refusal("jane", "create", resource, SYSTEM)).written();
            assert!(!hint.contains("{grant-viewers}"), "{hint}");
        }
    }

    #[test]
    fn names_of_users_are_words_of_a_shell() {
        let hint = grant(&refusal("oidc:jane$(x)@a b", "create", "pods/exec", SYSTEM)).written();
        assert!(
            hint.contains(
                ": kubectl create rolebinding -n kube-system kubectl-etcd-exec-oidc-jane--x--a-b --role kubectl-etcd-exec \
                 --user 'oidc:jane$(x)@a b'; "
            ),
            "{hint}"
        );
    }

    /// Whether a role of the manifests allows it.
    fn allows(file: &str, role: Role, verb: &str, resource: &str) -> bool {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../manifests")
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

    const OWN: &str = "in the namespace \"kubectl-etcd\"";
    const SYSTEM: &str = "in the namespace \"kube-system\"";
    const CASES: [(&str, &str, &str); 22] = [
        ("list", "nodes", "at the cluster scope"),
        ("get", "namespaces", OWN),
        ("get", "validatingadmissionpolicies", "at the cluster scope"),
        ("list", "pods", SYSTEM),
        ("create", "pods/exec", SYSTEM),
        ("get", "pods/log", SYSTEM),
        ("list", "leases", SYSTEM),
        ("create", "leases", SYSTEM),
        ("update", "leases", SYSTEM),
        ("create", "jobs", OWN),
        ("create", "jobs", SYSTEM),
        ("delete", "jobs", OWN),
        ("list", "cronjobs", OWN),
        ("get", "pods/log", OWN),
        ("list", "events", OWN),
        ("watch", "pods", OWN),
        ("list", "configmaps", OWN),
        ("create", "configmaps", OWN),
        ("create", "configmaps", SYSTEM),
        ("create", "cronjobs", OWN),
        ("create", "pods", OWN),
        ("get", "pods/exec", OWN),
    ];

    #[test]
    fn the_role_that_is_offered_allows_what_was_refused() {
        for (verb, resource, place) in CASES {
            let message = refusal("jane", verb, resource, place);
            let role = Denied::parse(&message).unwrap().role().unwrap();
            let hint = grant(&message).written();
            let file = match hint.contains("rbac-kube-system.yaml") {
                true => "rbac-kube-system.yaml",
                false => "rbac.yaml",
            };
            assert!(allows(file, role, verb, resource), "{message}: {hint}");
        }
    }
}
