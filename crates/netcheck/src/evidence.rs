//! What the kernel says, read from `/proc` (proc(5)).
//!
//! A process can end between two reads, so an absent file is no error: `None`, or an empty list.

mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::ppoll;
use nix::sys::signal::Signal;
use nix::sys::time::TimeSpec;
use nix::time::clock_getcpuclockid;
use nix::unistd::{Pid, SysconfVar, sysconf};

pub use tables::{
    Datagrams, Traffic, accept_queue, datagram_owners, datagram_sockets, in_time_wait,
    is_listening, listener_owners, syn_sent, tcp_counter, traffic, unix_listener_owners,
};

/// Waits until `found` gives a value, looking every 2 ms; `None` when it has given none by `timeout`.
/// It looks once more at the end, so a slow machine gets no stale result.
pub fn wait_until<T>(timeout: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        let over = Instant::now() >= deadline;
        if let Some(value) = found() {
            return Some(value);
        }
        if over {
            return None;
        }
        pause(Duration::from_millis(2));
    }
}

/// Does nothing for `duration`, or less when a signal comes: ppoll(2) on no descriptor.
pub(crate) fn pause(duration: Duration) {
    let _ = ppoll(&mut [], Some(TimeSpec::from_duration(duration)), None);
}

/// The fields of `/proc/PID/stat` that are used here.
struct Stat {
    state: char,
    parent: i32,
    /// User and system time in clock ticks.
    ticks: u64,
    /// The same of all children that it has waited for, and of theirs.
    ticks_of_children: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may itself hold blanks and parentheses.
    let (_, rest) = text.rsplit_once(") ")?;
    // So the first field here is the third of proc_pid_stat(5).
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |nth: usize| fields.get(nth - 3)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(14)? + number(15)?,
        ticks_of_children: number(16)? + number(17)?,
    })
}

/// Every process that there is, without the threads.
fn processes() -> Vec<i32> {
    numbers_in(Path::new("/proc"))
}

/// The entries of a folder whose names are numbers, sorted.
fn numbers_in(folder: &Path) -> Vec<i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<i32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// The children of `pid`, zombies too. Sorted.
pub fn children(pid: i32) -> Vec<i32> {
    // The kernel's list may leave one out while another ends (proc_pid_tid_children(5)): two looks that
    // agree are right. Of a process that forks without end no two do.
    let mut last = list_children(pid);
    for _ in 0..3 {
        let next = list_children(pid);
        if next == last {
            break;
        }
        last = next;
    }
    last
}

/// One look: each thread has the children that it has forked.
fn list_children(pid: i32) -> Vec<i32> {
    let of_thread = |thread| fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
    let mut found = Vec::new();
    for thread in threads(pid) {
        match of_thread(thread) {
            Ok(list) => found.extend(list.split_whitespace().flat_map(str::parse::<i32>)),
            // The thread has ended, or a kernel without CONFIG_PROC_CHILDREN: then all are looked through.
            Err(_) if of_thread(pid).is_ok() => {}
            Err(_) => {
                let is_child = |child: &i32| stat(*child).is_some_and(|stat| stat.parent == pid);
                return processes().into_iter().filter(is_child).collect();
            }
        }
    }
    found.sort_unstable();
    found
}

/// The children of `pid` that have ended and that it has not waited for.
pub fn zombies(pid: i32) -> Vec<i32> {
    let mut children = children(pid);
    children.retain(|&child| state(child) == Some('Z'));
    children
}

/// The children of `pid`, their children, and so on; `pid` itself is not among them. One look at all
/// processes: a walk from child to child would not end while they fork.
pub fn descendants(pid: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = processes()
        .into_iter()
        .filter_map(|process| Some((process, stat(process)?.parent)))
        .collect();
    let mut found = Vec::new();
    let mut generation = vec![pid];
    while !generation.is_empty() {
        let next = parents.iter().filter(|(_, parent)| generation.contains(parent));
        generation = next.map(|&(process, _)| process).collect();
        found.extend(&generation);
    }
    found
}

/// The threads of `pid`, the first one too, whose number is that of the process.
pub fn threads(pid: i32) -> Vec<i32> {
    numbers_in(Path::new(&format!("/proc/{pid}/task")))
}

/// Its state, one letter: `R` running, `S` sleeping, `T` stopped, `Z` zombie. `None`: there is none.
pub fn state(pid: i32) -> Option<char> {
    stat(pid).map(|stat| stat.state)
}

/// The processor time of `pid` itself, user and system, in whole clock ticks; not its children's.
pub fn cpu_time(pid: i32) -> Option<Duration> {
    of_ticks(stat(pid)?.ticks)
}

/// The same with that of its children that have ended and that it has waited for. Its own is read from
/// its clock, to the nanosecond (clock_getcpuclockid(3)): each of many workers has less than a tick.
pub fn cpu_time_with_children(pid: i32) -> Option<Duration> {
    let own = clock_getcpuclockid(Pid::from_raw(pid)).ok()?.now().ok()?;
    Some(Duration::from(own) + of_ticks(stat(pid)?.ticks_of_children)?)
}

fn of_ticks(ticks: u64) -> Option<Duration> {
    let ticks_a_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let nanos_a_tick = 1_000_000_000 / u64::try_from(ticks_a_second).ok()?;
    Some(Duration::from_nanos(ticks * nanos_a_tick))
}

/// A field of `/proc/PID/status`, without its unit.
fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next().map(str::to_owned)
}

/// How often it went to sleep of its own accord, until something woke it.
pub fn context_switches(pid: i32) -> Option<u64> {
    status(pid, "voluntary_ctxt_switches")?.parse().ok()
}

/// The process that traces it (ptrace(2)); 0 is none.
pub fn tracer(thread: i32) -> Option<i32> {
    status(thread, "TracerPid")?.parse().ok()
}

/// Its resident set in bytes: the memory that it really occupies.
pub fn rss(pid: i32) -> Option<u64> {
    Some(status(pid, "VmRSS")?.parse::<u64>().ok()? * 1024)
}

/// The memory that it occupies, in bytes; what it shares with others is divided among them.
pub fn pss(pid: i32) -> Option<u64> {
    mapped(pid, "Pss:")
}

/// The memory in bytes that stands behind no file: what it wrote to, and what its parent had written
/// to before the fork, which they share until one of them writes again.
pub fn anonymous(pid: i32) -> Option<u64> {
    mapped(pid, "Anonymous:")
}

/// A sum over all mappings in bytes, which the kernel counts when it is asked (proc_pid_smaps(5)).
fn mapped(pid: i32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// A set of signals, as the kernel writes it: bit n-1 for signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// Whether `signal` is in it.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 >> (signal as i32 - 1) & 1 == 1
    }
}

/// What a process does with signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalMasks {
    /// Held back until they are unblocked, or read from a signalfd.
    pub blocked: SignalSet,
    /// Thrown away.
    pub ignored: SignalSet,
    /// Given to a handler.
    pub caught: SignalSet,
}

/// What `pid` does with signals: SigBlk (of its first thread), SigIgn and SigCgt of its status.
pub fn signal_masks(pid: i32) -> Option<SignalMasks> {
    let set = |field| Some(SignalSet(u64::from_str_radix(&status(pid, field)?, 16).ok()?));
    Some(SignalMasks { blocked: set("SigBlk")?, ignored: set("SigIgn")?, caught: set("SigCgt")? })
}

/// Its open descriptors and what they are: `socket:[31337]`, `pipe:[1]`, `/dev/null`.
pub fn descriptors(pid: i32) -> BTreeMap<i32, String> {
    let folder = format!("/proc/{pid}/fd");
    let named = |fd| {
        let target = fs::read_link(format!("{folder}/{fd}")).ok()?;
        Some((fd, target.to_string_lossy().into_owned()))
    };
    numbers_in(Path::new(&folder)).into_iter().filter_map(named).collect()
}

/// The flags of a descriptor, as open(2) names them: `O_NONBLOCK`, `O_CLOEXEC`, the access mode.
pub fn descriptor_flags(pid: i32, fd: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(octal.trim(), 8).ok()
}
