//! The rules, what is printed of them, and who holds an address.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::{Json, escape};

/// What is set on a socket before bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    Nothing,
    Addr,
    Port,
}

impl Reuse {
    fn name(self) -> &'static str {
        match self {
            Reuse::Nothing => "-",
            Reuse::Addr => "REUSEADDR",
            Reuse::Port => "REUSEPORT",
        }
    }
}

/// Two sockets and one port.
#[derive(Clone, Copy)]
pub(crate) enum Situation {
    /// Both listen, at these addresses.
    Listeners(IpAddr, IpAddr),
    /// Neither listens.
    Bound,
    /// Both are bound before one of them listens.
    BoundThenListen,
    /// The old server has closed its last connection, and its listener.
    TimeWait,
    /// The old listener is closed; a connection that it accepted is open, in a child for example.
    OpenConnection,
    /// UDP.
    Datagrams,
    /// UDP, and a datagram arrives.
    Arrival,
    /// The old socket takes IPv6 only.
    OnlyV6,
    /// One dual-stack listener, and a client over IPv4.
    MappedPeer,
}

/// The options of the old and of the new socket, and the result by the manual.
type Case = (Reuse, Reuse, &'static str);

pub(crate) struct Rule {
    pub(crate) what: &'static str,
    pub(crate) situation: Situation,
    pub(crate) cases: &'static [Case],
}

const NONE: Reuse = Reuse::Nothing;
const ADDR: Reuse = Reuse::Addr;
const PORT: Reuse = Reuse::Port;

pub(crate) const YES: &str = "allowed";
const NO: &str = "bind EADDRINUSE";

/// SO_REUSEADDR does not help against a listener, even if both sockets have it; SO_REUSEPORT does.
const LISTENERS: &[Case] = &[
    (NONE, NONE, NO),
    (ADDR, NONE, NO),
    (NONE, ADDR, NO),
    (ADDR, ADDR, NO),
    (PORT, NONE, NO),
    (NONE, PORT, NO),
    (PORT, PORT, YES),
];

/// Against what a server has left behind it helps if both sockets have it.
const LEFT_BEHIND: &[Case] =
    &[(NONE, NONE, NO), (ADDR, NONE, NO), (NONE, ADDR, NO), (ADDR, ADDR, YES), (PORT, PORT, YES)];

const fn rule(what: &'static str, situation: Situation, cases: &'static [Case]) -> Rule {
    Rule { what, situation, cases }
}

/// Every address of this machine, and one.
const ALL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const ALL_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

pub(crate) const RULES: [Rule; 13] = [
    rule("two listeners, one address", Situation::Listeners(ONE, ONE), LISTENERS),
    rule("0.0.0.0, then 127.0.0.1", Situation::Listeners(ALL, ONE), LISTENERS),
    rule("127.0.0.1, then 0.0.0.0", Situation::Listeners(ONE, ALL), LISTENERS),
    rule(
        "127.0.0.1, then 127.0.0.2",
        Situation::Listeners(ONE, TWO),
        &[(NONE, NONE, YES), (ADDR, ADDR, YES)],
    ),
    rule("bound twice, none listens", Situation::Bound, LEFT_BEHIND),
    rule(
        "bound twice, both listen",
        Situation::BoundThenListen,
        &[(ADDR, ADDR, "listen EADDRINUSE"), (PORT, PORT, YES)],
    ),
    rule("TIME_WAIT, no listener", Situation::TimeWait, LEFT_BEHIND),
    rule("connection, no listener", Situation::OpenConnection, LEFT_BEHIND),
    rule("UDP, one address", Situation::Datagrams, LEFT_BEHIND),
    rule("UDP, a datagram arrives", Situation::Arrival, &[(ADDR, ADDR, "new one gets it")]),
    rule(
        ":: and then 0.0.0.0",
        Situation::Listeners(ALL_V6, ALL),
        &[(NONE, NONE, NO), (ADDR, ADDR, NO)],
    ),
    rule(":: IPV6_V6ONLY, 0.0.0.0", Situation::OnlyV6, &[(NONE, NONE, YES)]),
    rule(":: and an IPv4 peer", Situation::MappedPeer, &[(NONE, NONE, "::ffff:127.0.0.1")]),
];

pub(crate) fn heading(json: bool, out: &mut Output) -> Result<(), Error> {
    let line = columns("", "old socket", "new socket", "result", "");
    if json { Ok(()) } else { out.line(line) }
}

/// A case and its result, `None` if it could not be tried on a machine without IPv6.
pub(crate) fn case(
    what: &str,
    (old, new, documented): Case,
    result: Option<&str>,
    json: bool,
    out: &mut Output,
) -> Result<(), Error> {
    let (old, new) = (old.name(), new.name());
    let holds = result.is_none_or(|result| result == documented);
    let verdict = match result {
        None => "not tried",
        Some(_) if holds => "as documented",
        Some(_) => "different",
    };
    let shown = result.unwrap_or("no IPv6");
    if json {
        let json = Json::new("rule").text("what", what).text("old", old).text("new", new);
        let json = json.text("got", shown).text("documented", documented);
        out.line(json.flag("tried", result.is_some()).flag("as_documented", holds))?;
    } else {
        out.line(columns(what, old, new, shown, verdict))?;
    }
    if !holds {
        let rule = format!("{what}, old {old}, new {new}");
        out.report(&Error::No(format!("{rule}: {shown}, documented {documented}")));
    }
    Ok(())
}

fn columns(what: &str, old: &str, new: &str, result: &str, verdict: &str) -> String {
    format!("{what:<27}{old:<11}{new:<11}{result:<18}{verdict}").trim_end().to_owned()
}

/// States of a TCP socket in its table (include/net/tcp_states.h).
const LISTEN: u8 = 0x0a;
const TIME_WAIT: u8 = 0x06;

/// A line of /proc/net/tcp or tcp6.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    local: SocketAddr,
    state: u8,
    uid: u32,
    /// 0 if no process owns the socket.
    inode: u64,
}

/// Who holds an address, as far as /proc tells (proc(5)): a line for each kind of socket that prevents
/// a bind to it.
pub(crate) fn holders(local: SocketAddr) -> Vec<String> {
    let rows = sockets_at(local);
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| row.inode != 0) {
        let what = if row.state == LISTEN { "a listener" } else { "an open connection" };
        for owner in owners(row) {
            let line = format!("{} is held by {what} of {owner}", row.local);
            // A server may have many connections: one line for all.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    match connections_in_time_wait(local) {
        0 if rows.is_empty() => lines.push(format!(
            "/proc/net/tcp has nothing at {local}: it does not list a socket that is only bound"
        )),
        0 => {}
        count => lines.push(format!(
            "{local} is held by {count} in TIME_WAIT, of no process, for up to a minute"
        )),
    }
    lines
}

/// How many connections at this address are in TIME_WAIT.
pub(crate) fn connections_in_time_wait(local: SocketAddr) -> usize {
    sockets_at(local).iter().filter(|row| row.state == TIME_WAIT).count()
}

/// The sockets whose port is the same, and whose address is, or is every address.
fn sockets_at(local: SocketAddr) -> Vec<Row> {
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/self/net/{name}")));
    let rows = tables.iter().flatten().flat_map(|table| table.lines().filter_map(row));
    let overlap = |row: &Row| {
        let (ours, theirs) = (local.ip().to_canonical(), row.local.ip().to_canonical());
        ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
    };
    rows.filter(|row| row.local.port() == local.port() && overlap(row)).collect()
}

/// `0: 0100007F:205A 00000000:0000 0A …`; the first line of the table has the names of the columns.
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
        // `self` and others are not processes.
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
        found.push(format!("a process of uid {}, which this user may not inspect", row.uid));
    }
    found
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
