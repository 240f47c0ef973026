//! What people install and apply: the krew archive and its manifest, and the roles.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_yaml::Value;
use sha2::{Digest, Sha256};

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in a workspace")
}

fn text<'a>(value: &'a Value, path: &[&str]) -> Result<&'a str> {
    let mut at = value;
    for key in path {
        at = at
            .get(*key)
            .with_context(|| format!("`{}` is not set", path.join(".")))?;
    }
    at.as_str()
        .with_context(|| format!("`{}` is not text", path.join(".")))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_sequence)
        .with_context(|| format!("`{key}` is not a list"))
}

fn sha256(path: &Path) -> Result<String> {
    Ok(Sha256::digest(fs::read(path)?)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn run(command: &mut Command) -> Result<String> {
    let done = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let (out, err) = (
        String::from_utf8(done.stdout)?,
        String::from_utf8_lossy(&done.stderr),
    );
    ensure!(
        done.status.success(),
        "{command:?}: {}\n{out}{err}",
        done.status
    );
    Ok(out)
}

/// The rules krew's own validation applies, and those its index asks of contributors.
fn validate_krew_manifest(
    manifest: &Value,
    archive_of: impl Fn(&str) -> Result<PathBuf>,
) -> Result<()> {
    ensure!(
        text(manifest, &["apiVersion"])? == "krew.googlecontainertools.github.com/v1alpha2",
        "apiVersion"
    );
    ensure!(text(manifest, &["kind"])? == "Plugin", "kind");
    ensure!(
        text(manifest, &["metadata", "name"])? == "etcd",
        "the name is that of the file, etcd.yaml"
    );
    let spec = manifest.get("spec").context("no spec")?;
    let version = text(spec, &["version"])?;
    let numbers: Vec<_> = version
        .strip_prefix('v')
        .context("version begins with v")?
        .split('.')
        .collect();
    ensure!(
        numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u32>().is_ok()),
        "version is semantic: {version}"
    );
    let short = text(spec, &["shortDescription"])?;
    ensure!(
        !short.is_empty() && !short.contains(['\n', '\r']) && short.len() <= 50,
        "shortDescription: one short line"
    );
    ensure!(
        text(spec, &["homepage"])?.starts_with("https://"),
        "homepage"
    );
    ensure!(
        !text(spec, &["description"])?.contains("kubectl etcd "),
        "the description lists no commands"
    );

    let platforms = list(spec, "platforms")?;
    ensure!(!platforms.is_empty(), "no platforms");
    for platform in platforms {
        let labels = platform
            .get("selector")
            .and_then(|s| s.get("matchLabels"))
            .and_then(Value::as_mapping);
        for (key, _) in labels.context("empty selector")? {
            ensure!(
                matches!(key.as_str(), Some("os" | "arch")),
                "selector key {key:?}"
            );
        }
        let uri = text(platform, &["uri"])?;
        ensure!(
            uri.starts_with("https://") && uri.contains(version) && uri.ends_with(".tar.gz"),
            "uri: {uri}"
        );
        let archive = archive_of(uri)?;
        ensure!(
            text(platform, &["sha256"])? == sha256(&archive)?,
            "sha256 is not the archive's"
        );

        let mut extracted = BTreeSet::new();
        for file in list(platform, "files")? {
            ensure!(
                text(file, &["to"])? == ".",
                "files go to the plugin's own folder"
            );
            extracted.insert(text(file, &["from"])?.to_owned());
        }
        ensure!(extracted.contains("LICENSE"), "the licence is extracted");
        ensure!(
            extracted.contains(text(platform, &["bin"])?),
            "bin is extracted"
        );
        let packed: BTreeSet<_> = run(Command::new("tar").arg("tzf").arg(archive))?
            .lines()
            .map(str::to_owned)
            .collect();
        ensure!(
            extracted.is_subset(&packed),
            "files {extracted:?} are not all in the archive: {packed:?}"
        );
    }
    Ok(())
}

#[test]
fn what_krew_installs_is_whole_and_runs_as_kubectl_etcd() -> Result<()> {
    let dist = tempfile::tempdir()?;
    // A release has no debug information; with it this would take a minute longer.
    let plugin = dist.path().join("stripped");
    run(Command::new("strip")
        .arg("-o")
        .arg(&plugin)
        .arg(testbed::parts::plugin()?))?;
    run(Command::new(tree().join("krew/build"))
        .env("DIST", dist.path())
        .env(testbed::parts::PLUGIN_VARIABLE, plugin))?;
    let manifest: Value =
        serde_yaml::from_str(&fs::read_to_string(dist.path().join("etcd.yaml"))?)?;
    let archive_of = |uri: &str| {
        Ok(dist
            .path()
            .join(uri.rsplit('/').next().context("no name in the uri")?))
    };
    validate_krew_manifest(&manifest, archive_of)?;

    // As krew does it: unpacked into a folder of its own, and one link to `bin` in a folder on PATH.
    let store = tempfile::tempdir()?;
    let platform = &list(manifest.get("spec").context("no spec")?, "platforms")?[0];
    run(Command::new("tar")
        .arg("xzf")
        .arg(archive_of(text(platform, &["uri"])?)?)
        .arg("-C")
        .arg(store.path()))?;
    let path = tempfile::tempdir()?;
    std::os::unix::fs::symlink(
        store.path().join("kubectl-etcd"),
        path.path().join("kubectl-etcd"),
    )?;
    let said = run(Command::new(testbed::parts::kubectl()?)
        .args(["etcd", "version", "--client", "-o", "json"])
        .env_clear()
        .env("HOME", path.path())
        .env("PATH", path.path()))?;
    let said: serde_json::Value =
        serde_json::from_str(&said).context("version -o json is not JSON")?;
    let expected = text(&manifest, &["spec", "version"])?
        .trim_start_matches('v')
        .to_owned();
    ensure!(
        said.to_string().contains(&expected),
        "{said} does not tell version {expected}"
    );
    Ok(())
}

#[test]
fn a_manifest_that_breaks_krews_rules_is_noticed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("x.tar.gz");
    for name in ["kubectl-etcd", "LICENSE"] {
        fs::write(folder.path().join(name), name)?;
    }
    run(Command::new("tar")
        .arg("czf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .args(["kubectl-etcd", "LICENSE"]))?;
    let sum = sha256(&archive)?;
    let good = fs::read_to_string(tree().join("krew/etcd.yaml"))?
        .replace("{{version}}", "1.2.3")
        .replace("{{sha256 linux-amd64}}", &sum);
    let check =
        |text: &str| validate_krew_manifest(&serde_yaml::from_str(text)?, |_| Ok(archive.clone()));
    check(&good)?;
    for (from, to) in [
        (sum.as_str(), "00"),
        ("name: etcd", "name: Etcd"),
        ("\"v1.2.3\"", "\"1.2.3\""),
        ("- from: LICENSE\n      to: .\n", ""),
        ("arch: amd64", "cpu: amd64"),
        ("bin: kubectl-etcd", "bin: etcd"),
        ("kind: Plugin", "kind: Pluggin"),
    ] {
        ensure!(good.contains(from), "the manifest has no `{from}` to break");
        ensure!(
            check(&good.replace(from, to)).is_err(),
            "`{to}` for `{from}` is not noticed"
        );
    }
    Ok(())
}

#[test]
fn the_schedule_that_is_applied_names_its_image_by_digest() -> Result<()> {
    let dist = tempfile::tempdir()?;
    let build = |arguments: &[&str]| {
        run(Command::new(tree().join("manifests/build"))
            .args(arguments)
            .env("DIST", dist.path())
            .env(testbed::parts::PLUGIN_VARIABLE, testbed::parts::plugin()?))
    };
    let image = format!("registry.example:5000/etcd-job@sha256:{}", "0a".repeat(32));
    for tag in [
        "registry.example/etcd-job:v1",
        "registry.example/etcd-job@sha256:0a",
    ] {
        ensure!(build(&[tag]).is_err(), "{tag} is taken");
    }
    ensure!(build(&[]).is_err(), "no image is there, and one is taken");
    ensure!(
        fs::read_dir(dist.path())?.next().is_none(),
        "a refusal leaves a file"
    );

    fs::write(dist.path().join("etcd-job-image.reference"), &image)?;
    build(&[])?;
    let written = fs::read_to_string(dist.path().join("scheduled-snapshots.yaml"))?;
    let schedule: Value = serde_yaml::from_str(&written)?;
    ensure!(text(&schedule, &["kind"])? == "CronJob", "{written}");
    ensure!(text(&schedule, &["metadata", "namespace"])? == "kubectl-etcd");
    let pod = ["spec", "jobTemplate", "spec", "template", "spec"];
    let pod = pod.iter().try_fold(&schedule, |at, key| at.get(*key));
    let containers = list(pod.context("no pod")?, "containers")?;
    for container in containers {
        ensure!(text(container, &["image"])? == image, "{written}");
    }
    ensure!(containers.len() == 1);
    Ok(())
}

/// A registry knows an image by the sha256 of its manifest, which is in the archive that goes there.
#[test]
fn the_image_is_written_down_by_the_digest_it_has_in_a_registry() -> Result<()> {
    let image = testbed::job_image()?;
    let dist = image.archive.parent().context("no folder")?;
    let reference = fs::read_to_string(dist.join("etcd-job-image.reference"))?;
    let (name, digest) = reference
        .trim()
        .split_once("@sha256:")
        .with_context(|| format!("{reference} has no digest"))?;
    ensure!(
        image.reference.starts_with(&format!("{name}:")),
        "{reference} is not {}",
        image.reference
    );
    let archive = dist.join("etcd-job-image.oci.tar");
    let manifest = run(Command::new("tar")
        .arg("-xOf")
        .arg(archive)
        .arg(format!("blobs/sha256/{digest}")))?;
    let found: String = Sha256::digest(&manifest)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(found == digest, "{digest} is the name of something else");
    let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
    ensure!(
        manifest["layers"]
            .as_array()
            .is_some_and(|all| all.len() == 1),
        "{manifest} is no manifest of one layer"
    );
    Ok(())
}

/// What is released has to come out of the sources alone: two folders of different names and lengths give the same program.
/// The loader is the smallest of what is shipped; the release workflow compares all of it.
#[test]
fn the_same_sources_give_the_same_program_wherever_they_lie() -> Result<()> {
    let build = |folder: &Path| -> Result<String> {
        let sources = folder.join("sources");
        for part in ["jobs/loader", "images"] {
            fs::create_dir_all(sources.join(part))?;
        }
        run(Command::new("cp")
            .arg("-r")
            .args(
                ["Cargo.toml", "Cargo.lock", "build.rs", "src"]
                    .map(|name| tree().join("jobs/loader").join(name)),
            )
            .arg(sources.join("jobs/loader")))?;
        for name in ["images/rustflags", "rust-toolchain.toml"] {
            fs::copy(tree().join(name), sources.join(name))?;
        }
        let script = ". images/rustflags; CARGO_ENCODED_RUSTFLAGS=$(encoded_rustflags \"$PWD/out\") cargo build --quiet \
             --locked --release --features program --manifest-path jobs/loader/Cargo.toml \
             --target x86_64-unknown-linux-gnu --target-dir \"$PWD/out\"";
        run(Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&sources)
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env_remove("CARGO_TARGET_DIR"))?;
        let loader = sources.join("out/x86_64-unknown-linux-gnu/release/loader");
        let bytes = fs::read(&loader)?;
        let folder = folder.to_string_lossy();
        ensure!(
            !bytes
                .windows(folder.len())
                .any(|at| at == folder.as_bytes()),
            "the folder's name is in the program"
        );
        sha256(&loader)
    };
    let short = tempfile::Builder::new().prefix("a").tempdir()?;
    let long = tempfile::Builder::new()
        .prefix("another-one-with-a-long-name")
        .tempdir()?;
    ensure!(
        build(short.path())? == build(long.path())?,
        "the folder decides what the program is"
    );
    Ok(())
}

#[test]
fn the_two_variants_of_the_roles_differ_in_the_namespace_alone() -> Result<()> {
    let own = fs::read_to_string(tree().join("manifests/rbac.yaml"))?;
    let kube_system = fs::read_to_string(tree().join("manifests/rbac-kube-system.yaml"))?;
    let moved = own
        .replace("namespace: kubectl-etcd\n", "namespace: kube-system\n")
        .replace(
            "in the namespace kubectl-etcd",
            "in the namespace kube-system",
        );
    ensure!(
        own != moved,
        "rbac.yaml is not about the namespace kubectl-etcd"
    );
    ensure!(
        moved == kube_system,
        "rbac-kube-system.yaml is not rbac.yaml for kube-system"
    );
    Ok(())
}
