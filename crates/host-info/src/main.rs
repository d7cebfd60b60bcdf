//! Show the name of this machine, what the name resolves to, and its addresses.
//!
//! # What it shows
//! Three things that are often confused. A machine has a name, which any administrator may set. That
//! name may resolve to addresses, as any name may, often to a loopback address. The interfaces have
//! addresses, of both families, each with a prefix. None of them is "the" address: which one a peer
//! sees depends on the route to that peer. To find it out, connect a UDP socket to the peer and ask
//! for its local address: the kernel chooses a route, and sends nothing.
//!
//! # System calls
//! `socket` → `connect` → `getsockname`; gethostname(2), getifaddrs(3) and getaddrinfo(3) are functions
//! of the C library: uname(2), a netlink socket, and what the resolver does.
//!
//! # Try it
//! ```console
//! $ host-info --route-to 127.0.0.1
//! 127.0.0.1
//! $ host-info --route-to 127.0.0.53
//! 127.0.0.1
//! ```
//!
//! # What can go wrong
//! - The Python original asks `gethostbyname(gethostname())`: on many systems 127.0.0.1 or 127.0.1.1,
//!   from a line that the installer wrote into /etc/hosts, and an error if there is no such line.
//! - `ENETUNREACH` from connect: there is no route to that peer, so no address either. `EACCES`: the
//!   peer is a broadcast address, for which a socket needs SO_BROADCAST, or the route prohibits it.
//! - `--primary` looks up the route to 192.0.2.1, an address for documentation. In a lab that uses
//!   these addresses, that is the route into the lab.
//! - An interface may have many addresses, or none; a link-local IPv6 address means nothing without its
//!   zone.
//! - A host name is bytes, not text, and may be longer than a DNS label.
//! - `AI_ADDRCONFIG`: the addresses of a family are left out if this machine has none of that family
//!   but loopback.
//!
//! # Next
//! `remote-ip` asks for any name; `ipv4-convert` reads the addresses.
//!
//! # Source
//! gethostname(2), getifaddrs(3), udp(7), connect(2); RFC 1122 §3.3.4, RFC 6724; UNP §17.6 and §8.14,
//! TLPI §59; the Python cookbook's recipe 1.1.

mod args;
mod report;

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::unistd::gethostname;
use socket2::{Domain, Socket, Type};

use netcore::addr::Host;
use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::resolve::{AddressFamily, OnTimeout, addresses, getaddrinfo};
use netcore::text::{Json, escape};
use netcore::time::Timeout;
use netcore::{cli, recipe};

use args::{Args, literal};
use report::{Interface, Resolved, family_of, without_port};

/// Addresses for documentation (RFC 5737, RFC 3849): no network has them, so the route to them is
/// the default route.
const DOCUMENTATION: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The errors of connect without a route, with a `prohibit` or `blackhole` route, and without an
/// address of the family or the family itself.
const NO_ROUTE: [Errno; 6] = [
    Errno::ENETUNREACH,
    Errno::EHOSTUNREACH,
    Errno::EACCES,
    Errno::EINVAL,
    Errno::EADDRNOTAVAIL,
    Errno::EAFNOSUPPORT,
];

/// The port of a connect that sends nothing: discard, RFC 863.
const DISCARD: u16 = 9;

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 68 69 71 74 75 77), show)
}

fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    match (&args.route_to, args.primary) {
        (Some(_), true) => Err(Error::Usage("--route-to, --primary: one of them".to_owned())),
        (Some(peer), false) => show_source(route_to_host(peer, args.timeout)?, args, out),
        (None, true) => show_source(primary()?, args, out),
        (None, false) => show_all(args, out),
    }
}

/// The local address for a host. The resolver sorts the addresses of a name: those that this machine has
/// a route to come first (RFC 6724, rule 1).
fn route_to_host(host: &Host, timeout: Timeout) -> Result<SocketAddr, Error> {
    let found = match literal(host, DISCARD)? {
        Some(address) => vec![address],
        None => addresses(host, DISCARD, AddressFamily::Any, timeout)?,
    };
    let first = found.first().ok_or_else(|| Error::No(format!("{host}: no address")))?;
    route_to(*first)
}

/// The local address that the kernel chooses for a peer. To connect a UDP socket sets its peer and its
/// route: no packet is sent before the first `send`.
fn route_to(peer: SocketAddr) -> Result<SocketAddr, Error> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, None).attempt("socket")?;
    socket.connect(&peer.into()).attempt(format_args!("route to {}", without_port(peer)))?;
    let local = socket.local_addr().attempt("getsockname")?.as_socket();
    local.ok_or(Errno::EAFNOSUPPORT).attempt("getsockname")
}

/// The local address of the default route, of IPv4, otherwise of IPv6.
fn primary() -> Result<SocketAddr, Error> {
    let mut reasons = Vec::new();
    for peer in DOCUMENTATION {
        match route_to(SocketAddr::new(peer, DISCARD)) {
            // Another error, such as EMFILE, says nothing about routes.
            Err(Error::Os { source, .. }) if NO_ROUTE.contains(&source) => {
                reasons.push(format!("{} {source:?}", family_of(peer)));
            }
            known => return known,
        }
    }
    Err(Error::No(format!("there is no default route ({})", reasons.join(", "))))
}

fn show_source(source: SocketAddr, args: &Args, out: &mut Output) -> Result<(), Error> {
    let source = without_port(source);
    if args.json {
        return out.line(Json::new("source").text("address", &source));
    }
    out.line(source)
}

/// The three answers, each under its own heading.
fn show_all(args: &Args, out: &mut Output) -> Result<(), Error> {
    let name = gethostname().attempt("gethostname")?;
    let resolved = resolve(&name, args.timeout);
    let interfaces = Interface::collect(getifaddrs().attempt("getifaddrs")?);
    let name = escape(name.as_bytes());
    if args.json {
        out.line(Json::new("host").text("name", &name))?;
        out.line(resolved.json())?;
        interfaces.iter().try_for_each(|interface| out.bytes(interface.json().as_bytes()))?;
    } else {
        out.line(format_args!("host name\n  {name}\nthat name resolves to"))?;
        out.bytes(resolved.lines().as_bytes())?;
        out.line("interfaces")?;
        interfaces.iter().try_for_each(|interface| out.bytes(interface.lines().as_bytes()))?;
    }
    if args.strict { resolved.or_fail(&name) } else { Ok(()) }
}

/// What the name resolves to, as any other name does.
fn resolve(name: &OsStr, timeout: Timeout) -> Resolved {
    let text = name.to_str().ok_or_else(|| "not UTF-8".to_owned());
    let host: Host = match text.and_then(str::parse) {
        Ok(host) => host,
        Err(why) => return Resolved::NoHost(why),
    };
    let (family, begun) = (AddressFamily::Any, Instant::now());
    match getaddrinfo(&host, 0, family, timeout, begun, OnTimeout::AbandonThread) {
        Ok(found) => Resolved::Found(found),
        // The name is an address with a zone that this machine does not have.
        Err(Error::Usage(why)) => Resolved::NoHost(why),
        Err(error) => Resolved::Failed(error),
    }
}
