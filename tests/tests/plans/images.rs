//! Images gone from a node: they come back from a registry that wants a login.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Answer, Component, Node, Registry, wait};

use crate::command::on;
use crate::with;

/// How long kubelet may take to find by itself that an image is there: it looks every 10 to 15 s.
const NOTICED: Duration = Duration::from_secs(25);

/// A manifest that was taken out, of an image that nobody has.
const TAKEN_OUT: &str = "/var/lib/kubectl-etcd/manifests/other.yaml-2026-11-20T210000Z.stopped";

#[test]
fn an_image_that_is_gone_is_fetched_with_the_login_from_a_file_and_etcd_runs() {
    with(1, |cluster| {
        let m1 = cluster.node("m1")?;
        let mut registry = Registry::start(cluster)?;
        registry.trusted_by(m1)?;
        let manifest = m1.manifest(Component::Etcd);
        let text = fs::read_to_string(&manifest)?;
        let image = image_in(&text)?.to_owned();
        let elsewhere = registry.push(m1, &image, "team/etcd:1")?;
        ctr(m1, &["tag", &image, "kept.example/etcd:1"])?;
        ctr(m1, &["rm", "--sync", &image])?;

        // An etcd that is changed while its apiserver runs takes much longer.
        m1.stop(Component::Apiserver)?;
        m1.stop(Component::Etcd)?;
        let unfinished = manifest.with_file_name(".etcd.yaml");
        fs::write(&unfinished, text.replace(&image, &elsewhere))?;
        fs::rename(&unfinished, &manifest)?;
        wait::until("kubelet without the image", Duration::from_secs(40), || {
            let log = m1.run(["journalctl", "-u", "kubelet", "-n", "300", "-o", "cat"]);
            let log = log.map_err(|error| format!("{error:#}"))?.stdout;
            let tried = log.contains(&elsewhere) && log.contains("ErrImagePull");
            tried.then_some(()).ok_or(log)
        })?;

        let told = on(m1, &["doctor", "-o", "json"])?;
        let situations = told.json()?["situations"].clone();
        let situations = situations.as_array().context("no situations")?;
        let missing = situations.iter().find(|one| one["kind"] == "image-missing");
        let command = &missing.with_context(|| told.to_string())?["next"]["command"];
        ensure!(command == "kubectl etcd images pull", "{told}");
        on(m1, &["images", "list"])?
            .code(3)?
            .says(&["missing", &elsewhere])?;

        without_success(m1, &mut registry, &elsewhere)?;

        let file = logins(m1, "/var/tmp/auth.json", &registry.logins())?;
        on(m1, &["images", "pull", "--auth-file", file, "--dry-run"])?
            .code(3)?
            .says(&[&elsewhere])?;
        let begun = Instant::now();
        let pulled = on(m1, &["images", "pull", "etcd", "--auth-file", file])?
            .code(0)?
            .says(&["pulled"])?;
        quiet(pulled, &registry)?;
        wait::until_true("etcd started by kubelet", NOTICED, || {
            !m1.component(Component::Etcd).is_empty()
        })?;
        eprintln!(
            "etcd started {:.1} s after the pull began",
            begun.elapsed().as_secs_f64()
        );
        on(m1, &["images", "list"])?.code(0)?;

        // kubelet's own login does as well.
        ctr(m1, &["tag", &elsewhere, &image])?;
        ctr(m1, &["rm", "--sync", &elsewhere])?;
        let file = logins(m1, "/var/lib/kubelet/config.json", &registry.logins())?;
        let pulled = on(m1, &["images", "pull", "-o", "json"])?.code(0)?;
        ensure!(pulled.json()?["logins"] == file, "{pulled}");
        on(m1, &["images", "pull", "--all", "etcd"])?.code(0)?;
        fs::remove_file(m1.path(file))?;

        // As it was.
        fs::remove_file(&manifest)?;
        wait::until_true(
            "etcd of the other image gone",
            Duration::from_secs(30),
            || m1.component(Component::Etcd).is_empty(),
        )?;
        ctr(m1, &["rm", &elsewhere, "kept.example/etcd:1"])?;
        m1.start(Component::Etcd)?;
        m1.start(Component::Apiserver)?;
        cluster.wait_ready()
    });
}

/// What is in the way is told, and what lifts it.
fn without_success(m1: &Node, registry: &mut Registry, elsewhere: &str) -> Result<()> {
    on(m1, &["images", "pull"])?
        .code(1)?
        .says(&["wants a login, and none was given", "--auth-file"])?;
    let file = logins(m1, "/var/tmp/wrong.json", &registry.wrong_logins())?;
    let refused = on(m1, &["images", "pull", "--auth-file", file])?
        .code(1)?
        .says(&["refuses the login in /var/tmp/wrong.json"])?;
    quiet(refused, registry)?.says_none_of(&["open barley"])?;
    registry.stop()?;
    on(m1, &["images", "pull", "--auth-file", file])?
        .code(1)?
        .says(&["cannot be reached", "connection refused"])?;
    registry.go_on()?;

    let none = elsewhere.replace("etcd:1", "none:1");
    let pod = format!(
        "kind: Pod\nmetadata: {{name: other}}\nspec: {{containers: [{{name: other, image: '{none}'}}]}}\n"
    );
    fs::create_dir_all(m1.path("/var/lib/kubectl-etcd/manifests"))?;
    fs::write(m1.path(TAKEN_OUT), pod)?;
    let file = logins(m1, "/var/tmp/auth.json", &registry.logins())?;
    on(m1, &["images", "pull", "other", "--auth-file", file])?
        .code(1)?
        .says(&["its registry does not have it", "taken out"])?;
    Ok(fs::remove_file(m1.path(TAKEN_OUT))?)
}

/// Nothing of a login is in what was printed.
fn quiet(answer: Answer, registry: &Registry) -> Result<Answer> {
    let secrets = registry.secrets();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    answer.says_none_of(&secrets)
}

fn logins<'p>(node: &Node, path: &'p str, logins: &Value) -> Result<&'p str> {
    let file = node.path(path);
    fs::write(&file, logins.to_string())?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

fn image_in(manifest: &str) -> Result<&str> {
    let mut lines = manifest.lines().map(str::trim);
    let image = lines.find_map(|line| line.strip_prefix("image: "));
    image.context("no image in the manifest")
}

fn ctr(node: &Node, args: &[&str]) -> Result<String> {
    let words = ["ctr", "-n", "k8s.io", "images"].iter().chain(args);
    node.run(words)?.success()
}
