//! Which Kubernetes cluster a database is of: what no two clusters have in common, and what survives everything else.

use crate::Error;
use crate::changes::{Change, Changes};
use crate::kubernetes::{EncryptionKey, config_map_entry, uid};
use crate::latest::Latest;
use crate::progress::OnProgress;
use crate::source::Source;
use crate::tree::Database;

/// Nobody can remove this namespace, so its uid is the cluster's for as long as that is.
const NAMESPACE: &str = "/namespaces/kube-system";

/// ConfigMaps with the cluster's CA, and under which key: what Pods trust, and what the apiserver itself says that it was
/// given as `--client-ca-file`.
const CA: [(&str, &str); 2] = [
    ("/configmaps/kube-system/kube-root-ca.crt", "ca.crt"),
    (
        "/configmaps/kube-system/extension-apiserver-authentication",
        "client-ca-file",
    ),
];

/// Which Kubernetes cluster a database is of, as far as its objects tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The uid of the namespace kube-system.
    pub namespace_uid: Option<String>,
    /// Texts with the CA's certificates, as PEM.
    pub ca: Vec<String>,
    /// Whether some of these objects are there and encrypted, so that they tell nothing.
    pub encrypted: bool,
}

/// Reads all of the bucket `key` once; `prefix` is the apiserver's `--etcd-prefix`, usually `/registry`.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`], [`Error::Cancelled`].
pub fn identity(
    source: &dyn Source,
    prefix: &str,
    on_progress: OnProgress<'_>,
) -> Result<Identity, Error> {
    let mut db = Database::open_etcd(source)?;
    let mut finder = Finder::new(prefix);
    Changes::new(&mut db)?.each(&db, &mut |change| finder.take(&change), on_progress)?;
    Ok(finder.finish())
}

/// Takes up changes, in any order, and remembers the latest of those objects.
pub(crate) struct Finder<'p> {
    prefix: &'p str,
    namespace: Newest,
    ca: [Newest; CA.len()],
}

/// What the latest change of a key says.
#[derive(Default)]
struct Newest {
    at: Option<Latest>,
    told: Option<String>,
    encrypted: bool,
}

impl Newest {
    fn take(&mut self, change: &Change<'_>, told: impl FnOnce(&[u8]) -> Option<String>) {
        let at = Latest::new(change.at);
        if self.at.is_some_and(|known| known >= at) {
            return;
        }
        let value = (!change.at.deletion).then_some(change.kv.value);
        *self = Self {
            at: Some(at),
            told: value.and_then(told),
            encrypted: value.and_then(EncryptionKey::of).is_some(),
        };
    }
}

impl<'p> Finder<'p> {
    pub(crate) fn new(prefix: &'p str) -> Self {
        Self {
            prefix: prefix.trim_end_matches('/'),
            namespace: Newest::default(),
            ca: Default::default(),
        }
    }

    pub(crate) fn take(&mut self, change: &Change<'_>) {
        let Some(key) = change.kv.key.strip_prefix(self.prefix.as_bytes()) else {
            return;
        };
        if key == NAMESPACE.as_bytes() {
            self.namespace.take(change, uid);
        }
        for (newest, (name, entry)) in self.ca.iter_mut().zip(CA) {
            if key == name.as_bytes() {
                newest.take(change, |value| config_map_entry(value, entry));
            }
        }
    }

    pub(crate) fn finish(self) -> Identity {
        Identity {
            encrypted: self.namespace.encrypted || self.ca.iter().any(|newest| newest.encrypted),
            namespace_uid: self.namespace.told,
            ca: self
                .ca
                .into_iter()
                .filter_map(|newest| newest.told)
                .collect(),
        }
    }
}
