//! first-fork: a server forks a process for each client, and each of the two closes what it does not need.

use netcheck::evidence;

use super::children::{living, served};
use super::{Check, Exercise, Fault, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "first-fork",
    recipe: "forking-echo",
    args: &["--port", "{port}"],
    checks: &[
        Check {
            id: "at-once",
            statement: "three clients at once are served, each by a child of its own",
            run: at_once,
        },
        Check {
            id: "parent-closes",
            statement: "a client that has sent FIN receives the end of the stream",
            run: parent_closes,
        },
        Check {
            id: "child-closes",
            statement: "while a child serves, only the parent has the listener open",
            run: child_closes,
        },
        Check {
            id: "child-ends",
            statement: "when its client has gone, a child ends",
            run: child_ends,
        },
        Check {
            id: "fork-fails",
            statement: "a fork that fails with EAGAIN costs one client, and not the server",
            run: fork_fails,
        },
    ],
};

fn at_once(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut clients = Vec::new();
    for others in 0..3 {
        clients.push(served(&service, subject, others)?);
    }
    let mut children = Vec::new();
    for (number, (client, child)) in clients.iter_mut().enumerate() {
        client.echo(&subject.line(number))?;
        children.push(child.to_string());
    }
    Ok(format!("pids {} (/proc/*/stat)", children.join(", ")))
}

fn parent_closes(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (client, _) = served(&service, subject, 0)?;
    let by_hand =
        ["cat < /dev/tcp/127.0.0.1/7777 &", "ss -tnp 'sport = :7777'   # one process a connection"];
    client.finish().map_err(|fault| fault.again(&by_hand))?;
    Ok("recv returns 0".to_owned())
}

fn child_closes(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (_client, _) = served(&service, subject, 0)?;
    let expected = format!("pid {} alone has the listener open", service.pid());
    let by_hand =
        ["cat < /dev/tcp/127.0.0.1/7777 &", "ss -ltnp 'sport = :7777'   # the parent only"];
    let look = || {
        let owners = evidence::listener_owners(service.address());
        let mut owners: Vec<_> = owners.into_iter().map(|(pid, _)| pid).collect();
        owners.dedup();
        let shown: Vec<_> = owners.iter().map(|pid| format!("pid {pid}")).collect();
        let shown = shown.join(" and ");
        match owners.as_slice() {
            &[only] if only == service.pid() => Ok(format!("{shown} (/proc/*/fd)")),
            _ => Err((shown, "/proc/*/fd".to_owned())),
        }
    };
    service.until(&expected, look).map_err(|fault| fault.again(&by_hand))
}

fn child_ends(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (client, child) = served(&service, subject, 0)?;
    drop(client);
    service.until("no child is left", || match living(&service).as_slice() {
        [] => Ok(format!("pid {child} has ended")),
        left => Err((format!("pid {child} runs"), format!("{left:?} of /proc/*/stat"))),
    })
}

fn fork_fails(subject: &Subject) -> Result<String, Fault> {
    let inject = ["trace=clone,?fork", "inject=clone,?fork:error=EAGAIN:when=1"];
    let (service, trace) = subject.serve_traced(&inject)?;
    // What becomes of the first client is not asked.
    let _ = service.connect()?.echo(&subject.line(1));
    let failed = || {
        let calls = trace.calls();
        let failed = calls.iter().find(|call| call.result.contains("(INJECTED)"));
        failed.map(|call| format!("{}: {}", call.name, call.result))
    };
    let evidence = service.until("the server forks for its first client", || {
        failed().ok_or(("it does not".to_owned(), "strace".to_owned()))
    })?;
    served(&service, subject, 0)?;
    Ok(format!("{evidence}; the next client was served"))
}
