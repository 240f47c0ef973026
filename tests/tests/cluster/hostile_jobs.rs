//! Somebody who may create Jobs, and not Pods, in the namespace of kubectl-etcd becomes nothing more by it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Cluster, Workstation, wait};

use crate::people::{apply, person, remove, with_viewers};
use crate::three;

/// More than viewers have, and no right to create Pods: whatever role gives it, the policy holds.
const MORE: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: more-than-viewers, namespace: kubectl-etcd}
rules:
- {apiGroups: [batch], resources: [jobs, cronjobs], verbs: [create, get, list, update, patch]}
- {apiGroups: [""], resources: [configmaps], verbs: [create, get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: more-than-viewers, namespace: kubectl-etcd}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: more-than-viewers}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}
"#;

/// A change to a Job, and what it is.
type Attack = (&'static str, fn(&mut Value));

fn pod(job: &mut Value) -> &mut Value {
    &mut job["spec"]["template"]["spec"]
}

fn container(job: &mut Value) -> &mut Value {
    &mut pod(job)["containers"][0]
}

fn add(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(items) => items.push(item),
        None => *list = json!([item]),
    }
}

/// Mounts a path of the node.
fn mount(job: &mut Value, path: &str, at: &str, more: &Value) {
    add(
        &mut pod(job)["volumes"],
        json!({"name": "more", "hostPath": {"path": path, "type": "Directory"}}),
    );
    let mut mount = json!({"name": "more", "mountPath": at, "readOnly": true});
    if let (Some(mount), Some(more)) = (mount.as_object_mut(), more.as_object()) {
        mount.extend(more.clone());
    }
    add(&mut container(job)["volumeMounts"], mount);
}

/// Changes the volume of the carried program.
fn carried(job: &mut Value) -> &mut Value {
    let volumes = pod(job)["volumes"].as_array_mut();
    let volumes = volumes.expect("a Job of ours has volumes");
    volumes
        .iter_mut()
        .find(|volume| volume["name"] == "carried")
        .expect("a Job of ours carries its program")
}

fn carried_mount(job: &mut Value) -> &mut Value {
    let mounts = container(job)["volumeMounts"].as_array_mut();
    let mounts = mounts.expect("a Job of ours has mounts");
    mounts
        .iter_mut()
        .find(|mount| mount["name"] == "carried")
        .expect("a Job of ours carries its program")
}

fn assignment(job: &mut Value, change: impl Fn(&str) -> String) {
    let args = &mut container(job)["args"];
    let text = args[1].as_str().unwrap_or_default().to_owned();
    args[1] = change(&text).into();
}

/// What is mounted over, beside or instead of the program, and files of the node that looking does not need.
const MOUNTS: [Attack; 24] = [
    ("a program at //carried/loader", |job| {
        mount(job, "/usr/bin", "//carried/loader", &json!({}));
    }),
    ("a program at carried/loader", |job| {
        mount(job, "/usr/bin", "carried/loader", &json!({}));
    }),
    ("a program at /x/../carried/loader", |job| {
        mount(job, "/usr/bin", "/x/../carried/loader", &json!({}));
    }),
    ("a program at /carried/./loader", |job| {
        mount(job, "/usr/bin", "/carried/./loader", &json!({}));
    }),
    ("a program at /carried/loader", |job| {
        mount(job, "/usr/bin", "/carried/loader", &json!({}));
    }),
    ("an allowed folder at /carried/loader", |job| {
        mount(job, "/var/lib", "/carried/loader", &json!({}));
    }),
    ("an allowed folder elsewhere", |job| {
        mount(job, "/var/log/pods", "/lib64", &json!({}));
    }),
    ("all of the node", |job| {
        mount(job, "/", "/host", &json!({}));
    }),
    ("all of the node at its own place", |job| {
        mount(job, "/", "/", &json!({}));
    }),
    ("etcd's CA key", |job| {
        mount(
            job,
            "/etc/kubernetes/pki/etcd",
            "/etc/kubernetes/pki/etcd",
            &json!({}),
        );
    }),
    ("root's home", |job| {
        mount(job, "/root", "/root", &json!({}));
    }),
    ("a path that is not normalised", |job| {
        mount(job, "/var/lib/../../etc", "/etc", &json!({}));
    }),
    ("an allowed path written otherwise", |job| {
        mount(job, "/var//lib", "/var//lib", &json!({}));
    }),
    ("the runtime's socket", |job| {
        mount(job, "/run/containerd", "/run/containerd", &json!({}));
    }),
    ("a file of an allowed folder by subPath", |job| {
        container(job)["volumeMounts"][0]["subPath"] = "kubelet".into();
    }),
    ("by subPathExpr", |job| {
        container(job)["volumeMounts"][0]["subPathExpr"] = "kubelet".into();
    }),
    ("an allowed folder to write to", |job| {
        let mounts = &mut container(job)["volumeMounts"];
        mounts[0]["readOnly"] = false.into();
    }),
    ("mounts that reach the node", |job| {
        let mounts = &mut container(job)["volumeMounts"];
        mounts[0]["mountPropagation"] = "HostToContainer".into();
    }),
    ("the program by subPath", |job| {
        carried_mount(job)["subPath"] = "part-0".into();
    }),
    ("the program elsewhere", |job| {
        carried_mount(job)["mountPath"] = "/elsewhere".into();
    }),
    ("another ConfigMap", |job| {
        carried(job)["projected"]["sources"][0]["configMap"]["name"] = "evil".into();
    }),
    ("another ConfigMap besides", |job| {
        add(
            &mut carried(job)["projected"]["sources"],
            json!({"configMap": {"name": "evil", "items": [{"key": "loader", "path": "another"}]}}),
        );
    }),
    ("a part in the place of the loader", |job| {
        let items = &mut carried(job)["projected"]["sources"][0]["configMap"]["items"];
        *items = json!([{"key": "part-0", "path": "loader"}, {"key": "loader", "path": "part-0"}]);
    }),
    ("a plain ConfigMap as the program", |job| {
        *carried(job) =
            json!({"name": "carried", "configMap": {"name": "evil", "defaultMode": 0o555}});
    }),
];

/// What else of the cluster or the node a pod can have.
const PODS: [Attack; 25] = [
    ("a Secret", |job| {
        add(
            &mut pod(job)["volumes"],
            json!({"name": "s", "secret": {"secretName": "x"}}),
        );
    }),
    ("a token", |job| {
        add(
            &mut carried(job)["projected"]["sources"],
            json!({"serviceAccountToken": {"path": "token"}}),
        );
    }),
    ("a token by itself", |job| {
        pod(job)["automountServiceAccountToken"] = true.into();
    }),
    ("another service account", |job| {
        pod(job)["serviceAccountName"] = "other".into();
    }),
    ("a second container", |job| {
        let second = json!({"name": "second", "image": "x", "command": ["/bin/sh"]});
        add(&mut pod(job)["containers"], second);
    }),
    ("an init container", |job| {
        pod(job)["initContainers"] =
            json!([{"name": "first", "image": "x", "command": ["/bin/sh"]}]);
    }),
    ("an ephemeral container", |job| {
        pod(job)["ephemeralContainers"] =
            json!([{"name": "e", "image": "x", "command": ["/bin/sh"]}]);
    }),
    ("the node's processes", |job| {
        pod(job)["hostPID"] = true.into();
    }),
    ("the node's shared memory", |job| {
        pod(job)["hostIPC"] = true.into();
    }),
    ("one process namespace", |job| {
        pod(job)["shareProcessNamespace"] = true.into();
    }),
    ("another runtime", |job| {
        pod(job)["runtimeClassName"] = "other".into();
    }),
    ("names of its own", |job| {
        pod(job)["hostAliases"] = json!([{"ip": "10.0.0.9", "hostnames": ["x"]}]);
    }),
    ("another user", |job| {
        pod(job)["securityContext"] = json!({"runAsUser": 1000});
    }),
    ("a setting of the kernel", |job| {
        pod(job)["securityContext"] =
            json!({"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]});
    }),
    ("whichever node", |job| {
        if let Some(pod) = pod(job).as_object_mut() {
            pod.remove("nodeName");
        }
    }),
    ("many pods", |job| {
        job["spec"]["parallelism"] = 50.into();
        job["spec"]["completions"] = 50.into();
    }),
    ("another node", |job| {
        pod(job)["nodeName"] = "worker-7".into();
    }),
    ("room of the whole node", |job| {
        container(job)["resources"] = json!({"requests": {"memory": "1Gi"}});
    }),
    ("a device", |job| {
        container(job)["resources"] = json!({"limits": {"example.com/device": 1}});
    }),
    ("another priority", |job| {
        pod(job)["priorityClassName"] = "system-cluster-critical".into();
    }),
    ("no end when it is told to end", |job| {
        pod(job)["terminationGracePeriodSeconds"] = 86_400.into();
    }),
    ("a wait for a better moment", |job| {
        job["spec"]["suspend"] = true.into();
    }),
    ("pods of others", |job| {
        let labels = json!({"kubectl-etcd/run": "1"});
        job["spec"]["manualSelector"] = true.into();
        job["spec"]["selector"] = json!({"matchLabels": labels});
        job["spec"]["template"]["metadata"]["labels"] = labels;
    }),
    ("no end", |job| {
        if let Some(spec) = job["spec"].as_object_mut() {
            spec.remove("activeDeadlineSeconds");
        }
    }),
    ("tried again for ever", |job| {
        job["spec"]["backoffLimit"] = 1_000_000.into();
    }),
];

/// What a Job is to others.
const OBJECTS: [Attack; 6] = [
    ("a run of a schedule", |job| {
        job["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "etcd-snapshot",
            "uid": "11111111-2222-3333-4444-555555555555", "controller": true}]);
    }),
    ("an object that stays", |job| {
        job["metadata"]["finalizers"] = json!(["example.com/never"]);
    }),
    ("pods that stay", |job| {
        job["spec"]["template"]["metadata"]["finalizers"] = json!(["example.com/never"]);
    }),
    ("a schedule's label", |job| {
        job["metadata"]["labels"] = json!({"kubectl-etcd/schedule": "etcd-snapshot"});
    }),
    ("another's pods by their label", |job| {
        job["spec"]["template"]["metadata"]["labels"] = json!({"component": "etcd"});
    }),
    ("a word to the runtime", |job| {
        job["spec"]["template"]["metadata"]["annotations"] =
            json!({"io.kubernetes.cri-o.Devices": "/dev/sda"});
    }),
];

/// What is run, and with which rights.
const CONTAINERS: [Attack; 37] = [
    ("a shell", |job| {
        container(job)["command"] = json!(["/bin/sh", "-c", "id"]);
    }),
    ("the image's own program", |job| {
        if let Some(container) = container(job).as_object_mut() {
            container.remove("command");
        }
    }),
    ("more behind the loader", |job| {
        container(job)["command"] = json!(["/carried/loader", "host"]);
    }),
    ("the program in the image, by the loader of before", |job| {
        let look = container(job)["args"][1].clone();
        container(job)["image"] = "registry.example/evil:1".into();
        container(job)["args"] = json!(["ab".repeat(32), "4096", "/p", "--", "run", look]);
    }),
    ("a word before", |job| {
        let look = container(job)["args"][1].clone();
        container(job)["args"] = json!(["--", "run", look]);
    }),
    ("a word behind", |job| {
        add(&mut container(job)["args"], "--".into());
    }),
    ("a script before", |job| {
        let look = container(job)["args"][1].clone();
        container(job)["args"] = json!(["-c", "id", "--", "run", look]);
    }),
    ("the program's other side", |job| {
        container(job)["args"] = json!(["host"]);
    }),
    ("a file of the node", |job| {
        container(job)["args"] = json!(["read", "--path", "/etc/kubernetes/pki/etcd/server.key"]);
    }),
    ("a scheduled run", |job| {
        container(job)["args"][0] = "scheduled".into();
    }),
    ("a snapshot", |job| {
        assignment(job, |text| {
            text.replace(
                r#""operation":"status""#,
                r#""operation":"snapshot-save","folder":"/var/lib/x","name":"s.db""#,
            )
        });
    }),
    ("a defragmentation", |job| {
        assignment(job, |text| text.replace(r#":"status""#, r#":"defrag""#));
    }),
    ("two operations", |job| {
        assignment(job, |text| {
            text.replace(
                r#""operation":"status"}"#,
                r#""operation":"status"},"operation":{"operation":"defrag"}"#,
            )
        });
    }),
    ("an operation that was written twice", |job| {
        assignment(job, |text| {
            text.replace(
                r#""operation":"status""#,
                r#""operation":"status","operation":"defrag""#,
            )
        });
    }),
    ("an operation behind an escape", |job| {
        assignment(job, |text| {
            text.replace(
                r#""target""#,
                r#""\u006fperation":{"operation":"defrag"},"target""#,
            )
        });
    }),
    ("an image of somebody else", |job| {
        container(job)["image"] = "registry.example/evil:1".into();
    }),
    ("an image whose name begins as etcd's", |job| {
        let image = container(job)["image"].as_str().unwrap_or_default();
        let evil = image.replace("/etcd:", "/etcd-evil:");
        container(job)["image"] = evil.into();
    }),
    ("another etcd", |job| {
        assignment(job, |text| {
            text.replace("https://127.0.0.1:2379", "http://10.0.0.9:1")
        });
    }),
    ("another pod's last words", |job| {
        assignment(job, |text| {
            text.replace(r#""pod":"etcd-"#, r#""pod":"payments-"#)
        });
    }),
    ("two targets", |job| {
        assignment(job, |text| {
            let target = text
                .split_once(r#","target":"#)
                .map_or("", |(_, target)| target);
            text.replace(
                r#","target":"#,
                &format!(r#","target":{{"node":"x"}},"target":{target}"#),
            )
        });
    }),
    ("text behind the assignment", |job| {
        assignment(job, |text| format!("{text}{{}}"));
    }),
    ("text before the assignment", |job| {
        assignment(job, |text| format!("{{}}{text}"));
    }),
    ("an image that is pulled", |job| {
        container(job)["imagePullPolicy"] = "Always".into();
    }),
    ("an image that is pulled once", |job| {
        container(job)["imagePullPolicy"] = "IfNotPresent".into();
    }),
    ("an environment", |job| {
        container(job)["env"] = json!([{"name": "LD_PRELOAD", "value": "/x"}]);
    }),
    ("an environment of a ConfigMap", |job| {
        container(job)["envFrom"] = json!([{"configMapRef": {"name": "evil"}}]);
    }),
    ("a hook", |job| {
        container(job)["lifecycle"] = json!({"postStart": {"exec": {"command": ["/bin/sh"]}}});
    }),
    ("a probe", |job| {
        container(job)["livenessProbe"] = json!({"exec": {"command": ["/bin/sh"]}});
    }),
    ("a working folder", |job| {
        container(job)["workingDir"] = "/var/lib".into();
    }),
    ("an open input", |job| container(job)["stdin"] = true.into()),
    ("last words over the loader", |job| {
        container(job)["terminationMessagePath"] = "/carried/loader".into();
    }),
    ("privileges", |job| {
        let context = &mut container(job)["securityContext"];
        context["privileged"] = true.into();
        context["allowPrivilegeEscalation"] = true.into();
    }),
    ("privileges later", |job| {
        container(job)["securityContext"]["allowPrivilegeEscalation"] = true.into();
    }),
    ("a capability more", |job| {
        container(job)["securityContext"]["capabilities"]["add"] =
            json!(["DAC_READ_SEARCH", "SYS_ADMIN"]);
    }),
    ("capabilities that stay", |job| {
        container(job)["securityContext"]["capabilities"] = json!({"add": ["DAC_READ_SEARCH"]});
    }),
    ("every system call", |job| {
        container(job)["securityContext"]["seccompProfile"]["type"] = "Unconfined".into();
    }),
    ("all of /proc", |job| {
        container(job)["securityContext"]["procMount"] = "Unmasked".into();
    }),
];

/// A Job as a viewer's command makes it, to be changed.
fn honest_job(cluster: &Cluster, viewer: &Workstation) -> Result<Value> {
    viewer.etcd(["status", "--via", "job"])?.code(0)?;
    let label = "kubectl-etcd/operation=status";
    let jobs = [
        "get",
        "jobs",
        "-n",
        "kubectl-etcd",
        "-l",
        label,
        "-o",
        "json",
    ];
    let jobs: Value = serde_json::from_str(&cluster.kubectl(jobs)?.success()?)?;
    let mut job = jobs["items"][0].clone();
    ensure!(job.is_object(), "a viewer's Job stays for a minute: {jobs}");
    job["metadata"] = json!({"name": "honest", "namespace": "kubectl-etcd"});
    if let Some(job) = job.as_object_mut() {
        job.remove("status");
    }
    // What the apiserver has added of its own.
    if let Some(spec) = job["spec"].as_object_mut() {
        spec.remove("selector");
    }
    job["spec"]["template"]["metadata"] = json!({});
    Ok(job)
}

/// What the apiserver says to each of these objects: nothing is made.
fn tried(person: &Workstation, kubectl: &Path, verb: &str, objects: &[Value]) -> Result<String> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let path = person.folder().join("objects.json");
    fs::write(&path, list.to_string())?;
    let mut args = vec![verb, "--dry-run=server", "-o", "name", "-f"];
    let path = path.to_string_lossy().into_owned();
    args.push(&path);
    let answer = person.run(&mut person.other(kubectl, args))?;
    Ok(format!("{}{}", answer.output.stdout, answer.output.stderr))
}

#[test]
fn whoever_may_create_jobs_and_no_pods_does_no_more_than_look() {
    three(|cluster, me| {
        let flags = [
            "--for-group",
            "kubectl-etcd:viewers",
            "--for-user",
            "mallory",
        ];
        let viewer = person(cluster, me, "vera", "kubectl-etcd:viewers")?;
        let mallory = person(cluster, me, "mallory", "strangers")?;
        let more = me.folder().join("more.yaml");
        fs::write(&more, MORE)?;
        with_viewers(cluster, me, &flags, || {
            apply(cluster, &more)?;
            let done = attack(cluster, &viewer, &mallory);
            remove(cluster, &more)?;
            done
        })
    });
}

/// What no Job may be at all, whoever creates it.
const REFUSED_BY_KUBERNETES: [&str; 3] = [
    "a path that is not normalised",
    "an ephemeral container",
    "all of /proc",
];

fn attack(cluster: &Cluster, viewer: &Workstation, mallory: &Workstation) -> Result<()> {
    let kubectl = cluster.kubectl_path();
    let job = honest_job(cluster, viewer)?;
    // The policy is obeyed a moment after it was made, and lets an honest Job through.
    wait::until("a policy that is obeyed", Duration::from_secs(20), || {
        let mut hostile = job.clone();
        container(&mut hostile)["command"] = json!(["/bin/sh"]);
        let said = tried(mallory, &kubectl, "create", &[hostile]);
        let said = said.map_err(|error| format!("{error:#}"))?;
        if said.contains("kubectl-etcd-viewers") && said.contains("denied") {
            Ok(())
        } else {
            Err(said)
        }
    })?;
    let said = tried(mallory, &kubectl, "create", std::slice::from_ref(&job))?;
    ensure!(said.trim() == "job.batch/honest", "{said}");

    let attacks: Vec<&Attack> = MOUNTS
        .iter()
        .chain(&PODS)
        .chain(&OBJECTS)
        .chain(&CONTAINERS)
        .collect();
    let mut hostile = Vec::new();
    for (number, (what, change)) in attacks.iter().enumerate() {
        let mut changed = job.clone();
        change(&mut changed);
        ensure!(changed != job, "{what}: changes nothing");
        changed["metadata"]["name"] = format!("hostile-{number}").into();
        hostile.push(changed);
    }
    let said = tried(mallory, &kubectl, "create", &hostile)?;
    let let_in: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("job.batch/"))
        .collect();
    let names = let_in
        .iter()
        .filter_map(|line| line.rsplit('-').next()?.parse().ok());
    let names: Vec<&str> = names.map(|number: usize| attacks[number].0).collect();
    ensure!(
        let_in.is_empty(),
        "{names:?} of {} were let in: {let_in:?}",
        attacks.len()
    );
    let refused_by_policy = |number: usize| {
        let name = format!("\"hostile-{number}\"");
        said.lines()
            .any(|line| line.contains(&name) && line.contains("kubectl-etcd-viewers"))
    };
    let otherwise: Vec<&str> = attacks
        .iter()
        .enumerate()
        .filter(|(number, _)| !refused_by_policy(*number))
        .map(|(_, attack)| attack.0)
        .collect();
    ensure!(
        otherwise == REFUSED_BY_KUBERNETES,
        "the policy did not refuse {otherwise:?}:\n{said}"
    );

    other_ways(cluster, mallory, &job)?;
    others_are_let_through(cluster, &job)
}

/// A Pod, a CronJob, a Job that is changed while it waits, a ConfigMap that looks like the program.
fn other_ways(cluster: &Cluster, mallory: &Workstation, job: &Value) -> Result<()> {
    let kubectl = cluster.kubectl_path();
    let named = |kind: &str, version: &str, spec: Value| {
        json!({"apiVersion": version, "kind": kind, "spec": spec,
            "metadata": {"name": "other", "namespace": "kubectl-etcd"}})
    };
    let bare = named("Pod", "v1", job["spec"]["template"]["spec"].clone());
    let said = tried(mallory, &kubectl, "create", &[bare])?;
    ensure!(said.contains("cannot create resource \"pods\""), "{said}");
    let spec = json!({"schedule": "0 3 * * *", "jobTemplate": {"spec": job["spec"]}});
    let cron_job = named("CronJob", "batch/v1", spec);
    let said = tried(mallory, &kubectl, "create", &[cron_job])?;
    ensure!(said.contains("CronJobs are for operators"), "{said}");

    let mut waiting = job.clone();
    waiting["spec"]["suspend"] = true.into();
    waiting["metadata"]["name"] = "waiting".into();
    // An operator's.
    let path = cluster.folder().join("waiting.json");
    fs::write(&path, waiting.to_string())?;
    let create = ["create".as_ref(), "-f".as_ref(), path.as_os_str()];
    cluster.kubectl(create)?.success()?;
    let patch = |patch: &str| -> Result<String> {
        let args = [
            "patch",
            "job",
            "waiting",
            "-n",
            "kubectl-etcd",
            "--type=json",
            "-p",
            patch,
        ];
        let answer = mallory.run(&mut mallory.other(&kubectl, args))?;
        Ok(format!("{}{}", answer.output.stdout, answer.output.stderr))
    };
    let said = patch(r#"[{"op": "replace", "path": "/spec/parallelism", "value": 40}]"#)?;
    ensure!(said.contains("kubectl-etcd-viewers"), "{said}");

    let program = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "binaryData": {"loader": "ZXZpbA=="},
            "metadata": {"name": name, "namespace": "kubectl-etcd"}})
    };
    let said = tried(
        mallory,
        &kubectl,
        "create",
        &[program("kubectl-etcd-program-0-0-0")],
    )?;
    ensure!(
        said.contains("upload the program of kubectl etcd"),
        "{said}"
    );
    let said = tried(mallory, &kubectl, "create", &[program("harmless")])?;
    ensure!(said.trim() == "configmap/harmless", "{said}");
    Ok(())
}

/// The cluster's own controllers are not in the policy's way, nor it in theirs.
fn others_are_let_through(cluster: &Cluster, job: &Value) -> Result<()> {
    let mut scheduled = job.clone();
    container(&mut scheduled)["args"] = json!(["scheduled", "{}"]);
    let path = cluster.folder().join("scheduled.json");
    fs::write(&path, scheduled.to_string())?;
    let as_controller = "--as=system:serviceaccount:kube-system:cronjob-controller";
    let create = ["create", "--dry-run=server", as_controller, "-f"].map(AsRef::as_ref);
    let created = cluster.kubectl(create.into_iter().chain([path.as_os_str()]));
    created?
        .success()
        .context("a Job of the CronJob controller")?;
    let as_collector = "--as=system:serviceaccount:kube-system:generic-garbage-collector";
    let patch = r#"{"metadata": {"finalizers": ["orphan"]}}"#;
    let touch = [
        "patch",
        "job",
        "waiting",
        "-n",
        "kubectl-etcd",
        "--dry-run=server",
        as_collector,
        "-p",
        patch,
    ];
    cluster
        .kubectl(touch)?
        .success()
        .context("a finalizer of the garbage collector")?;
    let remove = ["delete", "job", "waiting", "-n", "kubectl-etcd"];
    cluster.kubectl(remove)?.success()?;
    fs::remove_file(cluster.folder().join("waiting.json"))?;
    fs::remove_file(&path)?;
    Ok(())
}
