//! Names to addresses, with the resolver's own errors.

use std::ffi::CString;
use std::fmt;
use std::net::SocketAddr;

use nix::errno::Errno;

use crate::addr::Host;
use crate::error::{Error, errno};
use crate::sys;

/// Which addresses are wanted: `-4`, `-6`, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6, in the resolver's order (RFC 6724).
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// The family that the two switches `-4` and `-6` ask for.
    ///
    /// # Errors
    /// Both at once.
    pub fn from_switches(ipv4: bool, ipv6: bool) -> Result<Family, Error> {
        match (ipv4, ipv6) {
            (true, true) => {
                Err(Error::Usage("-4 and -6: one of them, or neither for both".to_owned()))
            }
            (true, false) => Ok(Family::V4),
            (false, true) => Ok(Family::V6),
            (false, false) => Ok(Family::Any),
        }
    }

    fn takes(self, address: SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

/// Why the resolver has no address (the EAI codes of getaddrinfo(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    code: i32,
    source: Errno,
}

impl Reason {
    /// 68 for a name that does not exist, 75 where asking again may help, else 71.
    pub(crate) fn exit_code(self) -> u8 {
        match self.code {
            libc::EAI_NONAME | libc::EAI_NODATA => 68,
            libc::EAI_AGAIN => 75,
            _ => 71,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (symbol, meaning) = match self.code {
            libc::EAI_NONAME => ("EAI_NONAME", "no such host"),
            libc::EAI_NODATA => ("EAI_NODATA", "the host has no address of that kind"),
            libc::EAI_AGAIN => ("EAI_AGAIN", "the name server did not answer, try again later"),
            libc::EAI_FAIL => ("EAI_FAIL", "the name server refused to answer"),
            libc::EAI_MEMORY => ("EAI_MEMORY", "out of memory"),
            libc::EAI_SYSTEM => return write!(f, "{} (EAI_SYSTEM)", errno(self.source)),
            code => return write!(f, "getaddrinfo answered {code}"),
        };
        write!(f, "{meaning} ({symbol})")
    }
}

/// Every address of a host, in the resolver's order and without duplicates; a literal never
/// reaches the resolver.
///
/// # Errors
/// [`Error::Resolve`] with the EAI code; [`Error::Usage`] for a literal of the other family.
pub fn addresses(host: &Host, port: u16, family: Family) -> Result<Vec<SocketAddr>, Error> {
    let name = match host {
        Host::Name(name) => name,
        Host::Literal { ip, .. } => {
            let address = host.literal(port).map_err(Error::Usage)?.into_iter();
            let wanted: Vec<_> = address.filter(|address| family.takes(*address)).collect();
            return match wanted.is_empty() {
                true => Err(Error::Usage(format!("{ip} is not of the family that was asked for"))),
                false => Ok(wanted),
            };
        }
    };
    let failed =
        |code, source| Error::Resolve { name: name.clone(), reason: Reason { code, source } };
    let wanted = match family {
        Family::Any => libc::AF_UNSPEC,
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    // Host::from_str lets no NUL through; a name made otherwise could not exist anyway.
    let c_name =
        CString::new(name.as_str()).map_err(|_| failed(libc::EAI_NONAME, Errno::EINVAL))?;
    let found =
        sys::getaddrinfo(&c_name, wanted, port).map_err(|(code, source)| failed(code, source))?;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// The address that a server listens on: the host's first.
///
/// # Errors
/// As [`addresses`].
pub fn first_address(host: &Host, port: u16) -> Result<SocketAddr, Error> {
    let first = addresses(host, port, Family::Any)?.into_iter().next();
    first.ok_or_else(|| Error::Resolve {
        name: host.to_string(),
        reason: Reason { code: libc::EAI_NODATA, source: Errno::EINVAL },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_taken_as_it_is() {
        let host = "192.0.2.7".parse().unwrap();
        assert_eq!(addresses(&host, 7, Family::Any).unwrap(), ["192.0.2.7:7".parse().unwrap()]);
        assert!(matches!(addresses(&host, 7, Family::V6), Err(Error::Usage(_))));
    }

    #[test]
    fn localhost_is_a_loopback_address_once() {
        let found = addresses(&"localhost".parse().unwrap(), 7, Family::Any).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        for (at, address) in found.iter().enumerate() {
            assert!(!found[at + 1..].contains(address), "{address} twice");
        }
    }

    #[test]
    fn each_eai_code_has_its_exit_code() {
        let code = |code| Reason { code, source: Errno::EIO }.exit_code();
        assert_eq!(code(libc::EAI_NONAME), 68);
        assert_eq!(code(libc::EAI_AGAIN), 75);
        assert_eq!(code(libc::EAI_FAIL), 71);
        assert_eq!(code(libc::EAI_SYSTEM), 71);
    }
}
