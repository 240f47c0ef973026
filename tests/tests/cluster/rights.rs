//! People with exactly the rights that manifests/ gives, and somebody with none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;
use testbed::{Cluster, Workstation, process, wait};

use crate::three;

fn manifest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests")
        .join(name)
}

/// Somebody whose certificate the cluster has signed: a name, a group, and no rights but those of the group.
fn person(cluster: &Cluster, me: &Workstation, name: &str, group: &str) -> Result<Workstation> {
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
    let mut config: serde_json::Value =
        serde_yaml::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    config["users"][0]["user"] =
        json!({ "client-certificate-data": certificate, "client-key": key });
    Workstation::with_kubeconfig(&file("kubeconfig", &config.to_string())?)
}

/// Applies manifests, for as long as the test takes.
fn with_manifests(
    cluster: &Cluster,
    names: &[&str],
    test: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let kubectl = |verb: &[&str]| -> Result<()> {
        let mut args: Vec<_> = verb.iter().map(|word| PathBuf::from(*word)).collect();
        for name in names {
            args.extend(["-f".into(), manifest(name)]);
        }
        cluster.kubectl(args)?.success().map(drop)
    };
    kubectl(&["apply"])?;
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
    kubectl(&["delete", "--ignore-not-found"])?;
    done
}

const LOOKING: [&[&str]; 4] = [&["status"], &["members"], &["health"], &["alarm", "list"]];

#[test]
fn viewers_look_operators_do_everything_and_refusals_name_what_is_missing() {
    three(|cluster, me| {
        with_manifests(
            cluster,
            &[
                "namespace.yaml",
                "rbac.yaml",
                "viewer-policy.yaml",
                "scheduled-snapshots.yaml",
            ],
            || {
                let own = ["-n", "kubectl-etcd"];
                let viewer = person(cluster, me, "vera", "kubectl-etcd:viewers")?;
                let operator = person(cluster, me, "otto", "kubectl-etcd:operators")?;

                // Nothing is granted outside of the namespace.
                let elsewhere = viewer
                    .etcd(["status"])?
                    .says(&["cannot create resource \"jobs\"", "kube-system"])?;
                ensure!(elsewhere.output.code == 1, "{elsewhere}");

                let (viewer, operator) = (viewer.always(own), operator.always(own));
                // The program is not there yet, and a viewer may not bring it in.
                viewer
                    .etcd(["status"])?
                    .says(&["cannot create resource \"configmaps\"", "operator"])?;
                for command in LOOKING {
                    operator.etcd(command)?.code(0)?;
                }
                for command in LOOKING {
                    viewer.etcd(command)?.code(0)?;
                }

                refused(
                    &viewer,
                    &["defrag", "--yes"],
                    "cannot create resource \"leases\"",
                )?;
                refused(
                    &viewer,
                    &["alarm", "disarm", "--yes"],
                    "cannot create resource \"leases\"",
                )?;
                refused(
                    &viewer,
                    &["snapshot", "save", "v.db"],
                    "operators may run the rest",
                )?;
                refused(
                    &viewer,
                    &["snapshot", "save", "--on-node"],
                    "operators may run the rest",
                )?;
                refused(&viewer, &["usage"], "operators may run the rest")?;
                refused(&viewer, &["members", "--via", "exec"], "pods/exec")?;
                ensure!(viewer.files()?.is_empty(), "{:?}", viewer.files()?);

                let schedule = ["snapshot", "schedule"];
                viewer
                    .etcd([&schedule[..], &["show"]].concat())?
                    .code(0)?
                    .says(&["etcd-snapshot", "0 3 * * *", "any master"])?;
                let remove = [&schedule[..], &["remove", "--yes"]].concat();
                refused(&viewer, &remove, "cannot delete resource \"cronjobs\"")?;
                operator.etcd(remove)?.code(0)?.says(&["removed"])?;

                operator.etcd(["alarm", "disarm", "--yes"])?.code(0)?;
                operator
                    .etcd(["defrag", "--yes", "--node", "m2"])?
                    .code(0)?;
                operator.etcd(["snapshot", "save", "o.db"])?.code(0)?;
                operator.etcd(["usage"])?.code(0)?;
                operator.etcd(["status", "--via", "exec"])?.code(0)?;
                operator.etcd(["status", "--via", "pod"])?.code(0)?;
                operator.etcd(["cleanup"])?.code(0)?;
                Ok(())
            },
        )
    });
}

fn refused(person: &Workstation, command: &[&str], why: &str) -> Result<()> {
    let answer = person.etcd(command)?.says(&[why])?;
    ensure!(matches!(answer.output.code, 1 | 5), "{answer}");
    Ok(())
}

#[test]
fn somebody_without_rights_is_told_which_are_missing_and_what_grants_them() {
    three(|cluster, me| {
        let nina = person(cluster, me, "nina", "strangers")?;
        let refused = nina
            .etcd(["status"])?
            .code(1)?
            .within(Duration::from_secs(10))?;
        let refused = refused.says(&["cannot list resource", "\"nina\"", "manifests/"])?;

        // What the hint says is done, and it helps.
        with_manifests(cluster, &["namespace.yaml", "rbac.yaml"], || {
            let hint = refused
                .output
                .stderr
                .lines()
                .find(|line| line.contains("kubectl-etcd:"))
                .context("no hint that names a group")?;
            let group = hint
                .split(['`', ' ', '"', ',', '(', ')'])
                .find(|word| word.starts_with("kubectl-etcd:"))
                .context("no group")?;
            let nina = person(cluster, me, "nina", group)?.always(["-n", "kubectl-etcd"]);
            me.always(["-n", "kubectl-etcd"])
                .etcd(["status"])?
                .code(0)?;
            nina.etcd(["status"])?.code(0).map(drop)
        })
    });
}
