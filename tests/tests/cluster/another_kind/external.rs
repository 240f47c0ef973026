//! An apiserver whose etcd is none of its own node's.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::{Cluster, Component, Spec, Workstation, parts, process, wait};

/// An etcd on this machine, ended when dropped.
struct Elsewhere(Child);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Nothing more can be done about it.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_external_etcd_is_recognised_and_said_to_be_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut url, mut elsewhere) = (String::new(), None);
    let cluster = Cluster::start_changed(Spec::masters(1), |cluster| {
        (url, elsewhere) = moved(cluster, folder.path())?;
        Ok(())
    })?;
    let m1 = cluster.node("m1")?;
    let me = Workstation::of(&cluster)?;
    let said = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    cluster
        .wait_apiserver(m1, Duration::from_secs(90))
        .with_context(said)?;
    wait::until(
        "the etcd pod gone from the API",
        Duration::from_secs(90),
        || {
            let pod = cluster
                .kubectl(["get", "pod", "etcd-m1", "-n", "kube-system"])
                .map_err(|error| format!("{error:#}"))?;
            if pod.stderr.contains("NotFound") {
                Ok(())
            } else {
                Err(pod.to_string())
            }
        },
    )?;
    for command in [
        ["status"].as_slice(),
        &["health"],
        &["snapshot", "save", "s.db"],
    ] {
        me.etcd(command)?.code(1)?.says(&["external etcd", &url])?;
    }
    ensure!(me.files()?.is_empty(), "{:?}", me.files()?);
    drop(elsewhere);
    Ok(())
}

/// Moves the etcd of a cluster that is off, data and all, to a folder of this machine, where it runs from now on. Tells its URL.
fn moved(cluster: &Cluster, folder: &Path) -> Result<(String, Option<Elsewhere>)> {
    let m1 = cluster.node("m1")?;
    let data = folder.join("data");
    process::run(
        "cp",
        [
            "-a".as_ref(),
            m1.path("/var/lib/etcd").as_os_str(),
            data.as_os_str(),
        ],
    )?;
    let address = cluster.state().slot.gateway();
    let port = TcpListener::bind((address, 0))?.local_addr()?.port();
    let url = format!("http://{address}:{port}");
    let log = fs::File::create(folder.join("log"))?;
    let elsewhere = Elsewhere(
        Command::new(parts::etcd_line(cluster.state().etcd)?.etcd)
            .args([
                "--name=m1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--data-dir",
            ])
            .arg(&data)
            .args([
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?,
    );
    let apiserver = m1.manifest(Component::Apiserver);
    let text = fs::read_to_string(&apiserver)?;
    let changed = text.replace(
        "--etcd-servers=https://127.0.0.1:2379",
        &format!("--etcd-servers={url}"),
    );
    ensure!(
        changed != text,
        "the manifest is not as kubeadm writes it:\n{text}"
    );
    fs::write(&apiserver, changed)?;
    fs::rename(m1.manifest(Component::Etcd), m1.path("/var/tmp/etcd.yaml"))?;
    Ok((url, Some(elsewhere)))
}
