//! How many system calls it takes to echo a hundred messages that arrive together.

use std::io::{Read, Write};
use std::net::TcpStream;

use netcheck::{Need, Run, Scenario, ScenarioRun, Server, Stopped, need};

use crate::{ends, served};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "uring",
    summary: "100 messages at once: the system calls of epoll-echo and uring-echo",
    run,
};

const CLIENTS: usize = 100;
const ROUNDS: usize = 50;

/// How many messages there are.
#[derive(Clone, Copy)]
struct Load {
    clients: usize,
    rounds: usize,
}

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let both = need(Need::IoUring).and_then(|()| need(Need::Strace));
    if let Err(skip) = both {
        return scenario.skip("both servers under strace", &skip);
    }
    let clients = scenario.many("clients", CLIENTS, 6);
    let rounds = scenario.many("messages of each", ROUNDS, 3);
    let load = Load { clients, rounds };
    let of_epoll = calls(scenario, "epoll-echo", load)?;
    let of_uring = calls(scenario, "uring-echo", load)?;
    if scenario.keep {
        return Ok(());
    }
    let each = |calls: usize| calls as f64 / (clients * rounds) as f64;
    let (epoll, uring) = (each(of_epoll), each(of_uring));
    scenario.check(
        "calls",
        "uring-echo needs less than half the system calls",
        uring < epoll / 2.0,
        format_args!("calls per message: epoll-echo {epoll:.2}, uring-echo {uring:.2}"),
    )
}

/// How many system calls the loop of a server makes for all those messages.
fn calls(scenario: &mut ScenarioRun, name: &str, load: Load) -> Result<usize, Stopped> {
    let Load { clients: count, rounds } = load;
    let run = Run::new(name).args(["--port", "0", "-q", "--grace", "100ms"]);
    let (run, trace) =
        run.traced(&["trace=epoll_wait,?epoll_pwait,recvfrom,sendto,?io_uring_enter"]);
    let server = scenario.serve_run(run);
    let clients = (0..count).map(|_| served(server.address())).collect::<Result<_, _>>()?;
    let right = round_trips(&server, clients, rounds)?;
    let statement = format!("{name} echoes {rounds} messages to each of {count} clients");
    let evidence = format!("{right} of {} echoed", count * rounds);
    scenario.check("echoed", &statement, right == count * rounds, evidence)?;
    ends(scenario, &server)?;
    Ok(trace.calls().len())
}

/// All clients send while the server is stopped: so it finds their messages together, however slow
/// strace makes it. How many came back.
fn round_trips(
    server: &Server,
    mut clients: Vec<TcpStream>,
    rounds: usize,
) -> Result<usize, Stopped> {
    let mut right = 0;
    for _ in 0..rounds {
        server.stop();
        for client in &mut clients {
            client.write_all(b"hello")?;
        }
        server.cont();
        for client in &mut clients {
            let mut reply = [0; 5];
            client.read_exact(&mut reply)?;
            right += usize::from(reply == *b"hello");
        }
    }
    Ok(right)
}
