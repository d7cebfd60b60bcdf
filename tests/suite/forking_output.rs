//! forking-echo: what it prints, and what its children do.

use std::io::{Read, Write};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Signal, Skip, evidence, peer};

use crate::forking_echo::start;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "forking_output",
        tests![the_readiness_line_is_not_doubled_by_fork, the_prefix_is_the_pid_of_a_child,],
    )
}

const SECOND: Duration = Duration::from_secs(1);

fn the_readiness_line_is_not_doubled_by_fork() -> Result<(), Skip> {
    for args in [&[][..], &["--json"]] {
        let server = start(args);
        for _ in 0..5 {
            peer::exchange(server.address(), b"x").unwrap();
        }
        server.signal(Signal::SIGTERM);
        server.wait(10 * SECOND).expect("it ends");
        assert_eq!(server.stdout().matches("listening").count(), 1, "{}", server.stdout());
    }
    Ok(())
}

fn the_prefix_is_the_pid_of_a_child() -> Result<(), Skip> {
    let server = start(&["--show-pid"]);
    let mut client = peer::connect(server.address()).unwrap();
    let child = || evidence::children(server.pid()).first().copied();
    let child = evidence::wait_until(5 * SECOND, child).expect("a child");
    let expected = format!("{child}: one two");
    for part in ["one", " two"] {
        client.write_all(part.as_bytes()).unwrap();
    }
    let mut reply = vec![0; expected.len()];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(String::from_utf8_lossy(&reply), expected, "before the first byte, and only there");
    Ok(())
}
