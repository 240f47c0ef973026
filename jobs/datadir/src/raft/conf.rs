//! Raft's configuration: who votes, who learns, and how that changes.

use super::wire::{Field, Value, WireError, each_field, numbered, put_bytes, put_uint, varint};

/// Most members a configuration may list here. etcd warns above seven; a file that claims more than this is damaged.
const MAX_MEMBERS: usize = 10_000;

/// Who takes part in raft (`raftpb.ConfState`), by member id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfState {
    /// Members that vote.
    pub voters: Vec<u64>,
    /// Members that only receive.
    pub learners: Vec<u64>,
    /// Voters of the configuration being left, while a joint change is under way. etcd makes none.
    pub voters_outgoing: Vec<u64>,
    /// Learners once the joint change is done.
    pub learners_next: Vec<u64>,
    /// Whether a joint change ends by itself.
    pub auto_leave: bool,
}

impl ConfState {
    /// Reads `raftpb.ConfState`: 1 voters, 2 learners, 3 voters outgoing, 4 learners next, 5 auto leave; lists packed
    /// or not.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message, or list more members than any cluster has.
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut state = Self::default();
        each_field!(message, field, {
            1 => push_ids(&mut state.voters, &field)?,
            2 => push_ids(&mut state.learners, &field)?,
            3 => push_ids(&mut state.voters_outgoing, &field)?,
            4 => push_ids(&mut state.learners_next, &field)?,
            5 => state.auto_leave = field.varint()? != 0,
        });
        Ok(state)
    }

    /// The message as etcd 3.5 and 3.6 write it: lists unpacked, `auto_leave` always there.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let lists = [
            &self.voters,
            &self.learners,
            &self.voters_outgoing,
            &self.learners_next,
        ];
        for (number, list) in (1..).zip(lists) {
            for &id in list {
                put_uint(&mut out, number, id);
            }
        }
        put_uint(&mut out, 5, u64::from(self.auto_leave));
        out
    }
}

fn push_ids(list: &mut Vec<u64>, field: &Field<'_>) -> Result<(), WireError> {
    let full = WireError::OutOfRange {
        field: field.number,
    };
    match field.value {
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                let (id, used) = varint(packed)?;
                packed = &packed[used..];
                if list.len() >= MAX_MEMBERS {
                    return Err(full);
                }
                list.push(id);
            }
        }
        _ => {
            if list.len() >= MAX_MEMBERS {
                return Err(full);
            }
            list.push(field.varint()?);
        }
    }
    Ok(())
}

/// What is done to a member (`raftpb.ConfChangeType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfChangeKind {
    /// Added as a voter; also the promotion of a learner.
    AddVoter,
    /// Removed.
    Remove,
    /// New peer URLs; raft itself is not concerned.
    Update,
    /// Added as a learner.
    AddLearner,
    /// A number no released raft knows.
    Unknown(u64),
}

numbered!(ConfChangeKind {
    0 => AddVoter,
    1 => Remove,
    2 => Update,
    3 => AddLearner,
});

/// One change of the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfChange {
    /// What is done.
    pub kind: ConfChangeKind,
    /// To whom.
    pub member_id: u64,
    /// etcd's JSON of the member, with its peer URLs; empty for a removal. A promotion has `"isPromote":true` in it.
    pub context: Vec<u8>,
}

impl ConfChange {
    /// Reads `raftpb.ConfChange`: 1 request id, 2 type, 3 member id, 4 context.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message.
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut change = Self {
            kind: ConfChangeKind::AddVoter,
            member_id: 0,
            context: Vec::new(),
        };
        each_field!(message, field, {
            2 => change.kind = ConfChangeKind::from_number(field.varint()?),
            3 => change.member_id = field.varint()?,
            4 => change.context = field.bytes()?.to_vec(),
        });
        Ok(change)
    }

    /// The message as etcd 3.4 to 3.6 write it at a cluster's beginning: request id 0.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.context.len() + 32);
        put_uint(&mut out, 1, 0);
        put_uint(&mut out, 2, self.kind.number());
        put_uint(&mut out, 3, self.member_id);
        if !self.context.is_empty() {
            put_bytes(&mut out, 4, &self.context);
        }
        out
    }
}

/// Several changes in one entry (`raftpb.ConfChangeV2`). No etcd to 3.7 writes them; the log format has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfChanges {
    /// The changes, in order.
    pub changes: Vec<ConfChange>,
    /// What the requester attached.
    pub context: Vec<u8>,
}

impl ConfChanges {
    /// Reads `raftpb.ConfChangeV2`: 1 transition, 2 changes {1 type, 2 member id}, 3 context.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message, or hold more changes than any cluster has members.
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut all = Self::default();
        each_field!(message, field, {
            2 => {
                if all.changes.len() >= MAX_MEMBERS {
                    return Err(WireError::OutOfRange { field: 2 });
                }
                all.changes.push(single(field.bytes()?)?);
            },
            3 => all.context = field.bytes()?.to_vec(),
        });
        Ok(all)
    }
}

fn single(message: &[u8]) -> Result<ConfChange, WireError> {
    let mut change = ConfChange {
        kind: ConfChangeKind::AddVoter,
        member_id: 0,
        context: Vec::new(),
    };
    each_field!(message, field, {
        1 => change.kind = ConfChangeKind::from_number(field.varint()?),
        2 => change.member_id = field.varint()?,
    });
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_unpacked_lists_are_the_same() {
        let unpacked = ConfState {
            voters: vec![1, 300],
            ..ConfState::default()
        };
        assert_eq!(ConfState::decode(&unpacked.encode()), Ok(unpacked.clone()));
        assert_eq!(ConfState::decode(&[0x0a, 3, 1, 0xac, 0x02]), Ok(unpacked));
    }

    #[test]
    fn a_change_comes_back() {
        let change = ConfChange {
            kind: ConfChangeKind::AddLearner,
            member_id: u64::MAX,
            context: b"{}".to_vec(),
        };
        assert_eq!(ConfChange::decode(&change.encode()), Ok(change));
    }

    #[test]
    fn several_changes_are_read() {
        // {changes: [{type: Remove, node: 5}, {node: 6}], context: "x"}
        let bytes = [0x12, 4, 0x08, 1, 0x10, 5, 0x12, 2, 0x10, 6, 0x1a, 1, b'x'];
        let all = ConfChanges::decode(&bytes).unwrap();
        assert_eq!(all.changes.len(), 2);
        assert_eq!(
            (all.changes[0].kind, all.changes[0].member_id),
            (ConfChangeKind::Remove, 5)
        );
        assert_eq!(all.changes[1].member_id, 6);
        assert_eq!(all.context, b"x");
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let packed = vec![1u8; MAX_MEMBERS + 1];
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &packed);
        assert_eq!(
            ConfState::decode(&message),
            Err(WireError::OutOfRange { field: 1 })
        );
    }
}
