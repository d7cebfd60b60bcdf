//! Every server over TCP, through the same checks. Those of echo are found by looking: a crate whose
//! first line says `Echo what each peer sends` and whose system calls have a `listen` is one. How a
//! client talks to a server is its [`Probe`]; which servers a statement is about, and why not all,
//! stands at the functions of [`Kind`].

mod accept;
mod crowd;
mod ends;
mod faults;
mod log;
mod peers;
mod random;
mod small_machine;
mod soak;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Header, Need, Run, Server, Skip, evidence, need, recipes, workspace};

use crate::trial;
use scenarios::{Probe, make_site};

const SECOND: Duration = Duration::from_secs(1);

/// The folder that epoll-web serves here.
static SITE: LazyLock<String> = LazyLock::new(|| {
    let site = format!("{}/site", env!("CARGO_TARGET_TMPDIR"));
    make_site(Path::new(&site)).unwrap();
    site
});

/// A statement about one server.
type Check = fn(&Kind) -> Result<(), Skip>;

/// Which servers a statement is about.
type About = fn(&Kind) -> bool;

type Checks = &'static [(&'static str, About, Check)];

pub(crate) fn trials() -> Vec<Trial> {
    let files: [Checks; 9] = [
        peers::CHECKS,
        log::CHECKS,
        ends::CHECKS,
        crowd::CHECKS,
        accept::CHECKS,
        faults::CHECKS,
        random::CHECKS,
        small_machine::CHECKS,
        soak::CHECKS,
    ];
    let checks = files.concat();
    let mut trials = vec![trial("server::none_of_them_leaves_the_suite".to_owned(), || {
        let found = kinds();
        let found: Vec<_> = found.iter().map(|kind| (kind.full_name(), kind.most)).collect();
        assert_eq!(found, COVERED.map(|(name, most)| (name.to_owned(), most)));
        Ok(())
    })];
    trials.push(trial("server::readme_says_the_limit_of_each".to_owned(), || {
        let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
        for kind in kinds().iter().filter(|kind| kind.variant.is_none()) {
            let row = readme.lines().find(|row| row.starts_with(&format!("| [`{}`]", kind.name)));
            let said = match kind.most {
                1 => "one connection at a time |".to_owned(),
                most => format!(" ({most}) |"),
            };
            assert!(row.is_some_and(|row| row.contains(&said)), "{said}: {row:?}");
        }
        Ok(())
    }));
    for kind in kinds() {
        for &(statement, about, check) in &checks {
            if about(&kind) {
                let server = kind.clone();
                let server_name = kind.full_name();
                let name = format!("server::{server_name}::{statement}");
                trials.push(trial(name, move || check(&server)));
            }
        }
    }
    trials
}

/// Who has to be among them, and how many clients each serves at once with nothing but `--port`: a header
/// that is worded anew takes no server out.
pub(crate) const COVERED: [(&str, usize); 12] = [
    ("activated-echo", 1),
    ("chat-server", 2_000),
    ("echo-server", 1),
    ("epoll-echo", 1_000),
    ("epoll-echo --edge", 1_000),
    ("epoll-web", 1_000),
    ("forking-echo", 40),
    ("poll-echo", 1_000),
    ("prefork-echo", 8),
    ("prefork-echo --reuse-port", 8),
    ("threaded-echo", 1_000),
    ("uring-echo", 1_000),
];

/// A server, and what its header and its help say of it.
#[derive(Clone)]
struct Kind {
    name: String,
    probe: Probe,
    /// An option that makes it another server.
    variant: Option<&'static str>,
    /// Its system calls.
    calls: Vec<String>,
    /// The option that says how many clients it serves at once; without it, it is one.
    limit: Option<&'static str>,
    /// The default of that option, as the help says it.
    most: usize,
}

/// The number in parentheses behind the option.
fn default_of(help: &str, option: &str) -> usize {
    let (_, rest) = help.split_once(option).unwrap();
    let (default, _) = rest.split_once('(').unwrap().1.split_once(')').unwrap();
    default.parse().unwrap()
}

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for name in recipes() {
        let Header { title, calls, .. } = Header::read(&name);
        if let Some(probe) = Probe::of(&name, &title)
            && calls.iter().any(|call| call == "listen")
        {
            let help = Run::new(&name).arg("--help").finish().stdout_text();
            let limits = ["--max-clients", "--workers"];
            let limit = limits.into_iter().find(|limit| help.contains(limit));
            let most = limit.map_or(1, |limit| default_of(&help, limit));
            let variants = ["--edge", "--reuse-port"].into_iter().filter(|v| help.contains(v));
            kinds.extend(std::iter::once(None).chain(variants.map(Some)).map(|variant| Kind {
                name: name.clone(),
                probe,
                variant,
                calls: calls.clone(),
                limit,
                most,
            }));
        }
    }
    kinds
}

/// Every echo server by its name, as far as this kernel can run it.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let runs = |kind: &Kind| kind.name != "uring-echo" || need(Need::IoUring).is_ok();
    let kinds = kinds().into_iter().filter(|kind| kind.variant.is_none() && kind.echoes());
    kinds.filter(runs).map(|kind| kind.name)
}

/// Every server over TCP by its name.
pub(crate) fn all_names() -> Vec<String> {
    kinds().into_iter().filter(|kind| kind.variant.is_none()).map(|kind| kind.name).collect()
}

impl Kind {
    /// `epoll-echo --edge`.
    fn full_name(&self) -> String {
        self.variant.map_or(self.name.clone(), |variant| format!("{} {variant}", self.name))
    }

    fn run(&self, port: &str) -> Run {
        Run::new(&self.name).args(["--port", port]).args(self.options())
    }

    /// What makes it this server.
    fn options(&self) -> impl Iterator<Item = &'static str> {
        self.variant.into_iter().chain(self.probe.options(&SITE))
    }

    fn start(&self, args: &[&str]) -> Server {
        let server = Server::start_run(self.run("0").args(args));
        if self.has_workers() {
            // It listens before it has forked them.
            let option = args.iter().position(|arg| *arg == "--workers");
            let count = option.map_or(self.most, |option| args[option + 1].parse().unwrap());
            let all = || (evidence::children(server.pid()).len() == count).then_some(());
            evidence::wait_until(10 * SECOND, all).expect("all workers");
        }
        server
    }

    /// A server with room for so many clients at once.
    fn with_room(&self, clients: usize, args: &[&str]) -> Server {
        let clients = clients.to_string();
        let room = self.limit.map_or(vec![], |limit| vec![limit, &clients]);
        self.start(&[room.as_slice(), args].concat())
    }

    fn any(&self) -> bool {
        true
    }

    /// A launcher has no counts, and its servers are started again: `activated_echo`.
    fn serves_itself(&self) -> bool {
        self.name != "activated-echo"
    }

    /// What is about bytes that come back, about how many they are, or about `forking-client`. The
    /// others have tests of their own for that: `chat_server::people`, `epoll_web::requests`.
    fn echoes(&self) -> bool {
        self.probe == Probe::Echo
    }

    fn echoes_to_several(&self) -> bool {
        self.echoes() && self.serves_several()
    }

    /// epoll-web has a time for a whole head, however it drips: `epoll_web::peers::a_head_that_drips…`.
    fn lets_a_message_drip(&self) -> bool {
        self.probe != Probe::Web
    }

    /// epoll-web closes a client without a request at SIGTERM, and chat-server each client that has
    /// received why: `epoll_web::ends::at_sigterm_…`, `chat_server::all_are_told_that_the_server_stops`.
    fn serves_after_sigterm(&self) -> bool {
        self.echoes()
    }

    /// A client of chat-server that does not close stays until the grace is over.
    fn waits_for_its_clients(&self) -> bool {
        self.probe != Probe::Web
    }

    /// A client of chat-server that does not read what others say is dropped:
    /// `chat_server::one_who_never_reads_is_told_and_dropped…`.
    fn serves_each_apart(&self) -> bool {
        self.serves_several() && self.probe != Probe::Chat
    }

    /// An echo server keeps nothing until it is whole.
    fn keeps_part_of_a_message(&self) -> bool {
        !self.echoes()
    }

    /// How long it waits after the idle timeout for a client to receive why it is closed.
    fn goodbye(&self) -> Duration {
        if self.probe == Probe::Chat { 2 * SECOND } else { Duration::ZERO }
    }

    /// Opened, closed, and what it asked for or which name it has.
    fn lines_of_a_client(&self) -> usize {
        if self.echoes() { 2 } else { 3 }
    }

    fn serves_several(&self) -> bool {
        // The kernel deals clients out to listeners, whether their workers are free or not.
        self.limit.is_some() && self.variant != Some("--reuse-port")
    }

    /// Workers that each serve one client at a time have the limit in their number.
    fn has_workers(&self) -> bool {
        self.limit == Some("--workers")
    }

    fn counts_clients(&self) -> bool {
        self.serves_several() && !self.has_workers()
    }

    fn forks(&self) -> bool {
        self.calls.iter().any(|call| call == "fork")
    }

    /// Its listener may, for a moment: the workers are killed after their parent, and the kernel takes down
    /// a ring after its process.
    fn may_outlive_its_process(&self) -> bool {
        self.has_workers() || self.name == "uring-echo"
    }

    /// Each client costs this one process a descriptor.
    fn serves_from_one_process(&self) -> bool {
        self.limit == Some("--max-clients") && !self.forks()
    }

    fn variant(&self) -> &str {
        self.variant.unwrap_or_default()
    }

    fn calls_accept(&self) -> bool {
        self.calls.iter().any(|call| call == "accept")
    }

    /// Its clients and the reserve of its listener compete for the same descriptors.
    fn accepts_into_one_process(&self) -> bool {
        self.calls_accept() && self.serves_from_one_process()
    }

    /// A bad listener ends the process that has it: of workers only one.
    fn accepts_itself(&self) -> bool {
        self.calls_accept() && !self.has_workers() && self.serves_itself()
    }
}

/// The server and its children.
fn family(server: &Server) -> Vec<i32> {
    let mut family = evidence::descendants(server.pid());
    family.push(server.pid());
    family
}

/// The descriptors of each process of a server, and what they are.
pub(crate) type Open = BTreeMap<i32, BTreeMap<i32, String>>;

/// What they all have open.
fn descriptors(server: &Server) -> Open {
    family(server).into_iter().map(|pid| (pid, evidence::descriptors(pid))).collect()
}

/// What is open once no connection is left.
pub(crate) fn at_rest(server: &Server) -> Open {
    let listeners = evidence::listener_owners(server.address());
    let settled = || {
        let open = descriptors(server);
        let sockets = |open: &Open| {
            let each = open.iter().flat_map(|(pid, open)| open.iter().map(move |fd| (*pid, fd)));
            let sockets = each.filter(|(_, (_, link))| link.starts_with("socket:"));
            sockets.map(|(pid, (fd, _))| (pid, *fd)).collect::<Vec<_>>()
        };
        let is_quiet = sockets(&open).iter().all(|socket| listeners.contains(socket));
        // A child that is about to end has closed all that it had, and is still there.
        let is_whole = open.values().all(|open| !open.is_empty());
        (is_quiet && is_whole).then_some(open)
    };
    match evidence::wait_until(5 * SECOND, settled) {
        Some(open) => open,
        None => panic!("{:#?}\n{}", descriptors(server), server.stderr()),
    }
}

/// The share of a core that they take, while `during` lasts.
pub(crate) fn cpu_share(server: &Server, during: Duration) -> f64 {
    let family = family(server);
    let cpu = || family.iter().filter_map(|pid| evidence::cpu_time(*pid)).sum::<Duration>();
    let (begun, before) = (Instant::now(), cpu());
    evidence::wait_until(during, || None::<()>);
    cpu().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// The resident memory of them all.
fn memory(server: &Server) -> u64 {
    family(server).into_iter().filter_map(evidence::rss).sum()
}

/// `checks![any: one, two; serves_several: three;]`: each function with its name, and which servers
/// it is about.
macro_rules! checks {
    ($($about:ident: $($check:ident),+ $(,)?;)+) => {
        &[$($((
            stringify!($check),
            $crate::stream_servers::Kind::$about as $crate::stream_servers::About,
            $check as $crate::stream_servers::Check,
        )),+),+]
    };
}
use checks;
