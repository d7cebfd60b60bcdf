//! The command line.

use std::net::{Ipv6Addr, SocketAddr};

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::time::Timeout;

/// Show the name of this machine, what the name resolves to, and its addresses.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name}")]
#[argh(example = "{command_name} --route-to 127.0.0.1")]
pub(crate) struct Args {
    /// only the address from which the kernel would send to this host (of a name: its first address)
    #[argh(option, arg_name = "host")]
    pub(crate) route_to: Option<Host>,
    /// only the address of the default route: of IPv4, otherwise of IPv6
    #[argh(switch)]
    pub(crate) primary: bool,
    /// a name that does not resolve is an error
    #[argh(switch)]
    pub(crate) strict: bool,
    /// longest wait for all answers about a host (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

/// The address of the peer of `--route-to`, `None` for a name.
pub(crate) fn literal(peer: &Host, port: u16) -> Result<Option<SocketAddr>, Error> {
    let usage = |why: &str| Error::Usage(format!("--route-to {why}"));
    let address = peer.literal(port).map_err(|why| usage(&why))?;
    match address {
        // The kernel would fail with EINVAL.
        Some(SocketAddr::V6(v6)) if is_of_a_link(*v6.ip()) && v6.scope_id() == 0 => Err(usage(
            &format!("{peer}: a link-local address needs its interface: write {peer}%eth0"),
        )),
        address => Ok(address),
    }
}

/// Whether it is link-local, unicast or multicast: on each link another host has it (RFC 4007 §4).
fn is_of_a_link(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || matches!(ip.octets(), [0xff, scope, ..] if scope & 0xf == 2)
}
