//! `wait-port`: when it says that a target is open, and why it says that one is not.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::peer::{SilentListener, refused_port};
use netcheck::{Finished, Need, Run, Signal, Skip, bin, evidence, need};
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::try_it::shell;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "wait_port",
        tests![
            a_listener_is_open_before_anybody_accepts,
            a_target_that_is_refused_is_69_with_its_reason,
            a_target_that_does_not_answer_is_75_and_is_tried_again,
            the_worst_of_several_targets_decides,
            a_connection_that_does_not_last_is_not_open_for_stay,
            a_server_that_speaks_first_stays_open,
            a_unix_socket_is_waited_for,
            every_address_of_a_name_is_tried,
            a_name_that_does_not_exist_yet_is_asked_for_again,
            a_resolver_that_hangs_holds_up_neither_the_end_nor_the_others,
            a_socket_that_is_connected_to_itself_is_no_service,
            two_hundred_targets_take_one_thread_and_little_time,
            a_command_runs_when_all_targets_are_open,
            a_command_gets_no_descriptor_and_the_signals_as_they_were,
            a_listener_that_ends_is_gone,
            a_name_is_gone_when_nobody_listens_on_any_of_its_addresses,
            a_target_that_means_nothing_is_refused,
            a_closed_or_full_output_ends_it,
        ],
    )
}

const SOON: Duration = Duration::from_secs(10);

fn wait_port(args: &[&str]) -> Run {
    Run::new("wait-port").args(args)
}

fn ended(finished: &Finished, code: i32, said: &str) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert!(finished.stderr_text().starts_with(said), "{said:?}? {finished:?}");
}

/// A server that does this with each connection.
fn server(with_each: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(with_each));
    address
}

fn a_listener_is_open_before_anybody_accepts() -> Result<(), Skip> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut process = wait_port(&[&address.to_string(), "--interval", "20ms", "--json"]).start();
    let tried = || (evidence::context_switches(process.pid())? > 5).then_some(());
    evidence::wait_until(SOON, tried).expect("it tries");
    // Bound, and not listening: refused.
    assert!(process.still_running(), "{}", process.stderr());
    socket.listen(8).unwrap();
    let line = process.next_line(SOON).expect("it is open");
    let open: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&open["type"], &open["before"]), (&"open".into(), &"ECONNREFUSED".into()));
    assert!(open["tries"].as_u64() > Some(1), "{open}");
    assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(0));
    Ok(())
}

fn a_target_that_is_refused_is_69_with_its_reason() -> Result<(), Skip> {
    let nobody = refused_port();
    let target = nobody.address().to_string();
    let finished = wait_port(&[&target, "--timeout", "300ms"]).finish();
    let said = format!("wait-port: wait for {target}: Connection refused (ECONNREFUSED)\nhint: ");
    ended(&finished, 69, &said);
    assert!(finished.stdout.is_empty(), "{finished:?}");
    assert!(finished.elapsed >= Duration::from_millis(300), "{finished:?}");
    Ok(())
}

fn a_target_that_does_not_answer_is_75_and_is_tried_again() -> Result<(), Skip> {
    need(Need::Strace)?;
    let listener = SilentListener::start();
    let target = listener.address().to_string();
    let run = wait_port(&[&target, "--timeout", "1500ms"]);
    let (run, trace) = run.traced(&["trace=socket,connect"]);
    let finished = run.finish();
    let said = format!("wait-port: wait for {target}: timed out after 1500ms\n");
    ended(&finished, 75, &said);
    let calls = trace.calls();
    let tries = calls.iter().filter(|call| call.name == "connect").count();
    assert_eq!(tries, 2, "one a second: {calls:?}");
    Ok(())
}

fn the_worst_of_several_targets_decides() -> Result<(), Skip> {
    let (open, nobody, silent) = (server(drop), refused_port(), SilentListener::start());
    let targets = [open, nobody.address(), silent.address()].map(|address| address.to_string());
    let finished = Run::new("wait-port").args(&targets).args(["--timeout", "300ms"]).finish();
    ended(&finished, 75, "wait-port: wait for ");
    assert!(finished.stdout_text().starts_with(&format!("{open}  open after ")), "{finished:?}");
    assert_eq!(finished.stdout_text().lines().count(), 1, "{finished:?}");
    for target in &targets[1..] {
        assert!(finished.stderr_text().contains(&format!("wait for {target}: ")), "{finished:?}");
    }
    Ok(())
}

fn a_connection_that_does_not_last_is_not_open_for_stay() -> Result<(), Skip> {
    let fin = server(drop);
    let rst = server(|stream| {
        // The client is to see a connection first.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    for (server, why) in
        [(fin, "the peer closed the connection"), (rst, "Connection reset by peer (ECONNRESET)")]
    {
        let target = server.to_string();
        let finished = wait_port(&[&target, "--stay", "400ms", "--timeout", "900ms"]).finish();
        assert_eq!(finished.code(), Some(69), "{finished:?}");
        assert!(finished.stdout.is_empty(), "{finished:?}");
        let said = finished.stderr_text();
        // The reset may be there before the connection was looked at.
        let early =
            format!("wait-port: wait for {target}: Connection reset by peer (ECONNRESET)\n");
        let said_late = format!("wait-port: wait for {target}: {why} in less than 400.0 ms\n");
        assert!(said == said_late || (server == rst && said == early), "{said}");
    }
    Ok(())
}

fn a_server_that_speaks_first_stays_open() -> Result<(), Skip> {
    let server = server(|mut stream| {
        use std::io::{Read, Write};
        stream.write_all(b"220 ready\r\n").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let process = wait_port(&[&server.to_string(), "--stay", "1s"]).start();
    let pid = process.pid();
    let connected = || evidence::descriptors(pid).values().any(|to| to.starts_with("socket:"));
    evidence::wait_until(SOON, || connected().then_some(())).expect("it connects");
    let before = evidence::context_switches(pid).unwrap_or_default();
    assert_eq!(process.wait(Duration::from_millis(500)), None, "{}", process.stdout());
    // What it does not read does not wake it again and again.
    let more = evidence::context_switches(pid).unwrap_or_default() - before;
    assert!(more < 50, "woken {more} times");
    assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(0));
    Ok(())
}

fn a_unix_socket_is_waited_for() -> Result<(), Skip> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let target = format!("unix:{}", path.display());
    let absent = wait_port(&[&target, "--timeout", "200ms"]).finish();
    ended(&absent, 69, &format!("wait-port: wait for {target}: No such file"));
    let listener = UnixListener::bind(&path).unwrap();
    ended(&wait_port(&[&target, "--stay", "100ms"]).finish(), 0, "");
    drop(listener);
    let dead = wait_port(&[&target, "--timeout", "200ms"]).finish();
    ended(&dead, 69, &format!("wait-port: wait for {target}: Connection refused"));
    Ok(())
}

fn every_address_of_a_name_is_tried() -> Result<(), Skip> {
    // localhost may be ::1 first.
    let server = server(drop);
    let finished = wait_port(&[&format!("localhost:{}", server.port())]).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    Ok(())
}

fn a_name_that_does_not_exist_yet_is_asked_for_again() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let folder = tempfile::tempdir().unwrap();
    // A hosts file that may be changed takes the place of the other. Port 53 is open.
    let script = r#"cp /etc/hosts "$2/hosts"
        mount --bind "$2/hosts" /etc/hosts
        "$1" new.test:53 --interval 20ms --json &
        until [ "$(sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$!/status")" -gt 5 ]; do :; done
        echo '127.0.0.1 new.test' >> /etc/hosts
        wait "$!""#;
    let run = Run::script(script).arg(bin("wait-port")).arg(folder.path()).inside("tests/etc");
    let finished = run.finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let open: Value = serde_json::from_str(&finished.stdout_text()).unwrap();
    assert_eq!(open["before"], "no address", "{open}");
    Ok(())
}

fn a_resolver_that_hangs_holds_up_neither_the_end_nor_the_others() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    let targets = ["silent.test:80", "localhost:53", "no-such.test:80"];
    let finished = wait_port(&targets).args(["--timeout", "500ms"]).inside("tests/etc").finish();
    assert!(finished.stdout_text().starts_with("localhost:53  open after "), "{finished:?}");
    let said = "wait-port: wait for silent.test:80: timed out after 500ms\n\
                wait-port: resolve no-such.test: no such host (EAI_NONAME)\n";
    assert_eq!((finished.code(), finished.stderr_text().as_str()), (Some(75), said));
    // The resolver would give up after ten.
    assert!(finished.elapsed < Duration::from_secs(5), "{finished:?}");
    Ok(())
}

fn a_socket_that_is_connected_to_itself_is_no_service() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    // One port for all clients: that which they connect to.
    let script = r#"echo '40000 40001' > /proc/sys/net/ipv4/ip_local_port_range
        exec "$1" 127.0.0.1:40000 --interval 1ms --timeout 500ms --json"#;
    let finished = Run::script(script).arg(bin("wait-port")).inside("tests/etc").finish();
    assert_eq!(finished.code(), Some(69), "{finished:?}");
    assert!(!finished.stdout_text().contains(r#""type":"open""#), "{finished:?}");
    Ok(())
}

fn two_hundred_targets_take_one_thread_and_little_time() -> Result<(), Skip> {
    let nobody = refused_port();
    let targets = vec![nobody.address().to_string(); 200];
    let process = Run::new("wait-port").args(&targets).args(["--timeout", "none"]).start();
    let pid = process.pid();
    assert_eq!(process.wait(Duration::from_secs(2)), None, "{}", process.stderr());
    assert_eq!(evidence::threads(pid), [pid]);
    let used = evidence::cpu_time(pid).unwrap();
    assert!(used < Duration::from_millis(500), "{used:?} of 2 s");
    // None of the sockets that were refused is left.
    let open = evidence::descriptors(pid).into_values();
    let sockets = open.filter(|target| target.starts_with("socket:")).count();
    assert!(sockets <= targets.len(), "{sockets}");
    Ok(())
}

fn a_command_runs_when_all_targets_are_open() -> Result<(), Skip> {
    let target = server(drop).to_string();
    let echo = ["--", "sh", "-c", "echo \"$0 $1\"; exit 7", "--timeout", "no time"];
    let finished = wait_port(&[&target]).args(echo).finish();
    ended(&finished, 7, &format!("wait-port: {target}  open after "));
    // Standard output is the command's, and so are all words behind it.
    assert_eq!(finished.stdout_text(), "--timeout no time\n", "{finished:?}");

    let nobody = refused_port();
    let absent = nobody.address().to_string();
    let args = [&target, &absent, "--timeout", "200ms", "--", "echo", "ran"];
    let finished = wait_port(&args).finish();
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(69), ""), "{finished:?}");
    let finished = wait_port(&[&target, "--", "/no/such/program"]).finish();
    assert_eq!(finished.code(), Some(71), "{finished:?}");
    let said = "wait-port: execve /no/such/program: No such file or directory (ENOENT)\n";
    assert!(finished.stderr_text().ends_with(said), "{finished:?}");
    Ok(())
}

fn a_command_gets_no_descriptor_and_the_signals_as_they_were() -> Result<(), Skip> {
    let target = server(drop).to_string();
    let process = wait_port(&[&target, "--", "sleep", "60"]).start();
    let comm = format!("/proc/{}/comm", process.pid());
    let is_it = || std::fs::read_to_string(&comm).is_ok_and(|comm| comm == "sleep\n");
    evidence::wait_until(SOON, || is_it().then_some(())).expect("it becomes sleep");
    // The loader of the command opens its libraries, and closes them again.
    let open = || evidence::descriptors(process.pid());
    let three = || open().into_keys().eq(0..3).then_some(());
    assert!(evidence::wait_until(SOON, three).is_some(), "{:?}", open());
    let masks = evidence::signal_masks(process.pid()).expect("its signals");
    for signal in [Signal::SIGXFSZ, Signal::SIGPIPE] {
        assert!(!masks.ignored.contains(signal) && !masks.blocked.contains(signal), "{signal}");
    }
    Ok(())
}

fn a_listener_that_ends_is_gone() -> Result<(), Skip> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let args = [&target, "--gone", "--interval", "20ms"];
    let late = wait_port(&args).args(["--timeout", "200ms"]).finish();
    let said = format!("wait-port: wait until {target} is gone: timed out after 200ms\n");
    ended(&late, 75, &said);
    let mut process = wait_port(&args).arg("--json").start();
    let tried = || (evidence::context_switches(process.pid())? > 5).then_some(());
    evidence::wait_until(SOON, tried).expect("it tries");
    assert!(process.still_running());
    drop(listener);
    let line = process.next_line(SOON).expect("it is gone");
    let gone: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&gone["type"], &gone["before"]), (&"gone".into(), &"open".into()));
    assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(0));

    let folder = tempfile::tempdir().unwrap();
    let absent = format!("unix:{}", folder.path().join("x.sock").display());
    ended(&wait_port(&["--gone", &absent]).finish(), 0, "");
    // No answer does not say that nobody listens.
    let silent = SilentListener::start();
    let silent = silent.address().to_string();
    let finished = wait_port(&["--gone", &silent, "--timeout", "300ms"]).finish();
    ended(&finished, 75, &format!("wait-port: wait for {silent}: timed out after 300ms\n"));
    Ok(())
}

fn a_name_is_gone_when_nobody_listens_on_any_of_its_addresses() -> Result<(), Skip> {
    need(Need::OwnNames)?;
    // The name server listens on 127.0.0.1 and not on ::1; nobody listens on port 9.
    let wait = |target: &str| {
        let args = ["--gone", target, "--timeout", "500ms", "--interval", "10ms"];
        wait_port(&args).inside("tests/etc").finish()
    };
    ended(&wait("localhost:9"), 0, "");
    let finished = wait("localhost:53");
    ended(&finished, 75, "wait-port: wait until localhost:53 is gone: timed out after 500ms\n");
    Ok(())
}

fn a_target_that_means_nothing_is_refused() -> Result<(), Skip> {
    for (args, said) in [
        (&[][..], "wait-port: TARGET: required\n"),
        (&["localhost"], "wait-port: target localhost: write host:port, [::1]:port or unix:path\n"),
        (&["localhost:65536"], "wait-port: target localhost:65536: a port is at most 65535\n"),
        (&["::1:80"], "wait-port: target ::1:80: write host:port, [::1]:port or unix:path\n"),
        (&["0177.0.0.1:80"], "wait-port: target 0177.0.0.1:80: not four decimal numbers"),
        (
            &["localhost:80", "--gone", "--stay", "1s"],
            "wait-port: --gone and --stay: one of them\n",
        ),
        (&["--", "true"], "wait-port: TARGET: required\n"),
        (&["localhost:80", "--interval", "0"], "wait-port: --interval 0: 0 would take a whole"),
    ] {
        ended(&wait_port(args).finish(), 2, said);
    }
    Ok(())
}

fn a_closed_or_full_output_ends_it() -> Result<(), Skip> {
    let target = server(drop).to_string();
    let full = shell(&format!("wait-port {target} > /dev/full")).finish();
    assert_eq!((full.code(), full.stderr_text().lines().count()), (Some(74), 1), "{full:?}");
    let gone = shell(&format!("wait-port {target} 2>&1 | head -n 0")).finish();
    assert!(gone.code() == Some(0) && gone.stderr.is_empty(), "{gone:?}");
    Ok(())
}
