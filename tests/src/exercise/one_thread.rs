//! one-thread: a server serves all clients in one thread, and waits for none of them alone.

use netcheck::evidence;

use super::client::stuck;
use super::{Check, Client, Exercise, Fault, Service, Subject, idle};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "one-thread",
    recipe: "poll-echo",
    args: &["--port", "{port}"],
    checks: &[
        Check {
            id: "others-go-on",
            statement: "while one client does not read what it gets, all others are served",
            run: others_go_on,
        },
        Check {
            id: "slow-reader",
            statement: "when that client reads at last, it gets every byte",
            run: slow_reader,
        },
        Check {
            id: "fin-behind",
            statement: "it gets every byte, and then the end, when it has sent FIN before it reads",
            run: fin_behind,
        },
        Check {
            id: "asleep",
            statement: "while nobody sends, and one does not read, the server takes no processor time",
            run: asleep,
        },
    ],
};

/// How many clients are connected beside the one that each check is about.
const CROWD: usize = 10;

/// What shows by hand what becomes of the others.
const BY_HAND: &[&str] = &[
    "(head -c 100M /dev/zero; sleep 60) | ncat 127.0.0.1 7777 | sleep 60 &   # sends, and does not read",
    "ncat 127.0.0.1 7777   # type a line: does it come back?",
];

fn others_go_on(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut crowd = crowd(&service, subject)?;
    let (_stuck, sent) = stuck(&service, subject)?;
    let mut new = service.connect()?;
    let all = crowd.iter_mut().chain([&mut new]).enumerate();
    let served = all.map(|(number, client)| client.echo(&subject.line(number)));
    served.collect::<Result<(), _>>().map_err(|fault| fault.again(BY_HAND))?;
    Ok(format!("{} clients, beside one with {} bytes on their way", CROWD + 1, sent.len()))
}

fn slow_reader(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let _crowd = crowd(&service, subject)?;
    let (mut client, sent) = stuck(&service, subject)?;
    client.receive(&sent)?;
    client.echo(&subject.line(1))?;
    Ok(format!("{} bytes were on their way when the client began to read", sent.len()))
}

fn fin_behind(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let _crowd = crowd(&service, subject)?;
    let (mut client, sent) = stuck(&service, subject)?;
    client.fin();
    client.receive(&sent)?;
    client.receive_end("after the last byte the end of the stream")?;
    Ok(format!("{} bytes, then recv returns 0", sent.len()))
}

fn asleep(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let _crowd = crowd(&service, subject)?;
    let (_stuck, _) = stuck(&service, subject)?;
    service.until(idle::EXPECTED, || idle::look(service.pid()))
}

/// Clients that are served, each with its own bytes, without a thread or a process for each.
fn crowd<'a>(service: &'a Service, subject: &Subject) -> Result<Vec<Client<'a>>, Fault> {
    /// What an interpreter may start for itself.
    const FEW: usize = CROWD / 2;
    let before = threads(service);
    let mut clients = (0..CROWD).map(|_| service.connect()).collect::<Result<Vec<_>, _>>()?;
    // The last one first: no client waits for one that came before it.
    for (number, client) in clients.iter_mut().enumerate().rev() {
        client.echo(&subject.line(number))?;
    }
    let more = threads(service).saturating_sub(before);
    if more <= FEW {
        return Ok(clients);
    }
    let expected = format!("{CROWD} clients take no thread or process each");
    Err(service.wrong(&expected, format!("{more} more threads, of all processes"), "/proc/*/task"))
}

/// The threads of the server and of all processes that it has started.
fn threads(service: &Service) -> usize {
    let tree = std::iter::once(service.pid()).chain(evidence::descendants(service.pid()));
    tree.map(|pid| evidence::threads(pid).len()).sum()
}
