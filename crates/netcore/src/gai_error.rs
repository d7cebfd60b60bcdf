//! The errors of the resolver: codes of their own, not errno values.

use std::fmt;

use nix::errno::Errno;

use crate::errno::errno;

/// Why the resolver has no answer (the EAI codes of getaddrinfo(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    pub(crate) code: i32,
    /// errno, for EAI_SYSTEM.
    pub(crate) source: Errno,
}

/// Not in the libc crate: netdb.h has it for glibc.
const EAI_ADDRFAMILY: i32 = -9;

/// The EAI codes and what they mean to the one who asked.
const EAI: [(i32, &str, &str); 12] = [
    (libc::EAI_NONAME, "EAI_NONAME", "no such host"),
    (libc::EAI_NODATA, "EAI_NODATA", "the host has no address of that family"),
    (libc::EAI_AGAIN, "EAI_AGAIN", "no usable reply from a name server, try again later"),
    (libc::EAI_FAIL, "EAI_FAIL", "the name server failed, and will fail again"),
    (libc::EAI_MEMORY, "EAI_MEMORY", "out of memory"),
    (libc::EAI_SYSTEM, "EAI_SYSTEM", "a system call failed"),
    (libc::EAI_OVERFLOW, "EAI_OVERFLOW", "the name is too long"),
    (libc::EAI_FAMILY, "EAI_FAMILY", "the address family is not supported"),
    (libc::EAI_SOCKTYPE, "EAI_SOCKTYPE", "the socket type is not supported"),
    (libc::EAI_SERVICE, "EAI_SERVICE", "the service has no such socket type"),
    (libc::EAI_BADFLAGS, "EAI_BADFLAGS", "the flags are not valid"),
    (EAI_ADDRFAMILY, "EAI_ADDRFAMILY", "the host has no address of that family"),
];

impl Reason {
    /// For a name that cannot be one, and is not asked for.
    pub const NO_SUCH_HOST: Reason = Reason { code: libc::EAI_NONAME, source: Errno::ENOENT };

    /// 68 for a name that does not exist or has no such address, 75 where asking again may help,
    /// else 71.
    pub(crate) fn exit_code(self) -> u8 {
        match self.code {
            libc::EAI_NONAME | libc::EAI_NODATA | EAI_ADDRFAMILY => 68,
            libc::EAI_AGAIN => 75,
            _ => 71,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EAI.iter().find(|(code, ..)| *code == self.code) {
            Some((libc::EAI_SYSTEM, symbol, _)) => write!(f, "{} ({symbol})", errno(self.source)),
            Some((_, symbol, meaning)) => write!(f, "{meaning} ({symbol})"),
            None => write!(f, "the resolver answered {}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_eai_code_has_its_exit_code_and_its_symbol() {
        let reason = |code| Reason { code, source: Errno::EIO };
        for (code, exit_code, symbol) in [
            (libc::EAI_NONAME, 68, "EAI_NONAME"),
            (libc::EAI_AGAIN, 75, "EAI_AGAIN"),
            (libc::EAI_FAIL, 71, "EAI_FAIL"),
            (libc::EAI_NODATA, 68, "EAI_NODATA"),
            (EAI_ADDRFAMILY, 68, "EAI_ADDRFAMILY"),
            (libc::EAI_SYSTEM, 71, "EAI_SYSTEM"),
        ] {
            assert_eq!(reason(code).exit_code(), exit_code, "{symbol}");
            assert!(reason(code).to_string().ends_with(&format!("({symbol})")));
        }
        assert_eq!(reason(-999).to_string(), "the resolver answered -999");
    }
}
