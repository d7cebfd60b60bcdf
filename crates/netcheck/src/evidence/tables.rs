//! Sockets, as the kernel lists them in `/proc/net` (proc(5)).

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::{descriptors, processes};

/// Whether a TCP socket listens on exactly this address, in our network namespace.
pub fn is_listening(address: SocketAddr) -> bool {
    !listeners(address).is_empty()
}

/// How many connections wait at `address` for an accept(2), in our network namespace: `Recv-Q` of `ss -lt`.
pub fn accept_queue(address: SocketAddr) -> u64 {
    listeners(address).iter().map(|listener| listener.queue).sum()
}

/// Everyone who has the listener on `address` open: process and descriptor. A forking server's child
/// that did not close its copy shows here beside its parent.
pub fn listener_owners(address: SocketAddr) -> Vec<(i32, i32)> {
    owners(listeners(address).into_iter().map(|one| one.inode))
}

/// The same of a unix socket that listens at this path.
pub fn unix_listener_owners(path: &Path) -> Vec<(i32, i32)> {
    /// __SO_ACCEPTCON of the kernel's linux/net.h.
    const LISTENS: &str = "00010000";
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let inode = |line: &str| {
        // A path may have blanks.
        let (line, of_line) = line.split_at(line.find('/')?);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = Path::new(of_line) == path && fields.get(3) == Some(&LISTENS);
        listens.then(|| fields.get(6).map(|&inode| inode.to_owned()))?
    };
    owners(table.lines().filter_map(inode))
}

/// Everyone who has a UDP socket open that is bound to exactly this address: process and descriptor.
pub fn datagram_owners(address: SocketAddr) -> Vec<(i32, i32)> {
    owners(datagram_lines(address).iter().filter_map(|fields| fields.get(9).cloned()))
}

/// The processes and descriptors of sockets, which are given by their inodes.
fn owners(inodes: impl Iterator<Item = String>) -> Vec<(i32, i32)> {
    let sockets: Vec<String> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    let of_process = |pid| {
        let open = descriptors(pid).into_iter();
        open.filter(|(_, target)| sockets.contains(target)).map(move |(fd, _)| (pid, fd))
    };
    if sockets.is_empty() {
        return Vec::new();
    }
    processes().into_iter().flat_map(of_process).collect()
}

/// A listening socket.
struct Listening {
    inode: String,
    /// Connections that were not accepted yet.
    queue: u64,
}

/// The sockets that listen on `address`; several with SO_REUSEPORT.
fn listeners(address: SocketAddr) -> Vec<Listening> {
    /// TCP_LISTEN of the kernel's tcp_states.h.
    const LISTEN: &str = "0A";
    let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let Ok(table) = File::open(table) else { return Vec::new() };
    let mut found = Vec::new();
    for line in BufReader::new(table).lines().skip(1).map_while(Result::ok) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The listeners stand first (proc_net_tcp of the kernel's documentation), and thousands of
        // connections after them.
        let [_, local, _, LISTEN, queues, ..] = fields[..] else { break };
        if socket_address(local) == Some((address.ip(), address.port())) {
            // Bytes to send and to receive; of a listener its backlog and its queue.
            let queue = queues.split_once(':').map(|(_, queue)| u64::from_str_radix(queue, 16));
            let queue = queue.and_then(Result::ok).unwrap_or_default();
            found.extend(fields.get(9).map(|&inode| Listening { inode: inode.to_owned(), queue }));
        }
    }
    found
}

/// A counter of TCP in the network namespace of that process, by its name in `/proc/net/netstat`:
/// `ListenOverflows` counts the SYNs and ACKs that found the queue of a listener full.
pub fn tcp_counter(pid: i32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/netstat")).ok()?;
    // A line of names, and below it one of values.
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|other| other == name)?;
    values.split(' ').nth(at)?.parse().ok()
}

/// How many connections of the port are in TIME_WAIT, in our network namespace; IPv4 only.
pub fn in_time_wait(port: u16) -> usize {
    /// TCP_TIME_WAIT of the kernel's tcp_states.h.
    const TIME_WAIT: &str = "06";
    in_state(TIME_WAIT, port, |local, _| local.port() == port)
}

/// Whether a SYN was sent to that address, and nothing has come back.
pub fn syn_sent(peer: SocketAddr) -> bool {
    /// TCP_SYN_SENT of the kernel's tcp_states.h.
    const SYN_SENT: &str = "02";
    in_state(SYN_SENT, peer.port(), |_, to| to == peer) > 0
}

/// How many sockets are in that state, of those that have the port on one side and are wanted by their
/// own address and the peer's.
fn in_state(state: &str, port: u16, wanted: impl Fn(SocketAddr, SocketAddr) -> bool) -> usize {
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    // There may be thousands: most lines are not taken apart.
    let port = format!(":{port:04X} ");
    let is_wanted = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let side = |at: usize| Some(SocketAddr::from(socket_address(fields.get(at)?)?));
        Some(fields.get(3) == Some(&state) && wanted(side(1)?, side(2)?))
    };
    text.lines().filter(|line| line.contains(&port) && is_wanted(line) == Some(true)).count()
}

/// A UDP socket, as a line of `/proc/net/udp` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// Memory that its queue of received datagrams takes, in bytes.
    pub queue: u64,
    /// Datagrams that found the queue full, or whose checksum was wrong.
    pub drops: u64,
}

/// The UDP sockets bound to exactly this address, in our network namespace.
pub fn datagram_sockets(address: SocketAddr) -> Vec<Datagrams> {
    let socket = |fields: &Vec<String>| {
        let (_, queue) = fields.get(4)?.split_once(':')?;
        let queue = u64::from_str_radix(queue, 16).ok()?;
        Some(Datagrams { queue, drops: fields.last()?.parse().ok()? })
    };
    datagram_lines(address).iter().filter_map(socket).collect()
}

/// The same as the table has them: the fields of each line.
fn datagram_lines(address: SocketAddr) -> Vec<Vec<String>> {
    let table = if address.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    let text = fs::read_to_string(table).unwrap_or_default();
    let lines = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
    let is_own = |fields: &Vec<String>| {
        let local = fields.get(1).and_then(|local| socket_address(local));
        local == Some((address.ip(), address.port()))
    };
    lines.filter(is_own).collect()
}

/// What an interface has carried, as `/proc/PID/net/dev` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Packets received. On loopback each packet that was sent.
    pub packets_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
}

/// What the interface has carried so far, in the network namespace of that process.
pub fn traffic(pid: i32, interface: &str) -> Option<Traffic> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let counts =
        text.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
    let counts: Vec<u64> = counts.split_whitespace().flat_map(str::parse).collect();
    // Eight of what was received, bytes and packets first, and eight of what was sent.
    Some(Traffic { packets_received: *counts.get(1)?, bytes_sent: *counts.get(8)? })
}

/// `0100007F:1F90`: the address in words of 32 bits, each printed as if the machine's byte order were
/// the network's; the port in plain hexadecimal.
fn socket_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = (0..address.len())
        .step_by(8)
        .map(|at| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    let address = match *words.as_slice() {
        [octets] => IpAddr::V4(Ipv4Addr::from(octets)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}
