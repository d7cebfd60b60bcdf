//! Who holds an address, as far as /proc tells (proc(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netcore::text::escape;

/// States of a TCP socket in its table (include/net/tcp_states.h).
const LISTEN: u8 = 0x0a;
const TIME_WAIT: u8 = 0x06;

/// A line of /proc/net/tcp or tcp6.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    local: SocketAddr,
    state: u8,
    uid: u32,
    /// 0 for what belongs to no process any more.
    inode: u64,
}

/// A line for each kind of socket that stands in the way of a bind to this address.
pub(crate) fn of(local: SocketAddr) -> Vec<String> {
    let rows = in_the_way(local);
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| row.inode != 0) {
        let what = if row.state == LISTEN { "a listener" } else { "a connection that lives" };
        for owner in owners(row) {
            let line = format!("{} is held by {what} of {owner}", row.local);
            // A server has many connections, and one line about them.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    match in_time_wait(local) {
        0 if rows.is_empty() => lines.push(format!(
            "/proc/net/tcp has nothing at {local}: it does not list a socket that was bound only"
        )),
        0 => {}
        count => lines.push(format!(
            "{local} is held by {count} in TIME_WAIT, of no process any more, for a minute"
        )),
    }
    lines
}

/// How many connections at this address are in TIME_WAIT.
pub(crate) fn in_time_wait(local: SocketAddr) -> usize {
    in_the_way(local).iter().filter(|row| row.state == TIME_WAIT).count()
}

/// The sockets whose port is the same, and whose address is, or is every address.
fn in_the_way(local: SocketAddr) -> Vec<Row> {
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/self/net/{name}")));
    let rows = tables.iter().flatten().flat_map(|table| table.lines().filter_map(row));
    let overlap = |row: &Row| {
        let (ours, theirs) = (local.ip().to_canonical(), row.local.ip().to_canonical());
        ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
    };
    rows.filter(|row| row.local.port() == local.port() && overlap(row)).collect()
}

/// `0: 0100007F:205A 00000000:0000 0A …`; the first line of the table, with the names, is none.
fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Row {
        local: SocketAddr::new(ip(address)?, u16::from_str_radix(port, 16).ok()?),
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// An address in words of 32 bits, each printed as a number of this machine's byte order, though its
/// bytes are in the network's.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

/// The processes that have the socket open: `pid 4711 (nginx)`.
fn owners(row: &Row) -> Vec<String> {
    let socket = format!("socket:[{}]", row.inode);
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        // `self` and the like are no process more.
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let fds = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        if links.any(|link| link.as_os_str() == socket.as_str()) {
            let name = fs::read(process.path().join("comm")).unwrap_or_default();
            found.push(format!("pid {pid} ({})", escape(name.trim_ascii())));
        }
    }
    if found.is_empty() {
        found.push(format!("a process of uid {} that we may not look into", row.uid));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    #[test]
    fn a_line_of_the_table_is_read() {
        // As a machine writes it whose byte order is little.
        let line = "   0: 0100007F:205A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    65534        0 31337 1 0000000000000000 100 0 0 10 0";
        let local = "127.0.0.1:8282".parse().unwrap();
        let expected = Row { local, state: LISTEN, uid: 65_534, inode: 31_337 };
        if cfg!(target_endian = "little") {
            assert_eq!(row(line), Some(expected));
            let mapped = ip("0000000000000000FFFF00000100007F").unwrap();
            assert_eq!(mapped, "::ffff:127.0.0.1".parse::<IpAddr>().unwrap());
        }
        assert_eq!(row("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when"), None);
    }

    #[test]
    fn a_listener_is_held_by_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let held = format!("{local} is held by a listener of pid {} (", std::process::id());
        for at in [local, SocketAddr::from((Ipv4Addr::UNSPECIFIED, local.port()))] {
            let lines = of(at);
            assert!(lines.len() == 1 && lines.concat().starts_with(&held), "{lines:?}");
        }
        let other = of(SocketAddr::from(([127, 0, 0, 2], local.port())));
        assert!(other.concat().contains("has nothing at 127.0.0.2"), "{other:?}");
    }

    proptest! {
        #[test]
        fn no_line_panics(line: String, fields in proptest::collection::vec("[0-9A-F:é]{0,33}", 0..12)) {
            let _ = (row(&line), row(&fields.join(" ")));
        }
    }
}
