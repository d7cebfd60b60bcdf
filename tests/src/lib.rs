//! The scenarios: what the kernel does, each step a command that can be typed, each statement with its
//! evidence. `cargo xtask scenario NAME` runs them, and so does `cargo test`.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use netcheck::{Link, Need, Process, Run, Scenario, ScenarioRun, Server, Signal, Stopped};
use netcheck::{bin, evidence, need, peer};

mod chatter;
pub mod chronyd;
pub mod exercise;
pub mod faults;
mod probe;

pub use chatter::{Chatter, framed};
pub use probe::{Probe, make_site};

/// Declares the files of `scenario/` and lists them, in the order for readers. rustfmt does not see
/// them here: `cargo xtask ci` names them to it.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        mod scenario {
            $(pub(crate) mod $name;)+
        }

        /// Every scenario, in the order for readers.
        pub const ALL: &[Scenario] = &[$(scenario::$name::SCENARIO),+];
    };
}

scenarios! {
    echo,
    half_close,
    restart,
    forking,
    forking_limit,
    forking_stop,
    no_zombies,
    prefork,
    threads,
    poll,
    epoll,
    uring,
    udp,
    echo_storm,
    chat,
    web,
    cable_pulled,
    log_stalled,
    out_of_descriptors,
    slow_peers,
    small_machine,
    timeouts,
    errors,
    buffers,
    nagle,
    modes,
    connect,
    seven_fates,
    reuse,
    names,
    sntp,
    ntp_majority,
    ntp_2036,
    waiting,
    pair,
    unix,
    handover,
    activation,
    backlog,
    closing,
    dead_peer,
    watched,
}

/// A client of an echo server that has had a reply, so that it is surely being served, and stays.
///
/// # Errors
/// What the system calls say; `WouldBlock` when no reply comes within 10 s.
pub fn served(address: SocketAddr) -> io::Result<TcpStream> {
    let mut client = peer::connect(address)?;
    client.write_all(b"hello")?;
    client.read_exact(&mut [0; 5])?;
    Ok(client)
}

/// Two machines and a cable, each command a step; `None` where there can be none.
fn link(scenario: &mut ScenarioRun) -> Result<Option<Link>, Stopped> {
    if let Err(skip) = need(Need::Link) {
        scenario.skip("two machines and a cable between them", &skip)?;
        return Ok(None);
    }
    let link = Link::start()?;
    for command in link.commands() {
        scenario.step(command, []);
    }
    Ok(Some(link))
}

/// The processes or threads that served the clients of forking-client: `client 1 <- pid 5123   29 bytes   0.9 ms`.
fn served_by(said: &str) -> BTreeSet<i32> {
    said.lines()
        .filter_map(|line| line.split("pid ").nth(1)?.split_whitespace().next()?.parse().ok())
        .collect()
}

/// How many sockets a server has. Its listener has a second descriptor in reserve.
fn sockets(server: &Server) -> usize {
    let open = evidence::descriptors(server.pid());
    open.values().filter(|link| link.starts_with("socket:")).collect::<BTreeSet<_>>().len()
}

/// A program on a machine of its own, whose counters nobody else moves. Takes [`Need::OwnNames`].
struct Alone {
    /// What one types in a shell there.
    typed: Vec<String>,
    process: Process,
}

impl Alone {
    /// Starts it, with this value of the sysctl tcp_syncookies, or with what there is.
    fn start(program: &str, args: &[&str], syncookies: Option<&str>) -> Self {
        let script = r#"[ -z "$1" ] || echo "$1" > /proc/sys/net/ipv4/tcp_syncookies; shift; "$@"
            grep TcpExt /proc/net/netstat"#;
        let run = Run::script(script).arg(syncookies.unwrap_or("")).arg(bin(program)).args(args);
        let mut typed = vec!["cargo run -qp netcheck -- tests/etc sh".to_owned()];
        let set = |value| format!("echo {value} > /proc/sys/net/ipv4/tcp_syncookies");
        typed.extend(syncookies.map(set));
        typed.push(Run::new(program).args(args).command_line());
        Self { typed, process: run.inside("tests/etc").start() }
    }

    /// Its steps, once it has ended, and what it printed; the counters come last.
    fn show(self, scenario: &mut ScenarioRun) -> Result<String, Stopped> {
        let code = self.process.wait(Duration::from_secs(30)).and_then(|status| status.code());
        let shown = self.process.stdout();
        if let Some((program, before)) = self.typed.split_last() {
            before.iter().for_each(|typed| scenario.step(typed, []));
            let lines = shown.lines().filter(|line| !line.contains("TcpExt: "));
            scenario.step(program, lines.map(str::to_owned));
            scenario.step("grep TcpExt /proc/net/netstat", []);
        }
        match code {
            Some(0) => Ok(shown),
            _ => Err(Stopped::Broken(self.process.stderr())),
        }
    }
}

/// A counter of TcpExt in the text of `/proc/net/netstat`, as `nstat` shows it.
fn tcp_counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt: "));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|known| known == name)?;
    numbers.split(' ').nth(at)?.parse().ok()
}

/// The share of a core that a process takes, while `during` lasts.
fn cpu_share(pid: i32, during: Duration) -> f64 {
    let cpu = || evidence::cpu_time(pid).unwrap_or_default();
    let (begun, before) = (Instant::now(), cpu());
    evidence::wait_until(during, || None::<()>);
    cpu().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// The last statement about a server: SIGTERM ends it with 0. Not checked where the server is to be kept.
fn ends(scenario: &mut ScenarioRun, server: &Server) -> Result<(), Stopped> {
    if scenario.keep {
        return Ok(());
    }
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    let status = server.wait(Duration::from_secs(10));
    let took = asked.elapsed().as_millis();
    let code = status.and_then(|status| status.code());
    scenario.check_eq(
        "ends",
        "SIGTERM ends it with exit code 0",
        Some(0),
        code,
        format_args!("{took} ms"),
    )
}
