use super::*;
use proptest::prelude::*;

fn member(number: u64, name: &str, learner: bool) -> Member {
    Member {
        id: MemberId(number),
        name: name.to_owned(),
        peer_urls: vec![format!("https://10.0.0.{number}:2380")],
        client_urls: Vec::new(),
        is_learner: learner,
    }
}

fn url(number: u64) -> Vec<String> {
    vec![format!("https://10.0.0.{number}:2380")]
}

fn asked(
    members: &[Member],
    name: &str,
    urls: &[String],
    learner: bool,
) -> Result<Option<MemberId>, Failure> {
    let new = NewMember {
        name: Some(name),
        peer_urls: urls,
        learner,
    };
    added_before(members, new).map(|there| there.map(|member| member.id))
}

#[test]
fn what_was_added_before_is_found_started_or_not() {
    let cp1 = || member(1, "cp-1", false);
    assert_eq!(asked(&[cp1()], "cp-2", &url(2), true), Ok(None));
    let unstarted = vec![cp1(), member(2, "", true)];
    assert_eq!(
        asked(&unstarted, "cp-2", &url(2), true),
        Ok(Some(MemberId(2)))
    );
    let started = vec![cp1(), member(2, "cp-2", true)];
    assert_eq!(
        asked(&started, "cp-2", &url(2), true),
        Ok(Some(MemberId(2)))
    );
}

#[test]
fn what_is_somebody_elses_is_refused_with_what_would_help() {
    let there = vec![member(1, "cp-1", false), member(2, "cp-2", false)];
    let two = [url(2), url(3)].concat();
    for (name, urls, learner, says) in [
        ("cp-2", url(3), true, "a member named cp-2"),
        ("cp-3", url(2), true, "the address of cp-2"),
        ("cp-2", url(2), true, "a voting member was added"),
        ("cp-3", two, true, "one of these addresses"),
    ] {
        let failure = asked(&there, name, &urls, learner).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
        assert!(failure.message.contains(says), "{failure}");
        assert!(failure.hint.is_some(), "{failure}");
    }
    let learner = vec![member(1, "cp-1", false), member(2, "", true)];
    let failure = asked(&learner, "cp-2", &url(2), false).unwrap_err();
    assert!(failure.message.contains("a learner was added"), "{failure}");
}

#[test]
fn peer_urls_are_told_from_other_texts() {
    assert_eq!(
        parsed(&["HTTPS://10.0.0.4:2380".to_owned()]).unwrap(),
        ["https://10.0.0.4:2380"]
    );
    for bad in [
        "10.0.0.4:2380",
        "https://10.0.0.4",
        "https://10.0.0.4:2380/",
    ] {
        let failure = parsed(&[bad.to_owned()]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{bad}");
    }
    assert!(parsed(&[]).is_err());
}

#[test]
fn how_far_a_learner_is_is_said_in_words() {
    let mut how_far = CatchingUp {
        started: false,
        behind: None,
        db_bytes: None,
        of_bytes: 1,
    };
    assert_eq!(how_far.words(), "has never started");
    how_far.started = true;
    assert_eq!(how_far.words(), "does not answer");
    how_far.behind = Some(7);
    assert_eq!(how_far.words(), "is 7 log entries behind");
}

proptest! {
    /// Whatever the list is: who is found has just these addresses and this vote, and no other name.
    #[test]
    fn a_member_that_is_found_is_the_one_that_was_meant(
        listed in proptest::collection::vec((1u64..6, "(cp-[1-3])?", any::<bool>()), 0..5),
        number in 1u64..6, name in "cp-[1-3]", learner: bool,
    ) {
        let members: Vec<Member> =
            listed.into_iter().map(|(number, name, learner)| member(number, &name, learner)).collect();
        let found = asked(&members, &name, &url(number), learner);
        if let Ok(Some(id)) = &found {
            let found = members.iter().find(|member| member.id == *id && member.peer_urls == url(number)).unwrap();
            prop_assert!(found.name.is_empty() || found.name == name);
        }
        if let Ok(None) = found {
            prop_assert!(members.iter().all(|member| member.peer_urls != url(number) && member.name != name));
        }
    }
}
