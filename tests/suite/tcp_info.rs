//! `tcp-info`: the numbers of a connection of its own, and of another process.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, NOBODY, Need, Process, Run, Server, Skip, evidence, need, peer};
use serde_json::Value;
use socket2::SockRef;

use crate::try_it::has;
use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "tcp_info",
        tests![
            one_sample_is_taken_as_soon_as_it_is_connected,
            samples_end_with_the_count_or_with_the_connection,
            a_peer_that_resets_is_69,
            a_peer_that_does_not_receive_limits_it,
            the_columns_are_those_that_are_asked_for,
            options_that_do_not_go_together_are_refused,
            it_agrees_with_ss,
            a_process_that_closes_is_not_held_up,
            a_process_with_several_connections_takes_a_descriptor,
            what_is_no_connection_of_tcp_is_refused,
        ],
    );
    trials.extend(topic("tcp_info::as_root", tests![another_users_process_is_not_watched]));
    trials
}

const SOON: Duration = Duration::from_secs(10);

fn tcp_info(args: &[&str]) -> Run {
    Run::new("tcp-info").args(args)
}

/// It, with a connection to a listener.
fn to(listener: &TcpListener, args: &[&str]) -> Run {
    let port = listener.local_addr().unwrap().port().to_string();
    tcp_info(&["--host", "127.0.0.1", "--port", &port]).args(args)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn samples(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ended(finished: &Finished, code: i32, said: &str) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert!(finished.stderr_text().starts_with(said), "{said:?}? {finished:?}");
}

/// Waits for its next sample.
fn next(process: &mut Process) -> Value {
    let line = process.next_line(SOON);
    serde_json::from_str(&line.unwrap_or_else(|| panic!("{}", process.stderr()))).unwrap()
}

fn one_sample_is_taken_as_soon_as_it_is_connected() -> Result<(), Skip> {
    let finished = to(&listener(), &["--json"]).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let [sample] = &samples(&finished.stdout_text())[..] else { panic!("{finished:?}") };
    assert_eq!(sample["state"], "ESTABLISHED");
    for key in ["rtt_ns", "rto_ns", "cwnd", "mss"] {
        assert!(sample[key].as_u64() > Some(0), "{key} of {sample}");
    }
    Ok(())
}

fn samples_end_with_the_count_or_with_the_connection() -> Result<(), Skip> {
    let finished = to(&listener(), &["--json", "--interval", "10ms", "--count", "3"]).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let three = samples(&finished.stdout_text());
    let limits: Vec<_> = three.iter().map(|sample| sample["limited_by"].as_str()).collect();
    assert_eq!(limits, [None, Some("program"), Some("program")]);

    let listener = listener();
    let mut process = to(&listener, &["--json", "--interval", "10ms"]).start();
    let (peer, _) = listener.accept().unwrap();
    next(&mut process);
    drop(peer);
    assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(0));
    let last = samples(&process.stdout()).pop().unwrap();
    assert_eq!(last["state"], "CLOSE_WAIT", "{last}");
    Ok(())
}

fn a_peer_that_resets_is_69() -> Result<(), Skip> {
    let listener = listener();
    let mut process = to(&listener, &["--json", "--interval", "10ms", "--bulk"]).start();
    let (peer, _) = listener.accept().unwrap();
    next(&mut process);
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(69));
    // The kernel keeps the account of a connection that has ended.
    let said = process.stdout();
    let last = said.lines().rfind(|line| line.contains(r#""type":"sample""#));
    assert!(last.is_some_and(|line| line.contains(r#""state":"CLOSE""#)), "{said}");
    Ok(())
}

fn a_peer_that_does_not_receive_limits_it() -> Result<(), Skip> {
    let listener = listener();
    let mut process = to(&listener, &["--json", "--interval", "50ms", "--bulk"]).start();
    let (mut peer, _) = listener.accept().unwrap();
    let mut samples = (0..200).map(|_| next(&mut process));
    let sample = samples.find(|sample| sample["limited_by"] == "receiver");
    let sample = sample.expect("its window is closed");
    assert!(sample["notsent"].as_u64() > Some(0), "{sample}");
    // It goes on where it had stopped.
    let more = peer.read(&mut [0; 65_536]).unwrap();
    assert!(more > 0 && process.still_running());
    Ok(())
}

fn the_columns_are_those_that_are_asked_for() -> Result<(), Skip> {
    let finished = to(&listener(), &["--fields", "mss,minrtt"]).finish();
    let said = finished.stdout_text();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = said.lines().map(words).collect();
    let [head, row] = &lines[..] else { panic!("{finished:?}") };
    assert_eq!(head.join(" "), "state mss minrtt limited by");
    let [state, mss, minrtt, unit, limited] = &row[..] else { panic!("{row:?}") };
    assert_eq!((state.as_str(), limited.as_str()), ("ESTABLISHED", "-"));
    assert!(mss.parse::<u64>().is_ok() && minrtt.parse::<f64>().is_ok() && unit == "ms", "{row:?}");
    ended(
        &tcp_info(&["--fields", "rtt,speed"]).finish(),
        2,
        "tcp-info: --fields rtt,speed: the fields are ",
    );
    Ok(())
}

fn options_that_do_not_go_together_are_refused() -> Result<(), Skip> {
    for (args, said) in [
        (&[][..], "tcp-info: --port and --pid: one of them\n"),
        (&["--port", "1", "--pid", "1"], "tcp-info: --port and --pid: one of them\n"),
        (&["--port", "1", "--fd", "3"], "tcp-info: --fd: goes with --pid\n"),
        (&["--pid", "1", "--bulk"], "tcp-info: --bulk: goes with --port\n"),
    ] {
        ended(&tcp_info(args).finish(), 2, said);
    }
    Ok(())
}

/// A client that is connected to an echo server and says nothing, and the server.
fn quiet() -> Result<(Process, Server), Skip> {
    // A process may look into another one of its user.
    need(Need::Attach)?;
    let server = Server::start("echo-server", ["--port", "0", "-q"]);
    let port = server.address().port().to_string();
    let client = Run::new("echo-client").args(["--host", "127.0.0.1", "--port", &port, "--stdin"]);
    let mut client = client.hold_stdin().start();
    client.write_stdin(b"hello\n").unwrap();
    let echoed = || client.stdout().contains("hello").then_some(());
    evidence::wait_until(SOON, echoed).expect("it is echoed");
    Ok((client, server))
}

fn it_agrees_with_ss() -> Result<(), Skip> {
    has("ss")?;
    let (client, _server) = quiet()?;
    let pid = client.pid().to_string();
    // Between two samples that are equal the kernel has changed nothing.
    let agree = || {
        let sample = || {
            let finished = tcp_info(&["--pid", &pid, "--json"]).finish();
            assert_eq!(finished.code(), Some(0), "{finished:?}");
            samples(&finished.stdout_text()).remove(0)
        };
        let before = sample();
        let said = Run::program("ss").args(["-Htnpi"]).finish().stdout_text();
        let after = sample();
        let own = said.split_once(&format!("pid={pid},"))?.1.lines().nth(1)?.to_owned();
        let keys =
            ["cwnd", "mss", "rcvmss", "advmss", "pmtu", "segs_out", "segs_in", "bytes_acked"];
        let shown = |key: &str| {
            own.split_whitespace()
                .find_map(|word| word.strip_prefix(&format!("{key}:")).map(str::to_owned))
        };
        let same = |key: &&str| before[*key] == after[*key];
        keys.iter().all(same).then(|| {
            for key in keys {
                assert_eq!(shown(key), Some(before[key].to_string()), "{key}: {own}");
            }
            let rtt = before["rtt_ns"].as_u64().unwrap() as f64 / 1e6;
            assert!(shown("rtt").unwrap().starts_with(&rtt.to_string()), "{rtt}: {own}");
        })
    };
    evidence::wait_until(SOON, agree).expect("two samples are equal");
    Ok(())
}

fn a_process_that_closes_is_not_held_up() -> Result<(), Skip> {
    let (client, server) = quiet()?;
    let pid = server.pid().to_string();
    let mut watch = tcp_info(&["--pid", &pid, "--interval", "10ms", "--json"]).start();
    assert_eq!(next(&mut watch)["state"], "ESTABLISHED");
    drop(client);
    assert_eq!(watch.wait(SOON).and_then(|status| status.code()), Some(0), "{}", watch.stderr());
    let said = watch.stderr();
    assert!(said.starts_with(&format!("tcp-info: pid {pid} has closed descriptor ")), "{said}");
    // And one that ends.
    let mut watch = tcp_info(&["--pid", &pid, "--interval", "10ms", "--json"]).start();
    assert_eq!(next(&mut watch)["state"], "LISTEN");
    drop(server);
    assert_eq!(watch.wait(SOON).and_then(|status| status.code()), Some(0), "{}", watch.stderr());
    let said = watch.stderr();
    assert_eq!(said, format!("tcp-info: pid {pid} has ended\n"));
    Ok(())
}

fn a_process_with_several_connections_takes_a_descriptor() -> Result<(), Skip> {
    need(Need::Attach)?;
    let server = Server::start("poll-echo", ["--port", "0", "-q"]);
    let clients: Vec<TcpStream> =
        (0..2).map(|_| scenarios::served(server.address()).unwrap()).collect();
    let pid = server.pid().to_string();
    let finished = tcp_info(&["--pid", &pid]).finish();
    ended(&finished, 2, &format!("tcp-info: pid {pid} has several connections: --fd ["));
    let fd = finished.stderr_text().split(['[', ',']).nth(1).unwrap().to_owned();
    let finished = tcp_info(&["--pid", &pid, "--fd", &fd]).finish();
    ended(&finished, 0, "");
    assert!(finished.stdout_text().contains("ESTABLISHED"), "{finished:?}");
    drop(clients);
    Ok(())
}

fn what_is_no_connection_of_tcp_is_refused() -> Result<(), Skip> {
    need(Need::Attach)?;
    let sleep = Run::program("sleep").arg("60").start();
    let pid = sleep.pid().to_string();
    ended(
        &tcp_info(&["--pid", &pid]).finish(),
        1,
        &format!("tcp-info: pid {pid} has no socket of TCP\n"),
    );
    let said = format!("tcp-info: pidfd_getfd 99 of pid {pid}: Bad file number (EBADF)\n");
    ended(&tcp_info(&["--pid", &pid, "--fd", "99"]).finish(), 71, &said);
    let said = "tcp-info: getsockopt TCP_INFO of 0: Socket operation on non-socket (ENOTSOCK)\n";
    ended(&tcp_info(&["--pid", &pid, "--fd", "0"]).finish(), 71, said);
    drop(sleep);
    let said = format!("tcp-info: pidfd_open {pid}: No such process (ESRCH)\n");
    ended(&tcp_info(&["--pid", &pid]).finish(), 71, &said);
    let udp = Server::start("udp-echo", ["--port", "0", "-q"]);
    let pid = udp.pid().to_string();
    ended(
        &tcp_info(&["--pid", &pid]).finish(),
        1,
        &format!("tcp-info: pid {pid} has no socket of TCP\n"),
    );
    Ok(())
}

fn another_users_process_is_not_watched() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    let server = Server::start("echo-server", ["--port", "0", "-q"]);
    let _client = peer::connect(server.address()).unwrap();
    let pid = server.pid().to_string();
    let finished = tcp_info(&["--pid", &pid, "--fd", "3"]).uid(NOBODY).finish();
    let said = format!(
        "tcp-info: pidfd_getfd 3 of pid {pid}: Operation not permitted (EPERM)\nhint: it takes the rights"
    );
    ended(&finished, 77, &said);
    Ok(())
}
