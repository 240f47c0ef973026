//! What the user may not do, in the apiserver's words, and the command that grants it.

/// The way to what a `Forbidden` message says is missing: the groups that manifests/ binds, or a binding for one person.
pub(crate) fn grant(message: &str) -> String {
    let user = Denied::parse(message).map_or("USER", |denied| denied.user);
    let name = user.replace([':', '@', '/'], "-");
    format!(
        "an administrator applies manifests/ and puts {user} into the group kubectl-etcd:viewers (to look) or \
         kubectl-etcd:operators (to do everything); or for one person: kubectl create rolebinding kubectl-etcd-{name} \
         -n NAMESPACE --role=kubectl-etcd-operator --user={user}"
    )
}

/// Who may not do what: read out of `pods is forbidden: User "jane" cannot list resource "pods" in API group "" …`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denied<'a> {
    pub(crate) user: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) resource: &'a str,
}

impl<'a> Denied<'a> {
    /// The parts of an RBAC refusal; none for refusals by admission, which have other words.
    pub(crate) fn parse(message: &'a str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, _) = rest.split_once('"')?;
        Some(Self {
            user,
            verb,
            resource,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "jobs.batch is forbidden: User \"jane\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"kube-system\"";

    #[test]
    fn an_rbac_refusal_names_who_and_what() {
        let denied = Denied::parse(REFUSED).unwrap();
        assert_eq!(
            (denied.user, denied.verb, denied.resource),
            ("jane", "create", "jobs")
        );
        assert!(grant(REFUSED).contains("--user=jane"));
    }

    #[test]
    fn a_refusal_by_admission_is_none() {
        assert_eq!(
            Denied::parse("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\""),
            None
        );
    }
}
