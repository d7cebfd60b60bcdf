//! no-zombies: a forking server waits for every child that ends.

use netcheck::{Run, Signal, evidence, tree};

use super::children::{living, served};
use super::{Check, Exercise, Fault, Service, Subject};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "no-zombies",
    recipe: "forking-echo",
    args: &["--port", "{port}"],
    checks: &[
        Check {
            id: "one-after-another",
            statement: "45 clients, one after another, are served, and none leaves a zombie",
            run: one_after_another,
        },
        Check {
            id: "burst",
            statement: "30 clients that leave together leave no zombie",
            run: burst,
        },
        Check {
            id: "others-go-on",
            statement: "while one client stays, another may leave, and the next is served",
            run: others_go_on,
        },
        Check {
            id: "killed",
            statement: "45 children that are killed are reaped, and the next client is served",
            run: killed,
        },
        Check {
            id: "inherited",
            statement: "a child that the server has not started may end: the server goes on",
            run: inherited,
        },
    ],
};

/// More than the server serves at once: those that have gone must not count.
const MANY: usize = 45;

/// How many leave together.
const TOGETHER: usize = 30;

/// What shows a zombie by hand, beside the server.
const BY_HAND: &[&str] = &[
    "bash -c 'for i in $(seq 30); do echo hello > /dev/tcp/127.0.0.1/7777; done'",
    "ps -eo ppid,pid,stat,comm | grep ' Z'   # children that nobody has waited for",
];

fn one_after_another(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    for _ in 0..MANY {
        let (client, _) = served(&service, subject, 0)?;
        client.finish()?;
        no_zombie(&service, 0)?;
    }
    Ok(format!("no child of pid {} is left (/proc/*/stat)", service.pid()))
}

fn burst(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (mut stays, _) = served(&service, subject, 0)?;
    let mut crowd = Vec::new();
    for others in 1..=TOGETHER {
        crowd.push(served(&service, subject, others)?);
    }
    // The server stands still while they end: the kernel then has one SIGCHLD for all of them.
    tree::send(service.pid(), Signal::SIGSTOP);
    drop(crowd);
    let ended = service.until("each child ends when its client has gone", || {
        match living(&service).len() {
            1 => Ok(String::new()),
            count => Err((format!("{} have not", count.saturating_sub(1)), "/proc".to_owned())),
        }
    });
    tree::send(service.pid(), Signal::SIGCONT);
    ended?;
    let evidence = no_zombie(&service, 1)?;
    stays.echo(b"still here")?;
    Ok(evidence)
}

fn others_go_on(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let (_stays, _) = served(&service, subject, 0)?;
    let (leaves, _) = served(&service, subject, 1)?;
    leaves.finish()?;
    no_zombie(&service, 1)?;
    let (_next, child) = served(&service, subject, 1)?;
    Ok(format!("pid {child} serves the next client"))
}

fn killed(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    for _ in 0..MANY {
        let (_client, child) = served(&service, subject, 0)?;
        tree::send(child, Signal::SIGKILL);
        no_zombie(&service, 0)?;
    }
    served(&service, subject, 0)?;
    Ok(format!("{MANY} of {MANY} are reaped (/proc/*/stat)"))
}

fn inherited(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve_as(Run::with_inherited_child)?;
    let &[foreign] = evidence::children(service.pid()).as_slice() else {
        return Err(service.wrong("no child before the first client", "another number", "/proc"));
    };
    let own = |pid: &i32| *pid != foreign;
    tree::send(foreign, Signal::SIGKILL);
    let (leaves, _) = served(&service, subject, 0)?;
    leaves.finish()?;
    let evidence = service.until("no zombie of its own is left, and no living child", || {
        match living(&service).len() {
            0 => {
                let zombies = evidence::zombies(service.pid()).into_iter().filter(own).count();
                judge(zombies, &service)
            }
            count => Err((format!("{count} living children"), "/proc/*/stat".to_owned())),
        }
    })?;
    served(&service, subject, 0)?;
    Ok(evidence)
}

/// No zombie is left, and as many living children as there are clients.
fn no_zombie(service: &Service, clients: usize) -> Result<String, Fault> {
    let expected = format!("no zombie, and {clients} living children");
    let expected = if clients == 1 { "no zombie, and 1 living child" } else { &expected };
    let look = || match living(service).len() {
        count if count == clients => judge(evidence::zombies(service.pid()).len(), service),
        count => Err((format!("{count} living children"), "/proc/*/stat".to_owned())),
    };
    service.until(expected, look).map_err(|fault| fault.again(BY_HAND))
}

fn judge(zombies: usize, service: &Service) -> Result<String, (String, String)> {
    let evidence = format!("children of pid {} in state Z (/proc/*/stat)", service.pid());
    match zombies {
        0 => Ok(format!("no {evidence}")),
        1 => Err(("1 zombie".to_owned(), evidence)),
        _ => Err((format!("{zombies} zombies"), evidence)),
    }
}
