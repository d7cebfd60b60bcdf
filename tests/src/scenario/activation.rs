//! One listener, one server after the other, and no client that is refused.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use netcheck::{Run, Scenario, ScenarioRun, Server, Signal, Stopped, evidence, peer};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario =
    Scenario { name: "activation", summary: "a listener that outlives its servers", run };

const SOON: Duration = Duration::from_secs(10);

/// How often the server is replaced while clients come without a pause, and how many come at least.
const RESTARTS: usize = 20;
const CLIENTS: usize = 1000;

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let launcher = scenario.serve("activated-echo", ["--port", "0", "--idle-exit", "none", "-q"]);
    let owners = evidence::listener_owners(launcher.address());
    let holds = owners.len() == 1 && evidence::children(launcher.pid()).is_empty();
    let evidence = format!("one listener, of pid {}, which has no child", launcher.pid());
    scenario.check("held", "the kernel listens, and no server runs", holds, evidence)?;

    let mut sockets = BTreeSet::new();
    let mut pids = Vec::new();
    for _ in 0..3 {
        let client = served(launcher.address())?;
        let pid = server_of(&launcher)?;
        let open = evidence::descriptors(pid);
        sockets.extend(open.get(&3).cloned());
        pids.push(pid);
        let kill = ["-KILL", &pid.to_string()].map(str::to_owned);
        scenario.run(Run::program("kill").args(kill));
        drop(client);
    }
    let own: BTreeSet<String> = owners
        .iter()
        .filter_map(|(pid, fd)| evidence::descriptors(*pid).get(fd).cloned())
        .collect();
    let [one, two, three] = pids[..] else { return Err(Stopped::Broken(format!("{pids:?}"))) };
    let holds = sockets == own && one != two && two != three;
    let socket = sockets.first().cloned().unwrap_or_default();
    let evidence = format!("{socket} is descriptor 3 of pids {one}, {two} and {three}");
    let statement = "three servers, each killed, have had the same listener";
    scenario.check("same", statement, holds, evidence)?;

    restarts(scenario, &launcher)?;
    ends(scenario, &launcher)
}

/// Clients without a pause, while each server makes place for the next.
fn restarts(scenario: &mut ScenarioRun, launcher: &Server) -> Result<(), Stopped> {
    let over = AtomicBool::new(false);
    let address = launcher.address();
    let (clients, refused) = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (mut clients, mut refused) = (0, Vec::new());
            while clients < CLIENTS || !over.load(Ordering::Relaxed) {
                clients += 1;
                match peer::exchange(address, b"hello") {
                    Ok(reply) if reply == b"hello" => {}
                    Ok(reply) => refused.push(format!("{} bytes", reply.len())),
                    Err(why) => refused.push(why.to_string()),
                }
            }
            (clients, refused)
        });
        for _ in 0..RESTARTS {
            let before = evidence::children(launcher.pid());
            launcher.signal(Signal::SIGHUP);
            let replaced = || {
                let now = evidence::children(launcher.pid());
                (now.len() == 1 && now != before).then_some(())
            };
            evidence::wait_until(SOON, replaced);
        }
        over.store(true, Ordering::Relaxed);
        clients.join().unwrap_or_else(|_| (0, vec!["the client panicked".to_owned()]))
    });
    let command = format!("kill -HUP {}  # {RESTARTS} times", launcher.pid());
    scenario.step(&command, []);
    let holds = refused.is_empty() && clients >= CLIENTS;
    let first = refused.first().map_or(String::new(), |why| format!(", the first: {why}"));
    let evidence = format!("{} of {clients} clients refused{first}", refused.len());
    let statement = "the server is replaced under load, and every client is served";
    scenario.check("restarts", statement, holds, evidence)
}

fn server_of(launcher: &Server) -> Result<i32, Stopped> {
    let only = || match evidence::children(launcher.pid())[..] {
        [server] => Some(server),
        _ => None,
    };
    let found = evidence::wait_until(SOON, only);
    found.ok_or_else(|| Stopped::Broken(format!("no server: {}", launcher.stderr())))
}
