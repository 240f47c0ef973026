//! The few rules of the protobuf wire format that raft's and the WAL's messages need, read from hostile bytes.

use thiserror::Error;

/// Why bytes are not the protobuf message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes end inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes, or one that does not fit 64 bits.
    #[error("a varint is longer than 64 bits")]
    VarintTooLong,
    /// A field has another wire type than its message says.
    #[error("field {field} has wire type {found}")]
    WireType {
        /// Number of the field.
        field: u64,
        /// Wire type found.
        found: u8,
    },
    /// Field number 0, or a wire type nobody uses.
    #[error("not a protobuf tag")]
    BadTag,
    /// A length or number that its field cannot have.
    #[error("field {field} is out of range")]
    OutOfRange {
        /// Number of the field.
        field: u64,
    },
    /// Text that is not text (JSON or UTF-8) in a field that must be.
    #[error("field {field} is not readable text")]
    NotText {
        /// Number of the field.
        field: u64,
    },
}

/// Reads a message field by field; those that are not named are skipped, as etcd skips them.
macro_rules! each_field {
    ($message:expr, $field:ident, { $($number:literal => $read:expr,)* }) => {
        for $field in $crate::raft::wire::Fields::new($message) {
            let $field = $field?;
            match $field.number {
                $($number => $read,)*
                _ => {}
            }
        }
    };
}

/// The numbers that a format has for what an enum names; it calls all others `Unknown`.
macro_rules! numbered {
    ($kind:ident { $($number:literal => $name:ident,)* }) => {
        impl $kind {
            pub(crate) fn from_number(number: u64) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }

            pub(crate) fn number(self) -> u64 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(other) => other,
                }
            }
        }
    };
}

pub(crate) use {each_field, numbered};

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bit numbers: no message here has them, they are skipped.
    Fixed,
}

/// A field number with its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
}

impl<'a> Field<'a> {
    pub(crate) fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(v) => Ok(v),
            Value::Bytes(_) => Err(self.other(2)),
            Value::Fixed => Err(self.other(1)),
        }
    }

    pub(crate) fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(b) => Ok(b),
            Value::Varint(_) => Err(self.other(0)),
            Value::Fixed => Err(self.other(1)),
        }
    }

    fn other(&self, found: u8) -> WireError {
        let field = self.number;
        WireError::WireType { field, found }
    }
}

/// The fields of a message, in the order they lie in.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn next_varint(&mut self) -> Result<u64, WireError> {
        let (value, used) = varint(self.rest)?;
        self.rest = &self.rest[used..];
        Ok(value)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(len).map_err(|_| WireError::Truncated)?;
        if len > self.rest.len() {
            return Err(WireError::Truncated);
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<Field<'a>, WireError> {
        let tag = self.next_varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError::BadTag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.next_varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            2 => {
                let len = self.next_varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            // 3 and 4 are groups: etcd's generated readers skip them, no writer of etcd's makes them.
            _ => return Err(WireError::BadTag),
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The varint at the start of `bytes` and how many bytes it takes.
pub(crate) fn varint(bytes: &[u8]) -> Result<(u64, usize), WireError> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        if i == 9 && part > 1 {
            return Err(WireError::VarintTooLong);
        }
        value |= part << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((value, i + 1));
        }
    }
    if bytes.len() < 10 {
        Err(WireError::Truncated)
    } else {
        Err(WireError::VarintTooLong)
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends field `number` as a varint, also when it is zero: gogo-proto, which etcd to 3.6 is built with, writes the
/// zeros of its non-nullable fields, and restored files are to be equal to the byte.
pub(crate) fn put_uint(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

/// Appends field `number` as bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(varint(&out), Ok((value, out.len())));
                assert!(varint(&out[..out.len() - 1]).is_err());
            }
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        assert_eq!(varint(&[0xff; 11]), Err(WireError::VarintTooLong));
        let mut two = [0x80u8; 10];
        two[9] = 2;
        assert_eq!(varint(&two), Err(WireError::VarintTooLong));
    }

    #[test]
    fn a_length_beyond_the_message_is_refused() {
        let fields: Vec<_> = Fields::new(&[0x0a, 0x7f, 1, 2]).collect();
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[0].as_ref().err(), Some(&WireError::Truncated));
    }
}
