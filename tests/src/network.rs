//! The network of one cluster: a switch in a namespace of its own, one cable to each node, one to this machine.
//!
//! Of all this the machine's own namespace holds a single link, named after the slot. The switch has a namespace
//! of its own so that no packet filter of the machine (Docker's, say) comes between the nodes.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::process::{output, run};

/// Which of the possible clusters of this machine one is: it gives the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(u8);

impl Slot {
    /// Slots of clusters that people made.
    pub const PEOPLE: std::ops::RangeInclusive<u8> = 1..=99;
    /// Slots of clusters that tests made, and that are removed when the test is gone.
    pub const TESTS: std::ops::RangeInclusive<u8> = 100..=199;

    /// The slot with this number.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// This machine's own address in the cluster's network, a /24.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 89, self.0, 1)
    }

    /// The address of control-plane node number `index` (1 is m1).
    #[must_use]
    pub fn master(self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 89, self.0, 10 + index)
    }

    /// The name of the one link in the machine's own namespace.
    #[must_use]
    pub fn link(self) -> String {
        format!("etcdbed{}", self.0)
    }

    /// Whether something else on this machine already uses the slot's network or link.
    ///
    /// # Errors
    /// When `ip` cannot be run.
    pub fn in_use(self) -> Result<bool> {
        let subnet = format!("10.89.{}.0/24", self.0);
        Ok(Path::new("/sys/class/net").join(self.link()).exists()
            || !run("ip", ["route", "show", &subnet])?.trim().is_empty())
    }
}

/// Makes the switch of a cluster and the link to this machine.
///
/// # Errors
/// When `ip` fails: not root, or the names are taken.
pub fn create_switch(namespace: &str, slot: Slot) -> Result<()> {
    let link = slot.link();
    ip(&["netns", "add", namespace])?;
    ip(&["-n", namespace, "link", "add", "switch", "type", "bridge"])?;
    ip(&["-n", namespace, "link", "set", "switch", "up"])?;
    ip(&[
        "link", "add", &link, "type", "veth", "peer", "name", "uplink", "netns", namespace,
    ])?;
    ip(&[
        "-n", namespace, "link", "set", "uplink", "master", "switch", "up",
    ])?;
    ip(&[
        "addr",
        "add",
        &format!("{}/24", slot.gateway()),
        "dev",
        &link,
    ])?;
    ip(&["link", "set", &link, "up"])
}

/// Makes the namespace of a node, with a cable (`eth0` at the node, the node's name at the switch).
///
/// # Errors
/// When `ip` fails.
pub fn plug_in(
    switch: &str,
    namespace: &str,
    node: &str,
    slot: Slot,
    address: Ipv4Addr,
) -> Result<()> {
    ip(&["netns", "add", namespace])?;
    ip(&[
        "-n", switch, "link", "add", node, "type", "veth", "peer", "name", "eth0", "netns",
        namespace,
    ])?;
    ip(&["-n", switch, "link", "set", node, "master", "switch", "up"])?;
    ip(&[
        "-n",
        namespace,
        "addr",
        "add",
        &format!("{address}/24"),
        "dev",
        "eth0",
    ])?;
    ip(&["-n", namespace, "link", "set", "eth0", "up"])?;
    ip(&["-n", namespace, "link", "set", "lo", "up"])?;
    ip(&[
        "-n",
        namespace,
        "route",
        "add",
        "default",
        "via",
        &slot.gateway().to_string(),
    ])
}

/// Pulls the cable of a node out of the switch, or puts it back.
///
/// # Errors
/// When `ip` fails.
pub fn set_cable(switch: &str, node: &str, plugged: bool) -> Result<()> {
    ip(&[
        "-n",
        switch,
        "link",
        "set",
        node,
        if plugged { "up" } else { "down" },
    ])
}

/// Makes everything a node sends to one address vanish without an error, or ends that.
///
/// A neighbour entry with a hardware address nobody has: packets leave and reach no one. It needs no packet filter
/// in the kernel, and connections that exist are cut as well.
///
/// # Errors
/// When `ip` fails.
pub fn set_unreachable(namespace: &str, address: Ipv4Addr, unreachable: bool) -> Result<()> {
    let address = address.to_string();
    if unreachable {
        return ip(&[
            "-n",
            namespace,
            "neigh",
            "replace",
            &address,
            "lladdr",
            "02:00:00:00:00:99",
            "nud",
            "permanent",
            "dev",
            "eth0",
        ]);
    }
    ip(&["-n", namespace, "neigh", "del", &address, "dev", "eth0"])
}

/// Removes a namespace with all links in it; nothing is done when there is none.
///
/// # Errors
/// When `ip` fails.
pub fn remove_namespace(namespace: &str) -> Result<()> {
    if Path::new("/run/netns").join(namespace).exists() {
        ip(&["netns", "del", namespace])?;
    }
    Ok(())
}

/// Removes the link of a slot; nothing is done when there is none.
///
/// # Errors
/// When `ip` fails for another reason than that the link is gone.
pub fn remove_link(slot: Slot) -> Result<()> {
    let link = slot.link();
    let device = Path::new("/sys/class/net").join(&link);
    if !device.exists() {
        return Ok(());
    }
    // It goes by itself, a little later, when the namespace of its other end goes.
    let done = output(std::process::Command::new("ip").args(["link", "del", &link]))?;
    if !done.ok() && device.exists() {
        bail!("ip link del {link} failed: {done}");
    }
    Ok(())
}

fn ip(args: &[&str]) -> Result<()> {
    run("ip", args).map(drop)
}
