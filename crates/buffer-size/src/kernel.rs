//! What the kernel is expected to make of a size, computed from what this machine is set to.

use std::fmt;
use std::fs;

use netcore::error::Error;

use crate::ask;
use crate::pairs::Kind;
use crate::wanted::Buffer;

/// What the kernel multiplies by two is first cut to this, or an int could not hold it.
const HALF: u32 = i32::MAX.unsigned_abs() / 2;

/// What bounds one of the two buffers, for every kind of socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    buffer: Buffer,
    /// `net.core.wmem_max` or `net.core.rmem_max`.
    pub(crate) most: u32,
    /// What is read back however little was asked.
    pub(crate) floor: u32,
}

/// Why a size reads back as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The kernel charges its own bookkeeping to the buffer, and takes twice what was asked.
    Doubled,
    /// Less would not hold one packet.
    Floor,
    /// More than the administrator allows, which is no error.
    Clamped(Buffer, u32),
    /// More than is allowed, and all of it granted: SO_SNDBUFFORCE.
    Forced,
    /// Forced, and more than an int holds twice.
    Half,
}

impl Limits {
    /// Reads what this machine is set to.
    pub(crate) fn look(buffer: Buffer) -> Result<Limits, Error> {
        let read_back = |asked| ask(&Kind::Udp.socket()?, buffer, asked, false);
        // A container may not show the file. The kernel tells the limit all the same: twice it.
        let most = match sysctl(&buffer.sysctl("max")).first() {
            Some(most) => *most,
            None => read_back(i32::MAX.unsigned_abs())? / 2,
        };
        // The floor is the size of kernel structures, so no file has it.
        Ok(Limits { buffer, most, floor: read_back(0)? })
    }

    /// What `asked` has to read back as: sk_setsockopt() of the kernel in two lines.
    pub(crate) fn predict(self, asked: u32, force: bool) -> (u32, Reason) {
        let most = if force { HALF } else { self.most.min(HALF) };
        let used = asked.min(most);
        let read_back = used.saturating_mul(2).max(self.floor);
        let reason = match used {
            _ if used.saturating_mul(2) < self.floor => Reason::Floor,
            _ if used == asked && asked > self.most => Reason::Forced,
            _ if used == asked => Reason::Doubled,
            _ if force => Reason::Half,
            _ => Reason::Clamped(self.buffer, self.most),
        };
        (read_back, reason)
    }
}

impl Reason {
    /// Whether less than asked is in effect.
    pub(crate) fn is_less(self) -> bool {
        matches!(self, Reason::Clamped(..) | Reason::Half)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Doubled => f.write_str("doubled"),
            Reason::Floor => f.write_str("floor"),
            Reason::Clamped(buffer, most) => {
                write!(f, "clamped: net.core.{} = {most}", buffer.sysctl("max"))
            }
            Reason::Forced => f.write_str("forced"),
            Reason::Half => f.write_str("forced, and clamped: an int holds no more"),
        }
    }
}

/// Which setting a new socket has its size from, and that size where it can be seen.
pub(crate) fn default(kind: Kind, buffer: Buffer) -> (String, Option<u32>) {
    match kind {
        // The three numbers are the least, the default and the most of autotuning.
        Kind::Tcp => {
            let name = if buffer == Buffer::Send { "tcp_wmem" } else { "tcp_rmem" };
            (format!("net.ipv4.{name}"), numbers(&format!("ipv4/{name}")).get(1).copied())
        }
        Kind::Udp | Kind::Unix => {
            let name = buffer.sysctl("default");
            (format!("net.core.{name}"), sysctl(&name).first().copied())
        }
    }
}

fn sysctl(name: &str) -> Vec<u32> {
    numbers(&format!("core/{name}"))
}

fn numbers(path: &str) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { buffer: Buffer::Send, most: 212_992, floor: 4_608 };

    #[test]
    fn a_size_is_doubled_between_the_floor_and_the_limit() {
        let clamped = Reason::Clamped(Buffer::Send, 212_992);
        for (asked, force, read_back, reason) in [
            (0, false, 4_608, Reason::Floor),
            (2_303, false, 4_608, Reason::Floor),
            (2_304, false, 4_608, Reason::Doubled),
            (4_096, false, 8_192, Reason::Doubled),
            (9_973, false, 19_946, Reason::Doubled),
            (212_992, false, 425_984, Reason::Doubled),
            (212_993, false, 425_984, clamped),
            (1 << 30, false, 425_984, clamped),
            (u32::MAX, false, 425_984, clamped),
            (212_992, true, 425_984, Reason::Doubled),
            (212_993, true, 425_986, Reason::Forced),
            (1 << 30, true, 2_147_483_646, Reason::Half),
        ] {
            assert_eq!(LIMITS.predict(asked, force), (read_back, reason), "{asked} {force}");
        }
        assert_eq!(clamped.to_string(), "clamped: net.core.wmem_max = 212992");
    }

    proptest! {
        #[test]
        fn the_kernel_does_what_is_computed(shift in 0_u32..31, low: u32, unsigned: bool) {
            let asked = if unsigned { u32::MAX } else { (1 << shift) | (low % (1 << shift)) };
            for buffer in Buffer::BOTH {
                let limits = Limits::look(buffer).unwrap();
                for kind in Kind::ALL {
                    let read_back = ask(&kind.socket().unwrap(), buffer, asked, false).unwrap();
                    prop_assert_eq!(read_back, limits.predict(asked, false).0, "{}", asked);
                }
            }
        }
    }

    #[test]
    fn the_send_buffer_has_twice_the_floor_of_the_other() {
        let floor = |buffer| Limits::look(buffer).unwrap().floor;
        assert_eq!(floor(Buffer::Send), 2 * floor(Buffer::Receive));
    }
}
