//! A cluster of etcd in memory that the servers of both backends stand on: it does what is asked, or fails as it is
//! told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use etcd_operations::ids::MemberId;
use etcd_operations::report::{Alarm, Member};

/// What a member is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Status,
    Read,
    Members,
    Alarms,
    Disarm,
    Compact,
    Defragment,
    Add,
    Remove,
    Promote,
    MoveLeader,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done, and etcd says why.
    Refused(&'static str),
    /// It is done, and the answer is lost on the way.
    AnswerLost,
    /// It is lost on the way and not done.
    CallLost,
    /// It is not done and never answered.
    Silence,
}

/// What a caller gets instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    Refused(String),
    Lost,
    Silence,
}

pub(crate) struct State {
    pub(crate) members: Vec<Member>,
    pub(crate) leader: Option<MemberId>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) db_bytes: u64,
    pub(crate) compacted: i64,
    faults: HashMap<Call, VecDeque<Fault>>,
    calls: Vec<Call>,
}

#[derive(Clone)]
pub(crate) struct MemoryCluster(Arc<Mutex<State>>);

pub(crate) fn peer_url(number: u64) -> String {
    format!("https://10.0.0.{number}:2380")
}

fn member(number: u64) -> Member {
    Member {
        id: MemberId(number),
        name: format!("cp-{number}"),
        peer_urls: vec![peer_url(number)],
        client_urls: vec![format!("http://10.0.0.{number}:2379")],
        is_learner: false,
    }
}

fn refused<T>(what: &str) -> Result<T, NoAnswer> {
    Err(NoAnswer::Refused(format!("etcdserver: {what}")))
}

impl MemoryCluster {
    /// Members 1 to this one, the first of them leading.
    pub(crate) fn new(count: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            members: (1..=count).map(member).collect(),
            leader: Some(MemberId(1)),
            alarms: Vec::new(),
            db_bytes: 40 << 20,
            compacted: 0,
            faults: HashMap::new(),
            calls: Vec::new(),
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The next calls of this kind fail so, one after another.
    pub(crate) fn fail<const N: usize>(&self, call: Call, faults: [Fault; N]) {
        self.state().faults.entry(call).or_default().extend(faults);
    }

    /// How often this was called.
    pub(crate) fn count(&self, call: Call) -> usize {
        let state = self.state();
        state.calls.iter().filter(|made| **made == call).count()
    }

    fn call<T>(
        &self,
        call: Call,
        work: impl FnOnce(&mut State) -> Result<T, NoAnswer>,
    ) -> Result<T, NoAnswer> {
        let mut state = self.state();
        state.calls.push(call);
        match state.faults.entry(call).or_default().pop_front() {
            None => work(&mut state),
            Some(Fault::Refused(what)) => Err(NoAnswer::Refused(what.to_owned())),
            Some(Fault::AnswerLost) => work(&mut state).and(Err(NoAnswer::Lost)),
            Some(Fault::CallLost) => Err(NoAnswer::Lost),
            Some(Fault::Silence) => Err(NoAnswer::Silence),
        }
    }

    /// A member starts: it tells the others its name and where clients reach it.
    pub(crate) fn start(&self, id: MemberId, client_url: &str) {
        let mut state = self.state();
        let member = state.members.iter_mut().find(|member| member.id == id);
        let member = member.unwrap();
        member.name = format!("cp-{}", id.0);
        member.client_urls = vec![client_url.to_owned()];
    }

    /// The member of this id, the leader, and the size of the database.
    pub(crate) fn status(&self, id: MemberId) -> Result<(Member, Option<MemberId>, u64), NoAnswer> {
        self.call(Call::Status, |state| {
            let member = state.members.iter().find(|member| member.id == id);
            Ok((member.unwrap().clone(), state.leader, state.db_bytes))
        })
    }

    pub(crate) fn read(&self) -> Result<(), NoAnswer> {
        self.call(Call::Read, with_leader(|_| Ok(())))
    }

    pub(crate) fn members(&self) -> Result<Vec<Member>, NoAnswer> {
        self.call(Call::Members, |state| Ok(state.members.clone()))
    }

    pub(crate) fn alarms(&self) -> Result<Vec<Alarm>, NoAnswer> {
        let listed = |state: &mut State| Ok(state.alarms.clone());
        self.call(Call::Alarms, with_leader(listed))
    }

    pub(crate) fn disarm(&self, meant: impl Fn(&Alarm) -> bool) -> Result<(), NoAnswer> {
        let disarm = |state: &mut State| {
            state.alarms.retain(|alarm| !meant(alarm));
            Ok(())
        };
        self.call(Call::Disarm, with_leader(disarm))
    }

    pub(crate) fn compact(&self, revision: i64) -> Result<(), NoAnswer> {
        let compact = |state: &mut State| {
            if revision <= state.compacted {
                return refused("mvcc: required revision has been compacted");
            }
            state.compacted = revision;
            Ok(())
        };
        self.call(Call::Compact, with_leader(compact))
    }

    pub(crate) fn defragment(&self) -> Result<(), NoAnswer> {
        self.call(Call::Defragment, |state| {
            state.db_bytes /= 2;
            Ok(())
        })
    }

    pub(crate) fn add(
        &self,
        peer_urls: Vec<String>,
        learner: bool,
    ) -> Result<Vec<Member>, NoAnswer> {
        let add = |state: &mut State| {
            let next = state.members.iter().map(|member| member.id.0).max();
            state.members.push(Member {
                id: MemberId(next.unwrap() + 1),
                name: String::new(),
                peer_urls,
                client_urls: Vec::new(),
                is_learner: learner,
            });
            Ok(state.members.clone())
        };
        self.call(Call::Add, with_leader(add))
    }

    pub(crate) fn remove(&self, id: MemberId) -> Result<Vec<Member>, NoAnswer> {
        let remove = |state: &mut State| {
            state.members.retain(|member| member.id != id);
            Ok(state.members.clone())
        };
        self.call(Call::Remove, with_leader(remove))
    }

    pub(crate) fn promote(&self, id: MemberId) -> Result<Vec<Member>, NoAnswer> {
        let promote = |state: &mut State| {
            let member = state.members.iter_mut().find(|member| member.id == id);
            member.unwrap().is_learner = false;
            Ok(state.members.clone())
        };
        self.call(Call::Promote, with_leader(promote))
    }

    pub(crate) fn move_leader(&self, from: MemberId, to: MemberId) -> Result<(), NoAnswer> {
        let hand_over = |state: &mut State| {
            if state.leader != Some(from) {
                return refused("not leader");
            }
            state.leader = Some(to);
            Ok(())
        };
        self.call(Call::MoveLeader, with_leader(hand_over))
    }
}

fn with_leader<T>(
    work: impl FnOnce(&mut State) -> Result<T, NoAnswer>,
) -> impl FnOnce(&mut State) -> Result<T, NoAnswer> {
    |state| match state.leader {
        Some(_) => work(state),
        None => refused("no leader"),
    }
}
