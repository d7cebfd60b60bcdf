//! Names to addresses and back, within a deadline, with the resolver's own errors.

use std::ffi::{CStr, CString};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use nix::errno::Errno;

use crate::addr::Host;
pub use crate::deadline::OnTimeout;
use crate::deadline::until_deadline;
use crate::error::Error;
pub use crate::gai_error::Reason;
use crate::sys;
use crate::text::escape;
use crate::time::Timeout;

/// Which addresses are wanted: `-4`, `-6`, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4 and IPv6, in the resolver's order (RFC 6724).
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl AddressFamily {
    /// The family that the two switches `-4` and `-6` ask for.
    ///
    /// # Errors
    /// Both at once.
    pub fn from_switches(ipv4: bool, ipv6: bool) -> Result<AddressFamily, Error> {
        match (ipv4, ipv6) {
            (true, true) => {
                Err(Error::Usage("-4 and -6: one of them, or neither for both".to_owned()))
            }
            (true, false) => Ok(AddressFamily::V4),
            (false, true) => Ok(AddressFamily::V6),
            (false, false) => Ok(AddressFamily::Any),
        }
    }

    fn takes(self, address: SocketAddr) -> bool {
        match self {
            AddressFamily::Any => true,
            AddressFamily::V4 => address.is_ipv4(),
            AddressFamily::V6 => address.is_ipv6(),
        }
    }
}

/// What a host name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its addresses, in the resolver's order and without duplicates.
    pub addresses: Vec<SocketAddr>,
    /// The name that other names of it are aliases of, escaped; `None` for a literal.
    pub canonical: Option<String>,
}

/// Every address of a host, in the resolver's order and without duplicates; a literal never
/// reaches the resolver. After a timeout the program has to
/// end soon ([`OnTimeout::AbandonThread`]).
///
/// # Errors
/// [`Error::Resolve`] with the EAI code; [`Error::Timeout`]; [`Error::Usage`] for a literal of the
/// other family.
pub fn addresses(
    host: &Host,
    port: u16,
    family: AddressFamily,
    timeout: Timeout,
) -> Result<Vec<SocketAddr>, Error> {
    let on_timeout = OnTimeout::AbandonThread;
    ask(host, port, family, 0, timeout, Instant::now(), on_timeout).map(|found| found.addresses)
}

/// getaddrinfo(3) with a deadline: the addresses and the canonical name, without the addresses of a
/// family of which this machine has no address but loopback, unless that family is asked for
/// (AI_ADDRCONFIG): what it could connect to, and what `getent ahosts` prints. The timeout is that of a
/// request which has `begun` with this or with an earlier question.
///
/// # Errors
/// As [`addresses`].
pub fn getaddrinfo(
    host: &Host,
    port: u16,
    family: AddressFamily,
    timeout: Timeout,
    begun: Instant,
    on_timeout: OnTimeout,
) -> Result<Found, Error> {
    let reachable = if family == AddressFamily::Any { libc::AI_ADDRCONFIG } else { 0 };
    ask(host, port, family, libc::AI_CANONNAME | reachable, timeout, begun, on_timeout)
}

/// getnameinfo(3) with a deadline, as [`getaddrinfo`]: the name of an address, escaped; `None` where it has
/// none.
///
/// # Errors
/// As [`addresses`].
pub fn getnameinfo(ip: IpAddr, timeout: Timeout, begun: Instant) -> Result<Option<String>, Error> {
    let question = move || match sys::getnameinfo(ip) {
        Ok(name) => name.into_bytes(),
        Err((code, source)) => failure(code, source),
    };
    let answer = until_deadline(timeout, begun, OnTimeout::KillChild, &ip.to_string(), question)?;
    match refusal(&answer) {
        None => Ok(Some(escape(&answer))),
        Some(Reason { code: libc::EAI_NONAME, .. }) => Ok(None),
        Some(reason) => Err(Error::Resolve { name: ip.to_string(), reason }),
    }
}

/// The address that a server listens on: the host's first.
///
/// # Errors
/// As [`addresses`].
pub fn first_address(host: &Host, port: u16) -> Result<SocketAddr, Error> {
    let found = addresses(host, port, AddressFamily::Any, Timeout::seconds(5))?;
    let reason = Reason { code: libc::EAI_NODATA, source: Errno::EINVAL };
    found.first().copied().ok_or_else(|| Error::Resolve { name: host.to_string(), reason })
}

fn ask(
    host: &Host,
    port: u16,
    family: AddressFamily,
    flags: i32,
    timeout: Timeout,
    begun: Instant,
    on_timeout: OnTimeout,
) -> Result<Found, Error> {
    let name = match host {
        Host::Name(name) => name,
        Host::Literal { ip, .. } => {
            let address = host.literal(port).map_err(Error::Usage)?.into_iter();
            let addresses: Vec<_> = address.filter(|address| family.takes(*address)).collect();
            return match addresses.is_empty() {
                true => Err(Error::Usage(format!("{ip} is not of the family that was asked for"))),
                false => Ok(Found { addresses, canonical: None }),
            };
        }
    };
    let wanted = match family {
        AddressFamily::Any => libc::AF_UNSPEC,
        AddressFamily::V4 => libc::AF_INET,
        AddressFamily::V6 => libc::AF_INET6,
    };
    let asked = CString::new(name.as_str());
    let question = move || match asked {
        Ok(c_name) => match sys::getaddrinfo(&c_name, wanted, port, flags) {
            Ok((addresses, canonical)) => written(&addresses, canonical.as_deref()),
            Err((code, source)) => failure(code, source),
        },
        // Host::from_str lets no NUL through; a name made otherwise could not exist anyway.
        Err(_) => failure(libc::EAI_NONAME, Errno::EINVAL),
    };
    let answer = until_deadline(timeout, begun, on_timeout, name, question)?;
    match refusal(&answer) {
        None => Ok(found(&answer)),
        Some(reason) => Err(Error::Resolve { name: name.clone(), reason }),
    }
}

/// A failure as the child writes it; no name of a host and no address begins so.
fn failure(code: i32, source: Errno) -> Vec<u8> {
    format!("!{code} {}", source as i32).into_bytes()
}

fn refusal(answer: &[u8]) -> Option<Reason> {
    let text = std::str::from_utf8(answer.strip_prefix(b"!")?).ok()?;
    let (code, source) = text.split_once(' ')?;
    Some(Reason { code: code.parse().ok()?, source: Errno::from_raw(source.parse().ok()?) })
}

/// Addresses as the child writes them: a line each, after that of the canonical name.
fn written(addresses: &[SocketAddr], canonical: Option<&CStr>) -> Vec<u8> {
    let mut answer = canonical.map(|name| escape(name.to_bytes())).unwrap_or_default();
    for address in addresses {
        answer += &format!("\n{address}");
    }
    answer.into_bytes()
}

fn found(answer: &[u8]) -> Found {
    let text = String::from_utf8_lossy(answer);
    let mut lines = text.lines();
    let canonical = lines.next().filter(|name| !name.is_empty()).map(str::to_owned);
    let mut addresses = Vec::new();
    for address in lines.filter_map(|line| line.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Found { addresses, canonical }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
