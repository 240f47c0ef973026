//! Hosts on which several pods run an etcd.

use proptest::prelude::*;

use super::*;
use crate::manifest::Manifest;

const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");

/// kubeadm's etcd on 10.89.1.12 and loopback, port 2379.
fn main_etcd() -> Candidate {
    let manifest = Manifest::parse(ETCD.as_bytes()).unwrap();
    Candidate::of_pod(&manifest.facts("cp-1"), Some("etcd")).unwrap()
}

/// A copy for events: ports, data and names of its own.
fn events() -> Candidate {
    Candidate {
        name: "etcd-events".into(),
        component: None,
        container: "etcd-events".into(),
        listen: vec!["http://127.0.0.1:2383".into()],
        advertise: vec!["http://127.0.0.1:2383".into()],
    }
}

fn named(name: &str, container: &str, url: &str) -> Candidate {
    Candidate {
        name: name.into(),
        component: None,
        container: container.into(),
        listen: vec![url.into()],
        advertise: vec![url.into()],
    }
}

fn chosen(
    candidates: &[Candidate],
    servers: &[&str],
) -> Result<Option<(String, ChosenBy)>, NotChosen> {
    let servers: Vec<String> = servers.iter().map(|&url| url.to_owned()).collect();
    let wanted = Wanted {
        servers: &servers,
        ..Wanted::default()
    };
    let chosen = choose(candidates, &wanted)?;
    Ok(chosen.map(|one| (candidates[one.index].name.clone(), one.by)))
}

fn is(name: &str, by: ChosenBy) -> Result<Option<(String, ChosenBy)>, NotChosen> {
    Ok(Some((name.to_owned(), by)))
}

#[test]
fn kubeadms_pod_is_read() {
    let found = main_etcd();
    assert_eq!(
        (found.name.as_str(), found.container.as_str()),
        ("etcd", "etcd")
    );
    assert!(found.listen.contains(&"https://127.0.0.1:2379".to_owned()));
    assert_eq!(found.advertise, ["https://10.89.1.12:2379"]);
}

#[test]
fn the_etcd_that_the_apiserver_uses_is_chosen_whatever_the_order() {
    for candidates in [[main_etcd(), events()], [events(), main_etcd()]] {
        for servers in [
            &["https://127.0.0.1:2379"][..],
            &["https://localhost:2379"],
            &["https://[::1]:2379"],
            &["https://10.89.1.11:2379", "https://10.89.1.12:2379"],
            &["https://10.89.1.12:2379/"],
        ] {
            assert_eq!(
                chosen(&candidates, servers),
                is("etcd", ChosenBy::Servers),
                "{servers:?}"
            );
        }
        assert_eq!(chosen(&candidates, &[]), is("etcd", ChosenBy::Name));
        // The apiserver that uses the other one, whatever it is called.
        assert_eq!(
            chosen(&candidates, &["http://127.0.0.1:2383"]),
            is("etcd-events", ChosenBy::Servers)
        );
    }
}

#[test]
fn a_copied_label_is_outweighed_by_the_apiserver_and_by_the_name() {
    let copy = Candidate {
        component: Some("etcd".into()),
        container: "etcd".into(),
        ..events()
    };
    let candidates = [copy.clone(), main_etcd()];
    assert_eq!(chosen(&candidates, &[]), is("etcd", ChosenBy::Name));
    let servers = ["https://127.0.0.1:2379"];
    assert_eq!(chosen(&candidates, &servers), is("etcd", ChosenBy::Servers));
    // Neither has kubeadm's name: the label decides, if one alone has it.
    let unlabelled = named("etcd-main", "etcd", "http://127.0.0.1:2379");
    let candidates = [unlabelled, copy];
    assert_eq!(chosen(&candidates, &[]), is("etcd-events", ChosenBy::Label));
    assert_eq!(
        chosen(&candidates, &["http://127.0.0.1:2379"]),
        is("etcd-main", ChosenBy::Servers)
    );
}

#[test]
fn another_etcd_is_never_taken_for_the_one_that_is_missing() {
    let copy = Candidate {
        component: Some("etcd".into()),
        container: "etcd".into(),
        ..events()
    };
    for other in [events(), copy] {
        let candidates = [other];
        assert_eq!(chosen(&candidates, &["https://127.0.0.1:2379"]), Ok(None));
        assert_eq!(chosen(&candidates, &["https://10.0.0.1:2379"]), Ok(None));
    }
    assert_eq!(chosen(&[events()], &[]), is("etcd-events", ChosenBy::Only));
    assert_eq!(chosen(&[], &[]), Ok(None));
    // kubeadm's own pod, with a port that somebody changed in one of the two manifests.
    assert_eq!(
        chosen(&[main_etcd(), events()], &["https://127.0.0.1:4001"]),
        is("etcd", ChosenBy::Name)
    );
}

#[test]
fn a_name_that_is_not_looked_up_leaves_a_single_one_with_that_port() {
    let server = [named("server", "server", "https://0.0.0.0:2379"), events()];
    let lb = ["https://etcd.example:2379"];
    assert_eq!(chosen(&server, &lb), is("server", ChosenBy::Only));
    assert_eq!(chosen(&[events()], &lb), Ok(None));
}

#[test]
fn two_that_could_be_meant_are_both_named() {
    let candidates = [
        named("etcd-a", "a", "http://127.0.0.1:2379"),
        named("etcd-b", "b", "http://127.0.0.1:4001"),
    ];
    let refused = chosen(&candidates, &[]).unwrap_err();
    assert_eq!(
        refused,
        NotChosen::Ambiguous {
            names: vec!["etcd-a".into(), "etcd-b".into()]
        }
    );
    let failure = Failure::from(refused);
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.hint.unwrap().written().contains("{+etcd=etcd-a}"));
    let wanted = Wanted {
        named: Some("etcd-b"),
        ..Wanted::default()
    };
    let found = choose(&candidates, &wanted).unwrap().unwrap();
    assert_eq!((found.index, found.by), (1, ChosenBy::Named));
    let wanted = Wanted {
        named: Some("etcd-c"),
        ..Wanted::default()
    };
    let failure = Failure::from(choose(&candidates, &wanted).unwrap_err());
    assert!(
        failure.message.contains("etcd-c") && failure.message.contains("etcd-b"),
        "{failure}"
    );
}

#[test]
fn own_addresses_match_who_listens_on_all_or_on_another_one() {
    let own = vec!["10.0.0.1".to_owned(), "fd00::1".to_owned()];
    let servers = |url: &str| vec![url.to_owned()];
    let listens = |url: &str| [named("x", "x", url), events()];
    let by = |candidates: &[Candidate], url: &str| {
        let servers = servers(url);
        let wanted = Wanted {
            servers: &servers,
            own: &own,
            named: None,
        };
        choose(candidates, &wanted).unwrap().map(|one| one.index)
    };
    for all in ["https://0.0.0.0:2379", "https://[::]:2379", "https://:2379"] {
        for url in [
            "https://10.0.0.1:2379",
            "https://[fd00::1]:2379",
            "https://127.0.0.1:2379",
        ] {
            assert_eq!(by(&listens(all), url), Some(0), "{all} {url}");
        }
        assert_eq!(by(&listens(all), "https://10.0.0.2:2379"), None);
    }
    // Loopback is told to the apiserver, and etcd listens on the host's address alone: it is meant all the same.
    assert_eq!(
        by(&listens("https://10.0.0.1:2379"), "https://127.0.0.1:2379"),
        Some(0)
    );
}

#[test]
fn an_etcd_on_the_own_host_is_never_elsewhere() {
    let elsewhere = |servers: &[&str], own: &[&str]| {
        let owned = |list: &[&str]| -> Vec<String> { list.iter().map(|&one| one.into()).collect() };
        is_elsewhere(&owned(servers), &owned(own))
    };
    assert!(!elsewhere(&["https://127.0.0.1:2379"], &[]));
    assert!(!elsewhere(
        &["https://10.0.0.2:2379", "https://10.0.0.1:2379"],
        &["10.0.0.1"]
    ));
    assert!(!elsewhere(&["https://CP-1:2379"], &["cp-1"]));
    assert!(!elsewhere(&["unix:///run/etcd.sock"], &["10.0.0.1"]));
    assert!(elsewhere(&["https://10.9.0.1:2379"], &["10.0.0.1"]));
    assert!(!elsewhere(&[], &[]));
}

#[test]
fn a_manifest_left_by_a_move_to_another_etcd_is_not_taken_for_it() {
    let by = |servers: &[&str], own: &[&str], named: Option<&str>| {
        let owned = |list: &[&str]| -> Vec<String> { list.iter().map(|&one| one.into()).collect() };
        let (servers, own) = (owned(servers), owned(own));
        let wanted = Wanted {
            servers: &servers,
            own: &own,
            named,
        };
        let chosen = choose(&[main_etcd(), events()], &wanted).unwrap();
        chosen.map(|one| (one.index, one.by))
    };
    let other = ["https://10.9.0.1:2379", "https://10.9.0.2:2379"];
    let own = ["10.89.1.12", "cp-1"];
    assert_eq!(by(&other, &own, None), None);
    assert_eq!(by(&other, &own, Some("etcd")), Some((0, ChosenBy::Named)));
    // One of them leads here, or may; or it is not known what leads here.
    let by_name = Some((0, ChosenBy::Name));
    assert_eq!(by(&["https://cp-1:4001", other[0]], &own, None), by_name);
    assert_eq!(by(&["https://lb.example:2379"], &own, None), by_name);
    assert_eq!(by(&["unix:///run/etcd.sock"], &own, None), by_name);
    assert_eq!(by(&other, &["cp-1"], None), by_name);
}

#[test]
fn an_etcd_of_a_configuration_file_or_a_shell_is_a_candidate_without_urls() {
    let text = ETCD.replace(
        "    - etcd\n",
        "    - etcd\n    - --config-file=/etc/etcd.yaml\n",
    );
    let facts = Manifest::parse(text.as_bytes()).unwrap().facts("cp-1");
    let found = Candidate::of_pod(&facts, None).unwrap();
    assert!(found.listen.is_empty() && found.advertise.is_empty());
    assert_eq!(
        chosen(&[found, events()], &["https://127.0.0.1:2379"]),
        is("etcd", ChosenBy::Name)
    );
}

#[test]
fn variables_of_the_environment_count_as_flags_do() {
    let text = "kind: Pod\nmetadata: {name: etcd-main}\nspec:\n  containers:\n  - name: server\n    command: [etcd]\n    env:\n    - {name: ETCD_LISTEN_CLIENT_URLS, value: 'https://10.0.0.1:2379'}\n";
    let facts = Manifest::parse(text.as_bytes()).unwrap().facts("cp-1");
    let found = Candidate::of_pod(&facts, None).unwrap();
    assert_eq!(found.name, "etcd-main");
    assert_eq!(
        chosen(&[events(), found], &["https://10.0.0.1:2379"]),
        is("etcd-main", ChosenBy::Servers)
    );
}

proptest! {
    #[test]
    fn the_choice_does_not_depend_on_the_order(
        urls in proptest::collection::vec("https?://(127\\.0\\.0\\.1|10\\.0\\.0\\.[12]|0\\.0\\.0\\.0|a|\\[::1\\])?:(2379|2383)", 1..5),
        names in proptest::collection::vec("etcd|etcd-a|etcd-b|x", 5),
        containers in proptest::collection::vec("etcd|b", 5),
        labels in proptest::collection::vec(proptest::option::of("etcd|other"), 5),
        servers in proptest::collection::vec("https://(127\\.0\\.0\\.1|10\\.0\\.0\\.[12]|a|b):(2379|2383)", 0..3),
    ) {
        let candidates: Vec<Candidate> = urls.iter().enumerate().map(|(at, url)| Candidate {
            component: labels[at].clone(),
            ..named(&format!("{}{}", names[at], if names[at] == "x" { at.to_string() } else { String::new() }), &containers[at], url)
        }).collect();
        let wanted = Wanted { servers: &servers, ..Wanted::default() };
        let reversed: Vec<Candidate> = candidates.iter().rev().cloned().collect();
        let one = choose(&candidates, &wanted).ok().map(|one| one.map(|one| &candidates[one.index]));
        let other = choose(&reversed, &wanted).ok().map(|one| one.map(|one| &reversed[one.index]));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn any_text_is_read_as_a_url(url in "\\PC{0,30}") {
        let _ = chosen(&[main_etcd()], &[&url]);
        let _ = is_elsewhere(std::slice::from_ref(&url), std::slice::from_ref(&url));
    }
}
