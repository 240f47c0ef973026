//! People with rights of their own, and manifests that are applied for as long as a test takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use testbed::{Cluster, Workstation, process, wait};

fn manifest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests")
        .join(name)
}

/// Somebody whose certificate the cluster has signed: a name, a group, and no rights but those of the group.
pub(crate) fn person(
    cluster: &Cluster,
    me: &Workstation,
    name: &str,
    group: &str,
) -> Result<Workstation> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, group);
    let file = |suffix: &str, text: &str| -> Result<PathBuf> {
        let path = me.folder().join(format!("{name}.{suffix}"));
        fs::write(&path, text)?;
        Ok(path)
    };
    let request = file("csr", &params.serialize_request(&key)?.pem()?)?;
    let request = process::run("base64", ["-w0".as_ref(), request.as_os_str()])?;
    let signing = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
    });
    let signing = file("json", &signing.to_string())?;
    cluster
        .kubectl(["create".as_ref(), "-f".as_ref(), signing.as_os_str()])?
        .success()?;
    cluster
        .kubectl(["certificate", "approve", name])?
        .success()?;
    let certificate = wait::until("the signed certificate", Duration::from_secs(20), || {
        let path = "jsonpath={.status.certificate}";
        let answer = cluster
            .kubectl(["get", "csr", name, "-o", path])
            .map_err(|error| format!("{error:#}"))?;
        if answer.stdout.is_empty() {
            Err(answer.to_string())
        } else {
            Ok(answer.stdout)
        }
    })?;
    cluster.kubectl(["delete", "csr", name])?.success()?;

    let key = file("key", &key.serialize_pem())?;
    let mut config: Value = serde_yaml::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    config["users"][0]["user"] =
        json!({ "client-certificate-data": certificate, "client-key": key });
    Workstation::with_kubeconfig(&file("kubeconfig", &config.to_string())?)
}

/// Applies objects; the next call of [`remove`] with them removes them.
pub(crate) fn apply(cluster: &Cluster, objects: &Path) -> Result<()> {
    cluster
        .kubectl(["apply".as_ref(), "-f".as_ref(), objects.as_os_str()])?
        .success()
        .map(drop)
}

/// Removes objects, as far as they are there.
pub(crate) fn remove(cluster: &Cluster, objects: &Path) -> Result<()> {
    let args = ["delete", "--ignore-not-found", "-f"].map(AsRef::as_ref);
    cluster
        .kubectl(args.into_iter().chain([objects.as_os_str()]))?
        .success()
        .map(drop)
}

/// Applies the roles of operators, for as long as the test takes. The namespace stays.
pub(crate) fn with_operators(cluster: &Cluster, test: impl FnOnce() -> Result<()>) -> Result<()> {
    apply(cluster, &manifest("namespace.yaml"))?;
    apply(cluster, &manifest("rbac.yaml"))?;
    wait::until(
        "the service account of the namespace",
        Duration::from_secs(20),
        || {
            let answer = cluster
                .kubectl(["get", "serviceaccount", "default", "-n", "kubectl-etcd"])
                .map_err(|error| format!("{error:#}"))?;
            if answer.ok() {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        },
    )?;
    let done = test();
    remove(cluster, &manifest("rbac.yaml"))?;
    done
}

/// Applies what `kubectl etcd viewers` prints, for as long as the test takes; with the Jobs that viewers may not remove.
pub(crate) fn with_viewers(
    cluster: &Cluster,
    me: &Workstation,
    flags: &[&str],
    test: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let printed = me.etcd([&["viewers"], flags].concat())?.code(0)?;
    let path = me.folder().join("viewers.yaml");
    fs::write(&path, &printed.output.stdout)?;
    apply(cluster, &path)?;
    let done = test();
    remove(cluster, &path)?;
    let jobs = [
        "delete",
        "jobs",
        "-n",
        "kubectl-etcd",
        "--all",
        "--wait=false",
    ];
    cluster.kubectl(jobs)?.success().context("removing Jobs")?;
    done
}
