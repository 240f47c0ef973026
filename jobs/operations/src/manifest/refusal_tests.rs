//! What cannot be changed without changing more, and what is said of it.

use super::golden_tests::{edited, image, on, parse, set, unset};
use super::tree::Tree;
use super::*;
use crate::failure::FailureKind;

/// A pod with one container, from what is below its name.
fn pod(container: &str) -> String {
    let container = container.replace('\n', "\n    ");
    format!("kind: Pod\nspec:\n  containers:\n  - name: etcd\n    {container}\n")
}

fn refused(text: &str, edit: &Edit) -> String {
    let failure = parse(text).edit("etcd", edit).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    format!("{failure}\n  {}", failure.hint.as_ref().unwrap().written())
}

/// Each with what would lift it.
#[test]
fn what_has_no_precise_change_is_refused() {
    let command = |words: &str| pod(&format!("command: {words}"));
    let shared = "kind: Pod\nx: &all\n- etcd\n- --name=a\nspec:\n  containers:\n  - name: etcd\n    command: *all\n";
    let cases = [
        (
            command("&all [etcd, --name=a]\nargs: *all"),
            set("name", "b"),
        ),
        (shared.to_owned(), set("name", "b")),
        (command("[etcd, &n --name=a]\nx: *n"), set("name", "b")),
        (command("[etcd, &n --name=a]\nx: *n"), unset("name")),
        (pod("<<: {command: [etcd, --name=a]}"), set("name", "b")),
        (command("[etcd, !!str --name=a]"), set("name", "b")),
        (command("\n- etcd\n- |-\n  --name=a"), set("name", "b")),
        (command("\n- etcd\n- |-\n  --name=a"), set("z", "1")),
        (
            command("[etcd, --max-txn-ops, 10]"),
            set("max-txn-ops", "10"),
        ),
        (command("[etcd, --name=a, ~]"), set("name", "b")),
        (command("\n-\n  etcd"), set("name", "b")),
        (command("[etcd, --name=a, # mine\n  --x=y]"), unset("x")),
        (pod("args: [--name=a]"), unset("name")),
        (pod("image: x"), set("name", "b")),
        (command("[sh, -c, etcd --name=a]"), set("name", "b")),
        (command("[etcd, --name=a, --, x]"), set("name", "b")),
        (
            command("[etcd, --config-file=/etc/etcd.conf]"),
            set("name", "b"),
        ),
        (
            command("[etcd, $(X)]\nenv: [{name: X, value: --name=a}]"),
            set("name", "b"),
        ),
        (
            command("[etcd]\nenv: [{name: ETCD_NAME, value: a}]"),
            unset("name"),
        ),
        (command("[etcd]") + "---\nkind: Pod\n", set("name", "b")),
        (
            command("[etcd]").replace("kind", "&p kind") + "x: {<<: {}}\n---\n{",
            set("name", "b"),
        ),
        (pod("image: |\n  etcd:1"), image("etcd:2")),
        (pod("command: [etcd]"), image("etcd:2")),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(text, edit)| refused(text, edit))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    args is not written out in its place: it comes from an anchor, or is not there
      write args out in the container
    command is not written out in its place: it comes from an anchor, or is not there
      write command out in the container
    word 2 of `command` has an anchor and stands in other places as well, which would change with it
      write it out in the other places
    word 2 of `command` has an anchor and stands in other places as well, which would change with it
      write it out in the other places
    command is not written out in its place: it comes from an anchor, or is not there
      write command out in the container
    word 2 of `command` has a tag
      write it without the tag
    word 2 of `command` is written over several lines
      write it on one line
    the words of `command` stand in a way that leaves no place for another
      write each word on a line of its own: `- --flag=value`
    word 3 of `command` is not a string: kubelet rejects this pod
      put the word in quotes
    word 3 of `command` is not a string: kubelet rejects this pod
      put the word in quotes
    the words of `command` stand in a way that leaves no place for another
      write each word on a line of its own: `- --flag=value`
    word 3 of `command` cannot be told from what stands beside it
      write each word on a line of its own: `- --flag=value`
    nothing would be left of `args`
      remove `args` itself by hand
    the container has neither `command` nor `args`: what its image runs is not known here
      write the program and its flags as words of `command`
    the container runs `sh`: a script's flags are not read
      write the program and its flags as words of `command`
    the command line has a word `--`, behind which nothing is a flag
      remove the word `--`
    etcd ignores its flags: its configuration is the file /etc/etcd.conf
      change it there; RKE2 and k3s write it anew at each start, from `etcd-arg` in their own configuration
    a variable of the environment decides whether --name is given
      write it in the command line itself, without `$(…)`
    the environment gives --name as well: ETCD_NAME
      remove ETCD_NAME from the container's `env`
    it has more than one YAML document, of which kubelet reads only the first
      leave only the pod in it
    it has more than one YAML document, of which kubelet reads only the first
      leave only the pod in it
    image is written over several lines
      write it on one line
    image is not written out in its place: it comes from an anchor, or is not there
      write image out in the container
    ");
}

#[test]
fn several_of_one_flag_are_told() {
    let text = pod("command: [etcd, --name=a, --x=y, --name, b]");
    let edited = parse(&text).edit("etcd", &set("name", "c")).unwrap();
    assert_eq!(edited.manifest.text, text.replace("b]", "c]"));
    let flag: FlagName = "name".parse().unwrap();
    let values = vec!["a".to_owned()];
    assert_eq!(
        edited.notes,
        [Note::WithoutEffect {
            flag: flag.clone(),
            values
        }]
    );
    let edited = parse(&text).edit("etcd", &unset("name")).unwrap();
    assert_eq!(edited.manifest.text, pod("command: [etcd, --x=y]"));
    let values = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(edited.notes, [Note::AllRemoved { flag, values }]);
    // Others add lists up.
    let text = text.replace("etcd", "kube-apiserver");
    let failure = parse(&text)
        .edit("kube-apiserver", &set("name", "c"))
        .unwrap_err();
    assert_eq!(
        failure.hint.unwrap().written(),
        "write --name once in the manifest"
    );
}

#[test]
fn a_flag_that_the_environment_gives_is_not_given_beside_it() {
    for env in [
        "{name: ETCD_MAX_TXN_OPS, value: '1'}",
        "{name: ETCD_MAX_TXN_OPS}",
    ] {
        let text = pod(&format!("command: [etcd]\nenv: [{env}]"));
        for value in ["1", "2"] {
            let failure = parse(&text)
                .edit("etcd", &set("max-txn-ops", value))
                .unwrap_err();
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.contains("etcd does not start"), "{failure}");
            assert!(failure.hint.unwrap().written().contains("ETCD_MAX_TXN_OPS"));
        }
        assert!(parse(&text).edit("etcd", &set("max-wals", "2")).is_ok());
    }
}

#[test]
fn switches_are_on_in_many_words() {
    let text = pod(
        "command: [etcd, --force-new-cluster, --pre-vote=T, --client-cert-auth=false, --debug]",
    );
    for name in ["force-new-cluster", "pre-vote", "debug"] {
        assert_eq!(edited(&text, "etcd", &[on(name)]), text);
    }
    let edits = [
        on("client-cert-auth"),
        set("force-new-cluster", "true"),
        set("pre-vote", "true"),
        set("debug", "false"),
    ];
    let wanted = "command: [etcd, --force-new-cluster, --pre-vote=true, --client-cert-auth=true, --debug=false]";
    assert_eq!(edited(&text, "etcd", &edits), pod(wanted));
}

#[test]
fn only_what_is_shared_stands_in_the_way() {
    // The program comes from an anchor, the flags do not.
    let text = "kind: Pod\nx: &p [etcd]\nspec:\n  containers:\n  - name: etcd\n    command: *p\n    args: [--name=a]\n";
    assert_eq!(
        edited(text, "etcd", &[set("name", "b")]),
        text.replace("=a", "=b")
    );
    let text =
        "kind: Pod\nspec: &s\n  containers:\n  - &c\n    name: &n etcd\n    command: &w [etcd]\n";
    assert_eq!(
        edited(text, "etcd", &[set("name", "b")]),
        text.replace("etcd]", "etcd, --name=b]")
    );
    let text = format!("---\n{}...\n---\n# nothing\n", pod("image: etcd:1"));
    assert_eq!(
        edited(&text, "etcd", &[image("etcd:2")]),
        text.replace(":1", ":2")
    );
}

#[test]
fn components_are_found_by_name_and_by_program() {
    let text = "kind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: one, command: [/bin/etcd]}\n  - {name: two, args: [--name=etcd]}\n  - {name: three, command: [tini, --, kube-apiserver]}\n  - {name: four, command: [kube-apiserver]}\n  - command: [x]\n";
    let manifest = parse(text);
    assert_eq!(manifest.pod().to_string(), "default/a");
    assert_eq!(manifest.component("etcd").unwrap().name(), "one");
    assert_eq!(manifest.component("two").unwrap().args(), ["--name=etcd"]);
    let several = manifest.component("kube-apiserver").unwrap_err();
    assert_eq!(several.kind, FailureKind::Refused);
    let none = manifest.component("kube-scheduler").unwrap_err();
    assert_eq!(none.kind, FailureKind::Missing);
    assert_eq!(
        none.hint.unwrap().written(),
        "it has: one, two, three, four"
    );
}

#[test]
fn what_is_no_manifest_is_told() {
    let said = |bytes: &[u8]| {
        let failure = Manifest::parse(bytes).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Other);
        format!(
            "{failure}\n  {}",
            failure
                .hint
                .clone()
                .unwrap_or_else(|| "-".into())
                .worded(|_| "COMMAND".into())
        )
    };
    let cases: [&[u8]; 8] = [
        b"",
        b"# nothing\n",
        b"kind: PodList\n",
        b"{\"kind\": \"Pod\", \"kind\": \"Pod\"}",
        b"{kind: Pod}",
        b"kind: Pod\n<<: 1\n",
        b"\xff\xfek\0i\0",
        b"kind: [",
    ];
    insta::assert_snapshot!(cases.map(said).join("\n"), @r#"
    it is no pod's manifest
      a manifest says `kind: Pod`
    it is no pod's manifest
      a manifest says `kind: Pod`
    it is no pod's manifest
      a manifest says `kind: Pod`
    it is no manifest: it gives kind twice
      leave one of the two
    it is no manifest: key must be a string at line 1 column 2
      kubelet takes a file that begins with `{` for JSON
    it is no manifest: YAML merge value must be mapping or sequence of mappings at line 2, column 5
      put it right there, or move the file out of the folder
    it is no manifest: invalid utf-8 sequence of 1 bytes from index 0
      save it as UTF-8
    it is no manifest: unclosed bracket '[' at char 6 line 1 column 7
      put it right there, or move the file out of the folder
    "#);
}

#[test]
fn what_grows_or_nests_without_end_is_refused_at_once() {
    let begun = std::time::Instant::now();
    let mut grows = "kind: Pod\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let more = vec![format!("*a{}", n - 1); 9].join(", ");
        grows += &format!("a{n}: &a{n} [{more}]\n");
    }
    let nests = |open: &str| format!("kind: Pod\na: {}", open.repeat(1 << 20));
    for text in [
        grows,
        nests("["),
        nests("{a: "),
        nests("- "),
        nests("? "),
        format!("{{\"a\":{}", "[".repeat(1 << 20)),
    ] {
        assert!(Manifest::parse(text.as_bytes()).is_err());
        assert!(Tree::parse(&text).is_err() || text.starts_with("kind: Pod\na0"));
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn host_paths_are_where_the_mounts_lead() {
    let text = "kind: Pod\nspec:\n  containers:\n  - name: etcd\n    volumeMounts:\n    - {name: d, mountPath: /data, subPath: one}\n    - {name: m, mountPath: /memory}\n  volumes:\n  - {name: d, hostPath: {path: /srv/etcd/}}\n  - {name: m, emptyDir: {}}\n";
    let component = parse(text).component("etcd").unwrap();
    let wanted = HostPath {
        volume: "d".into(),
        on_node: "/srv/etcd/one".into(),
        in_container: "/data".into(),
    };
    assert_eq!(component.host_paths, [wanted]);
}
