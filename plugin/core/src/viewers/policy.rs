//! The admission policies: which Jobs may be created by those who may not create pods, and who may create ConfigMaps that
//! look like a program.
//!
//! A policy names what is allowed. A field of a pod that is not looked at here could be the way out of it, so all that a
//! pod can say is either fixed or must be absent.

use std::collections::{BTreeMap, BTreeSet};

use etcd_operations::stored::FOLDER as FOLDER_OF_SNAPSHOTS;
use etcd_operations::target::Target;
use serde_json::{Value, json};

use super::{Grant, OPERATIONS, PROGRAM_ANNOTATION, files, metadata, policy_name};
use crate::runners::podspec::{ANNOTATIONS, APP, CAPABILITY, LABELS, SELINUX_TYPE};
use crate::runners::program::{FOLDER, LOADER, VOLUME, keys};

/// Whoever may create pods here needs no Job to be root on a node. The controller that makes Jobs of CronJobs is let
/// through: its CronJobs were looked at.
const MAY_NOT_CREATE_PODS: &str = "!authorizer.group('').resource('pods').namespace(request.namespace).check('create').allowed() \
     && request.userInfo.username != 'system:serviceaccount:kube-system:cronjob-controller'";
/// Controllers touch what already is: a finalizer, an owner.
const CHANGES_WHAT_RUNS: &str = "request.operation == 'CREATE' || object.spec != oldObject.spec";

/// Fields of a Job that must be absent, besides those that are looked at.
const ABSENT_IN_JOB: &str =
    "managedBy podFailurePolicy successPolicy backoffLimitPerIndex maxFailedIndexes";
/// Labels that the apiserver adds to a Job's template.
const LABELS_OF_JOBS: [&str; 4] = [
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
];

/// Fields of a pod that must be absent, besides those that are looked at.
const ABSENT_IN_POD: &str = "initContainers ephemeralContainers resourceClaims resources runtimeClassName hostAliases dnsConfig \
    imagePullSecrets hostname hostnameOverride subdomain overhead hostUsers os readinessGates schedulingGates \
    priority preemptionPolicy";
/// Fields of a pod that must be absent or false.
const FALSE_IN_POD: &str = "hostPID hostIPC shareProcessNamespace setHostnameAsFQDN";
/// Fields of a pod's security context, all of which must be absent.
const ABSENT_IN_POD_SECURITY: &str = "runAsUser runAsGroup runAsNonRoot fsGroup fsGroupChangePolicy supplementalGroups supplementalGroupsPolicy \
    sysctls seLinuxOptions seLinuxChangePolicy windowsOptions appArmorProfile";
/// Fields of a container that must be absent, besides those that are looked at.
const ABSENT_IN_CONTAINER: &str = "env envFrom lifecycle livenessProbe readinessProbe startupProbe ports volumeDevices workingDir stdin \
    stdinOnce tty restartPolicy resizePolicy";

/// What may follow of a target behind [`fixed`]: what an upgrade and a setting change.
const CHANGING: &str = r#"^(,"quotaBytes":[0-9]+)?(,"image":"[^"\\]*")?[}][}]$"#;
/// What makes the policy fit again.
fn renew(grant: &Grant) -> String {
    format!(
        "an administrator renews it with: {} | kubectl apply -f -",
        grant.renewed_by
    )
}

/// A check, and what is said when it fails.
struct Check {
    expression: String,
    message: String,
}

impl Check {
    fn new(expression: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            expression: expression.into(),
            message: message.into(),
        }
    }

    fn value(&self) -> Value {
        json!({"expression": self.expression, "message": self.message})
    }
}

/// The policies with their bindings.
pub(super) fn policies(grant: &Grant) -> Vec<Value> {
    let jobs = policy_name(&grant.namespace);
    let programs = format!("{jobs}-program");
    vec![
        job_policy(grant, &jobs),
        binding(&jobs),
        program_policy(grant, &programs),
        binding(&programs),
    ]
}

fn binding(name: &str) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata(name, None), "spec": {"policyName": name, "validationActions": ["Deny"]}})
}

fn policy(name: &str, grant: &Grant, mut spec: Value, rules: &Value) -> Value {
    spec["failurePolicy"] = "Fail".into();
    spec["matchConstraints"] = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": grant.namespace}},
        "resourceRules": rules,
    });
    let mut metadata = metadata(name, None);
    metadata["annotations"] = json!({
        PROGRAM_ANNOTATION: grant.program.config_maps.join(","),
        "kubectl-etcd/version": env!("CARGO_PKG_VERSION"),
    });
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata, "spec": spec})
}

fn job_policy(grant: &Grant, name: &str) -> Value {
    let variable = |name: &str, expression: String| json!({"name": name, "expression": expression});
    let spec = json!({
        "matchConditions": [
            {"name": "by-somebody-who-may-not-create-pods", "expression": MAY_NOT_CREATE_PODS},
            {"name": "changes-what-runs", "expression": CHANGES_WHAT_RUNS},
        ],
        "variables": [
            variable("pod", "object.spec.template.spec".into()),
            variable("container", "variables.pod.containers[0]".into()),
            variable("security", "variables.container.securityContext".into()),
            variable("volumes", "has(variables.pod.volumes) ? variables.pod.volumes : []".into()),
            variable("mounts", "has(variables.container.volumeMounts) ? variables.container.volumeMounts : []".into()),
            variable("files", map(&files(&grant.targets))),
            // Before and behind `,"target":`.
            variable("said", "variables.container.args[1].split(',\"target\":')".into()),
            variable("targets", list(grant.targets.iter().map(fixed))),
        ],
        "validations": checks(grant).iter().map(Check::value).collect::<Vec<_>>(),
    });
    let rules = json!([{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["jobs", "cronjobs"]}]);
    policy(name, grant, spec, &rules)
}

fn checks(grant: &Grant) -> Vec<Check> {
    let mut checks = vec![Check::new(
        "request.resource.resource == 'jobs'",
        "a viewer's Job is made by kubectl etcd; CronJobs are for operators",
    )];
    // What is said is what the first of them says that fails: whatever else differs, this is what was wanted.
    checks.extend(container_checks(grant));
    checks.extend(job_checks());
    checks.extend(object_checks());
    checks.extend(pod_checks(grant));
    checks.extend(security_checks());
    checks.extend(volume_checks(grant));
    checks
}

fn job_checks() -> Vec<Check> {
    let once = "a viewer's Job runs once, ends by itself and is removed";
    let own = "a viewer's Job has pods of its own alone";
    vec![
        Check::new(
            format!(
                "object.spec.parallelism == 1 && object.spec.completions == 1 && object.spec.backoffLimit == 0 \
                 && object.spec.activeDeadlineSeconds <= 3600 && object.spec.ttlSecondsAfterFinished <= 3600 \
                 && (!has(object.spec.suspend) || !object.spec.suspend) && {}",
                absent("object.spec", ABSENT_IN_JOB)
            ),
            once,
        ),
        // With a selector of its own a Job adopts, and ends, pods of others.
        Check::new(
            "!has(object.spec.manualSelector) || !object.spec.manualSelector",
            own,
        ),
    ]
}

/// What a Job and its pods are called is told to others: to controllers, to schedules, to the runtime.
fn object_checks() -> Vec<Check> {
    let message = "a viewer's Job belongs to nothing else, and has the labels and annotations of kubectl etcd alone";
    let of_job: Vec<&str> = LABELS.to_vec();
    let of_pods: Vec<&str> = LABELS.iter().chain(&LABELS_OF_JOBS).copied().collect();
    let keys = |of: &str, field: &str, known: &[&str]| {
        let known = list(known.iter().map(|key| (*key).to_owned()));
        format!("(!has({of}.{field}) || {of}.{field}.all(key, key in {known}))")
    };
    let free = |of: &str, labels: &[&str]| {
        [
            absent(of, "ownerReferences finalizers"),
            keys(of, "labels", labels),
            keys(of, "annotations", &ANNOTATIONS),
        ]
        .join(" && ")
    };
    let template = "object.spec.template.metadata";
    vec![
        Check::new(free("object.metadata", &of_job), message),
        Check::new(
            format!("!has({template}) || ({})", free(template, &of_pods)),
            message,
        ),
    ]
}

fn pod_checks(grant: &Grant) -> Vec<Check> {
    let nodes = list(grant.targets.iter().map(|target| target.node.clone()));
    let message =
        "a viewer's Job has the node's network and nothing else of the node or the cluster";
    vec![
        Check::new(absent("variables.pod", ABSENT_IN_POD), message),
        Check::new(
            all(FALSE_IN_POD, |field| {
                format!("(!has(variables.pod.{field}) || !variables.pod.{field})")
            }),
            message,
        ),
        Check::new(
            format!(
                "!has(variables.pod.securityContext) || ({})",
                absent("variables.pod.securityContext", ABSENT_IN_POD_SECURITY)
            ),
            message,
        ),
        Check::new(
            "variables.pod.restartPolicy == 'Never' \
             && (!has(variables.pod.serviceAccountName) || variables.pod.serviceAccountName == 'default') \
             && has(variables.pod.automountServiceAccountToken) && !variables.pod.automountServiceAccountToken",
            "a viewer's Job has no token, and is not started again",
        ),
        // A pod of this priority has others evicted where it finds no room.
        Check::new(
            format!("has(variables.pod.nodeName) && variables.pod.nodeName in {nodes}"),
            format!(
                "a viewer's Job is bound to a control-plane node that the policy knows; {}",
                renew(grant)
            ),
        ),
        Check::new(
            "(!has(variables.pod.priorityClassName) || variables.pod.priorityClassName == 'system-node-critical') \
             && (!has(variables.pod.terminationGracePeriodSeconds) || variables.pod.terminationGracePeriodSeconds <= 30)",
            "a viewer's Job is as important as kubectl etcd makes it, and ends when it is told to",
        ),
    ]
}

fn container_checks(grant: &Grant) -> Vec<Check> {
    let operations = OPERATIONS.join("|");
    // Nothing but the first word says what is done.
    let option = format!(r#"(,"folder":"{FOLDER_OF_SNAPSHOTS}"|,"timeoutMs":[0-9]+)?"#);
    let operation = format!(
        r#"^[{{]"version":[0-9]+,"operation":[{{]"operation":"({operations})"{option}[}}]$"#
    );
    vec![
        Check::new(
            "size(variables.pod.containers) == 1",
            "a viewer's Job has one container",
        ),
        Check::new(
            format!(
                "has(variables.container.command) && variables.container.command == ['{FOLDER}/{LOADER}'] && {}",
                absent("variables.container", ABSENT_IN_CONTAINER)
            ),
            "a viewer's Job starts the carried program and nothing else",
        ),
        Check::new(
            format!(
                "has(variables.container.args) && size(variables.container.args) == 2 && variables.container.args[0] == 'run' \
                 && variables.said[0].matches({})",
                text(&operation)
            ),
            "a viewer may run status, members, health, alarm list and snapshot list; operators may run the rest",
        ),
        Check::new(
            format!(
                "size(variables.said) == 2 && variables.targets.exists(target, variables.said[1].startsWith(target) \
                 && variables.said[1].substring(size(target)).matches({}))",
                text(CHANGING)
            ),
            format!(
                "a viewer looks at the etcds that the policy knows; {}",
                renew(grant)
            ),
        ),
        Check::new(
            format!(
                "has(variables.container.image) && variables.container.image.matches({})",
                text(&images(&grant.targets))
            ),
            format!(
                "a viewer's Job runs in the image of the node's etcd; {}",
                renew(grant)
            ),
        ),
        Check::new(
            "variables.container.imagePullPolicy == 'Never'",
            "a viewer's Job runs in an image that is on the node",
        ),
        Check::new(
            "(!has(variables.container.resources) || (!has(variables.container.resources.claims) \
             && !has(variables.container.resources.requests) && !has(variables.container.resources.limits))) \
             && (!has(variables.container.terminationMessagePath) || variables.container.terminationMessagePath == '/dev/termination-log')",
            "a viewer's Job asks for no devices and no room",
        ),
    ]
}

fn security_checks() -> Vec<Check> {
    let message = "a viewer's Job has no rights on the node but to read";
    vec![
        Check::new(
            "has(variables.container.securityContext) \
             && (!has(variables.security.privileged) || !variables.security.privileged) \
             && has(variables.security.allowPrivilegeEscalation) && !variables.security.allowPrivilegeEscalation \
             && has(variables.security.readOnlyRootFilesystem) && variables.security.readOnlyRootFilesystem \
             && (!has(variables.security.procMount) || variables.security.procMount == 'Default') \
             && !has(variables.security.windowsOptions) && !has(variables.security.appArmorProfile)",
            message,
        ),
        Check::new(
            format!(
                "has(variables.security.capabilities) && has(variables.security.capabilities.drop) \
                 && variables.security.capabilities.drop == ['ALL'] \
                 && (!has(variables.security.capabilities.add) || variables.security.capabilities.add.all(one, one == '{CAPABILITY}'))"
            ),
            message,
        ),
        Check::new(
            format!(
                "has(variables.security.seccompProfile) && variables.security.seccompProfile.type == 'RuntimeDefault' \
                 && (!has(variables.security.seLinuxOptions) || (variables.security.seLinuxOptions.type == '{SELINUX_TYPE}' \
                 && {}))",
                absent("variables.security.seLinuxOptions", "user role level")
            ),
            message,
        ),
    ]
}

fn volume_checks(grant: &Grant) -> Vec<Check> {
    let sources = grant.program.config_maps.iter().enumerate();
    let sources: Vec<String> = sources
        .map(|(number, name)| {
            let keys: Vec<String> = keys(number)
                .iter()
                .map(|key| {
                    format!(
                        "source.configMap.items.exists(item, item.key == {0} && item.path == {0})",
                        text(key)
                    )
                })
                .collect();
            format!(
                "(source.configMap.name == {} && size(source.configMap.items) == {} && {})",
                text(name),
                keys.len(),
                keys.join(" && ")
            )
        })
        .collect();
    let program = format!(
        "this policy is for another version of kubectl etcd; {}",
        renew(grant)
    );
    vec![
        Check::new(
            format!(
                "variables.volumes.all(v, has(v.hostPath) ? (v.hostPath.path in variables.files && has(v.hostPath.type) \
                 && v.hostPath.type == variables.files[v.hostPath.path]) : (has(v.projected) && v.name == '{VOLUME}'))"
            ),
            "a viewer's Job mounts etcd's certificates, its data, logs and stored snapshots, and the program; nothing else",
        ),
        Check::new(
            format!(
                "variables.volumes.exists(v, v.name == '{VOLUME}' && has(v.projected) \
                 && size(v.projected.sources) == {count} && v.projected.sources.all(source, has(source.configMap) \
                 && has(source.configMap.items) && ({any})))",
                count = grant.program.config_maps.len(),
                any = sources.join(" || ")
            ),
            program,
        ),
        Check::new(
            "variables.mounts.all(m, !has(m.subPath) && !has(m.subPathExpr) && has(m.readOnly) && m.readOnly \
             && (!has(m.mountPropagation) || m.mountPropagation == 'None'))",
            "a viewer's Job mounts for reading only",
        ),
        Check::new(
            format!(
                "variables.mounts.all(m, m.name == '{VOLUME}' ? m.mountPath == '{FOLDER}' \
                 : variables.volumes.exists(v, v.name == m.name && has(v.hostPath) && v.hostPath.path == m.mountPath)) \
                 && variables.mounts.exists_one(m, m.name == '{VOLUME}')"
            ),
            "a viewer's Job mounts each file of the node where it is there, and the program where it is started",
        ),
    ]
}

/// Who may create pods here may upload a program; nobody else makes something that looks like one.
fn program_policy(grant: &Grant, name: &str) -> Value {
    let spec = json!({
        "matchConditions": [
            {"name": "by-somebody-who-may-not-create-pods", "expression": MAY_NOT_CREATE_PODS},
            {"name": "a-program", "expression": format!("object.metadata.name.startsWith('{APP}-program-')")},
        ],
        "validations": [{"expression": "false",
            "message": "only those who may create pods in this namespace upload the program of kubectl etcd"}],
    });
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]);
    policy(name, grant, spec, &rules)
}

/// What an assignment says of a target, up to what may change.
pub(super) fn fixed(target: &Target) -> String {
    let fixed = Target {
        quota_bytes: None,
        image: None,
        ..target.clone()
    };
    // In the order in which an assignment has it, which a `Value` does not keep.
    let whole = serde_json::to_string(&fixed).unwrap_or_default();
    whole.strip_suffix('}').unwrap_or(&whole).to_owned()
}

/// The images of these etcds, of any version: as a regular expression.
fn images(targets: &[Target]) -> String {
    let repositories: BTreeSet<String> = targets
        .iter()
        .filter_map(|target| target.image.as_deref())
        .map(|image| literal(repository(image)))
        .collect();
    let repositories: Vec<String> = repositories.into_iter().collect();
    format!(
        "^({})(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]+)?$",
        repositories.join("|")
    )
}

/// An image without its tag and its digest.
pub(super) fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// A text as a regular expression that nothing else matches.
pub(super) fn literal(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | ':' | '-' | '_');
    text.chars()
        .map(|c| match c {
            '.' => "[.]".to_owned(),
            c if plain(c) => c.to_string(),
            c => format!(r"\x{{{:x}}}", u32::from(c)),
        })
        .collect()
}

fn list(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.map(|one| text(&one)).collect();
    format!("[{}]", texts.join(", "))
}

fn absent(of: &str, fields: &str) -> String {
    all(fields, |field| format!("!has({of}.{field})"))
}

fn all(fields: &str, rule: impl Fn(&str) -> String) -> String {
    let rules: Vec<_> = fields.split_whitespace().map(rule).collect();
    rules.join(" && ")
}

/// A text as CEL writes it. JSON's way is one of CEL's.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}

fn map(pairs: &BTreeMap<String, &'static str>) -> String {
    let pairs = pairs
        .iter()
        .map(|(key, value)| format!("{}: {}", text(key), text(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}
