//! Cables pulled, and pairs of nodes that do not reach each other.

use anyhow::Result;

use crate::Node;
use crate::network::{set_cable, set_unreachable};

impl Node {
    /// Pulls its cable: it reaches nobody and nobody reaches it. Connections are not told.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn unplug(&self) -> Result<()> {
        set_cable(self.switch(), self.name(), false)
    }

    /// Puts its cable back.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn plug_in(&self) -> Result<()> {
        set_cable(self.switch(), self.name(), true)
    }

    /// Makes two nodes unreachable for each other, silently; others still reach both.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn cut_from(&self, other: &Self) -> Result<()> {
        set_unreachable(&self.network(), other.ip(), true)?;
        set_unreachable(&other.network(), self.ip(), true)
    }

    /// Ends what [`Node::cut_from`] did.
    ///
    /// # Errors
    /// When the two were not cut from each other.
    pub fn mend_to(&self, other: &Self) -> Result<()> {
        set_unreachable(&self.network(), other.ip(), false)?;
        set_unreachable(&other.network(), self.ip(), false)
    }
}
