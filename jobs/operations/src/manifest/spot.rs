//! Which word of a command line is meant, and what is written in its place.

use std::fmt;
use std::ops::Range;

use granit_parser::StructureStyle;

use super::Component;
use super::tree::Node;

/// One of the two lists of which a command line is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Command,
    Args,
}

/// A word of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) list: List,
    pub(super) index: usize,
}

/// Bytes that are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// The words of a list, of which none but the wanted one need be of a kind that can be changed.
pub(super) struct Items<'m> {
    pub(super) text: &'m str,
    pub(super) nodes: &'m [Node],
    pub(super) style: StructureStyle,
}

impl List {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Args => "args",
        }
    }

    pub(super) fn words(self, component: &Component) -> &[String] {
        match self {
            Self::Command => component.command(),
            Self::Args => component.args(),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl Spot {
    /// The word at a place of the whole line.
    pub(super) fn of(component: &Component, at: usize) -> Self {
        match at.checked_sub(component.command().len()) {
            None => Self {
                list: List::Command,
                index: at,
            },
            Some(index) => Self {
                list: List::Args,
                index,
            },
        }
    }
}

impl fmt::Display for Spot {
    /// As people count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "word {} of `{}`", self.index + 1, self.list)
    }
}
