//! One socket for all peers: message boundaries, the source address of a reply, and silent loss.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use netcheck::peer::{self, Fate, Fates, LossyPath};
use netcheck::{Run, Scenario, ScenarioRun, Server, Stopped, evidence};

use crate::ends;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "udp",
    summary: "one socket for all peers, and what UDP does not guarantee",
    run,
};

const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let server = scenario.serve("udp-echo", ["--port", "0", "--host", "0.0.0.0"]);
    one_socket(scenario, &server)?;
    bounds(scenario, &server)?;
    answers_from_asked_address(scenario, &server)?;
    full(scenario, &server)?;
    lossy(scenario, &server)?;
    ends(scenario, &server)?;
    nobody(scenario)
}

/// A client that waits for its answer, at an address of the server.
fn client(server: &Server, host: &str) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect((host, server.address().port()))?;
    socket.set_read_timeout(Some(SOON))?;
    Ok(socket)
}

/// Under strace SIGCHLD of a server that is stopped interrupts a call with a timeout (signal(7)).
fn receive(client: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match client.recv(buffer) {
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}

fn one_socket(scenario: &mut ScenarioRun, server: &Server) -> Result<(), Stopped> {
    let count = scenario.many("clients", 20, 3);
    let clients: Vec<UdpSocket> =
        (0..count).map(|_| client(server, "127.0.0.1")).collect::<Result<_, _>>()?;
    let mut answered = 0;
    for client in &clients {
        client.send(b"hello")?;
        answered += usize::from(client.recv(&mut [0; 16])? == 5);
    }
    scenario.event("answered", &format!("{count} clients, which keep their sockets open"));
    let descriptors = evidence::descriptors(server.pid());
    let sockets = descriptors.values().filter(|link| link.starts_with("socket:")).count();
    let bound = evidence::datagram_sockets(server.address()).len();
    let evidence = format!(
        "{answered} clients, {sockets} socket in /proc/{}/fd, {bound} line in /proc/net/udp",
        server.pid()
    );
    let statement = format!("one socket serves {count} clients");
    scenario.check_eq("one", &statement, (count, 1, 1), (answered, sockets, bound), evidence)
}

fn bounds(scenario: &mut ScenarioRun, server: &Server) -> Result<(), Stopped> {
    let client = client(server, "127.0.0.1")?;
    let sizes = [5, 0, 65_507, 1];
    server.stop();
    for size in sizes {
        client.send(&peer::pattern(1, size))?;
    }
    scenario.event("sent", "four datagrams to a stopped server");
    server.cont();
    let mut buffer = vec![0; 65_536];
    let mut came = Vec::new();
    for _ in sizes {
        came.push(receive(&client, &mut buffer)?);
    }
    let evidence = format!("sent {sizes:?} bytes, received {came:?}");
    scenario.check_eq(
        "bounds",
        "four datagrams arrive as four, one of them empty",
        &sizes[..],
        &came,
        evidence,
    )
}

fn answers_from_asked_address(scenario: &mut ScenarioRun, server: &Server) -> Result<(), Stopped> {
    let port = server.address().port();
    let args = ["--host", "127.0.0.2", "--port", &port.to_string(), "hello"];
    let finished = scenario.run(Run::new("udp-client").args(args));
    let status = finished.status;
    scenario.check(
        "connected",
        "a connected client receives the reply",
        status.success(),
        status,
    )?;
    // This one is not connected, and receives from any address.
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(SOON))?;
    socket.send_to(b"hello", ("127.0.0.2", port))?;
    let (_, from) = socket.recv_from(&mut [0; 16])?;
    let evidence =
        format!("request to 127.0.0.2:{port}, reply from {from}; the socket is bound to 0.0.0.0");
    let statement = "a reply comes from the address that the request was sent to";
    scenario.check_eq("asked", statement, format!("127.0.0.2:{port}"), from.to_string(), evidence)
}

fn full(scenario: &mut ScenarioRun, server: &Server) -> Result<(), Stopped> {
    let client = client(server, "127.0.0.1")?;
    let bound = || evidence::datagram_sockets(server.address()).first().copied();
    let drops = || bound().map_or(0, |socket| socket.drops);
    let before = drops();
    server.stop();
    let (bytes, mut sent) = (peer::pattern(1, 1000), 0_u64);
    // A burst as long as it takes: queues are not equally long everywhere. No send fails.
    while drops() < before + 100 {
        client.send(&bytes)?;
        sent += 1;
    }
    let queue = bound().map_or(0, |socket| socket.queue);
    let dropped = drops() - before;
    server.cont();
    let mut came = 0;
    while came < sent - dropped {
        receive(&client, &mut [0; 1500])?;
        came += 1;
    }
    let evidence =
        format!("{sent} sent, {dropped} dropped (drops in /proc/net/udp), {came} echoed");
    let statement = "a full queue drops datagrams, and no send fails";
    scenario.check("drops", statement, came + dropped == sent && queue > 0, evidence)
}

fn lossy(scenario: &mut ScenarioRun, server: &Server) -> Result<(), Stopped> {
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    let count = scenario.many("datagrams on a path with losses", 200, 20);
    // About nine are lost, however many there are.
    let percent = 1000 / count as u64;
    let percents = [Fate::Lost, Fate::Doubled].map(|fate| (fate, percent));
    let fates = Fates { seed: 1, percent: percents.into(), until: count as u64 * 9 / 10 };
    let (count, window) = (count.to_string(), (count / 4).to_string());
    let path = LossyPath::to(to, fates.clone());
    let path_is =
        format!("a path that loses {percent} % of the replies and duplicates {percent} %");
    scenario.event("started", &path_is);
    let port = path.address().port().to_string();
    let args = ["--host", "127.0.0.1", "--port", &port, "--count", &count, "--window", &window];
    let once = ["--retries", "0", "--timeout", "1s"];
    let finished = scenario.run(Run::new("udp-client").args(args).args(once));
    let (lost, doubled) = (fates.count(Fate::Lost), fates.count(Fate::Doubled));
    let (text, code) = (finished.stdout_text(), finished.code());
    let counted = text.contains(&format!(" {lost} lost, "))
        && text.contains(&format!(" {doubled} duplicated, "));
    let evidence = format!("the path lost {lost} and duplicated {doubled}; {}", finished.status);
    scenario.check(
        "lossy",
        "the client counts the lost and the duplicated replies",
        counted && code == Some(75),
        evidence,
    )?;

    let path = LossyPath::to(to, fates);
    let port = path.address().port().to_string();
    let args = ["--host", "127.0.0.1", "--port", &port, "--count", &count, "--window", &window];
    let retries = ["--retries", "5", "--backoff", "50ms"];
    let finished = scenario.run(Run::new("udp-client").args(args).args(retries));
    let status = finished.status;
    scenario.check("retries", "with retries every reply arrives", status.success(), status)
}

fn nobody(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let nobody = peer::refused_datagrams();
    let port = nobody.address().port().to_string();
    let args = ["--host", "127.0.0.1", "--port", &port, "hello"];
    let refused = scenario.run(Run::new("udp-client").args(args));
    let statement = "where no socket is bound, a connected socket gets ECONNREFUSED";
    let said = refused.stderr_text();
    let holds = refused.code() == Some(69) && said.contains("ECONNREFUSED");
    scenario.check("refused", statement, holds, said.lines().next().unwrap_or_default())
}
