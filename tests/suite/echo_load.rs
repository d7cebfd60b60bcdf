//! echo-load: what it measures of servers whose speed is known.

mod crowd;
mod datagrams;
mod others;
mod wrong;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Finished, Run, Server, Signal, Skip, evidence, peer};
use serde_json::Value;

use crate::{in_time, tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "echo_load",
        tests![
            the_percentiles_are_those_of_the_server,
            a_stall_is_seen_with_a_rate_and_not_without,
            a_rate_is_kept_and_what_is_left_over_is_counted,
            what_a_slow_server_owes_at_the_end_is_counted,
            churn_is_a_connection_for_each_message,
            the_servers_log_has_as_many_connections,
            a_reply_of_one_byte_at_a_time_is_one_message,
            messages_larger_than_every_buffer_come_back,
            bulk_through_small_buffers_is_verified,
            a_signal_ends_it_with_what_was_measured,
            options_that_contradict_are_refused,
        ],
    );
    trials.extend(others::trials());
    trials.extend(wrong::trials());
    trials.extend(crowd::trials());
    trials.extend(datagrams::trials());
    trials
}

/// A server with a thread for each connection, which is told the number of it, from 1 on.
fn server(serve: impl Fn(u64, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (stream, number) in listener.incoming().zip(1..) {
            let (serve, Ok(stream)) = (Arc::clone(&serve), stream) else { return };
            let _ = stream.set_nodelay(true);
            thread::spawn(move || serve(number, stream));
        }
    });
    address
}

/// Echoes until the client ends, each piece after `before` was called with what is in front of it.
fn echo(mut stream: TcpStream, mut before: impl FnMut(usize)) {
    let (mut buffer, mut echoed) = ([0; 65_536], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        before(echoed);
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
        echoed += count;
    }
}

fn pause(duration: Duration) {
    evidence::wait_until(duration, || None::<()>);
}

/// echo-load with `--json`, and these arguments.
fn load(address: SocketAddr, args: &[&str]) -> Run {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    Run::new("echo-load").args(["--json", "--host", &host, "--port", &port]).args(args)
}

/// The figures of a run that ended well.
fn measured(address: SocketAddr, args: &[&str]) -> Value {
    let finished = load(address, args).finish();
    assert_eq!(finished.code(), Some(0), "{args:?}: {}", finished.stderr_text());
    let figures = figures(&finished);
    assert_eq!(figures["complete"], true, "{figures}");
    assert_eq!(figures["errors"], 0, "{figures}");
    figures
}

/// What a run has measured; an error may follow it.
fn figures(finished: &Finished) -> Value {
    let text = finished.stdout_text();
    let mut objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let measured = objects.rfind(|object| object["type"] == "load");
    measured.unwrap_or_else(|| panic!("no figures: {text}"))
}

fn number(figures: &Value, key: &str) -> u64 {
    figures[key].as_u64().unwrap_or_else(|| panic!("no {key} in {figures}"))
}

/// A latency of the figures.
fn latency(figures: &Value, key: &str) -> Duration {
    Duration::from_nanos(number(figures, key))
}

const MS: Duration = Duration::from_millis(1);

fn the_percentiles_are_those_of_the_server() -> Result<(), Skip> {
    // One message in ten takes 60 ms, the others 4 ms.
    let address = server(|_, stream| {
        echo(stream, |echoed| pause(if echoed / 64 % 10 == 9 { 60 * MS } else { 4 * MS }));
    });
    let figures = measured(address, &["--duration", "1500ms"]);
    let [min, p50, p90, p99, p999, max] =
        ["min_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"]
            .map(|key| latency(&figures, key));
    assert!(min >= 4 * MS && p50 >= min && p50 < 60 * MS, "{figures}");
    assert!(p99 >= 60 * MS && max >= p99, "{figures}");
    assert!(p50 <= p90 && p90 <= p99 && p99 <= p999 && p999 <= max, "{figures}");
    // A round trip after the other: together they took the whole time.
    let (trips, took) = (number(&figures, "round_trips"), latency(&figures, "duration_ns"));
    assert!(took >= 1500 * MS && trips > 1, "{figures}");
    assert!(u32::try_from(trips).unwrap() * 4 * MS <= took, "{figures}");
    assert_eq!(number(&figures, "bytes"), trips * 64, "{figures}");
    Ok(())
}

/// A server that stands still for 400 ms, once, 100 ms after the second message: the first is not measured.
fn stalling() -> SocketAddr {
    server(|_, stream| {
        let (mut begun, mut stalled) = (None, false);
        echo(stream, |echoed| {
            let measured = echoed >= 64;
            if measured && !stalled && begun.get_or_insert_with(Instant::now).elapsed() > 100 * MS {
                stalled = true;
                pause(400 * MS);
            }
        });
    })
}

fn a_stall_is_seen_with_a_rate_and_not_without() -> Result<(), Skip> {
    let closed = measured(stalling(), &["--duration", "1s"]);
    assert!(latency(&closed, "max_ns") >= 400 * MS, "{closed}");
    assert!(latency(&closed, "p90_ns") < 100 * MS, "{closed}");
    let open = measured(stalling(), &["--duration", "1s", "--rate", "1000"]);
    // Of 1000 messages 400 were due in that time, one every millisecond.
    assert!(latency(&open, "p90_ns") >= 200 * MS, "{open}");
    assert!(latency(&open, "sent_p90_ns") < 100 * MS, "{open}");
    assert!(latency(&open, "sent_max_ns") >= 400 * MS, "{open}");
    Ok(())
}

fn a_rate_is_kept_and_what_is_left_over_is_counted() -> Result<(), Skip> {
    let address = server(|_, stream| echo(stream, |_| ()));
    for kind in [&["--connections", "4"][..], &["--churn", "--connections", "4"]] {
        let args = [&["--duration", "500ms", "--rate", "200"], kind].concat();
        in_time(|| {
            let figures = measured(address, &args);
            let (done, unsent) = (number(&figures, "round_trips"), number(&figures, "unsent"));
            assert_eq!((done + unsent, number(&figures, "rate")), (100, 200), "{figures}");
            assert!(latency(&figures, "duration_ns") >= 500 * MS, "{figures}");
            // It waits for the clock in the kernel.
            assert!(latency(&figures, "cpu_ns") < 400 * MS, "{figures}");
            done >= 50
        });
    }
    Ok(())
}

fn what_a_slow_server_owes_at_the_end_is_counted() -> Result<(), Skip> {
    // Ten a second are served, of 100 that are due.
    let address = server(|_, stream| echo(stream, |_| pause(100 * MS)));
    let figures = measured(address, &["--duration", "1s", "--rate", "100"]);
    let (done, unsent) = (number(&figures, "round_trips"), number(&figures, "unsent"));
    assert!(done + unsent == 100 && (1..=11).contains(&done), "{figures}");
    // Half of the messages were due in the first half of the second, and were not sent in it.
    assert!(latency(&figures, "p50_ns") >= 300 * MS, "{figures}");
    assert!(latency(&figures, "max_ns") >= 700 * MS, "{figures}");
    Ok(())
}

fn churn_is_a_connection_for_each_message() -> Result<(), Skip> {
    let accepted = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&accepted);
    let address = server(move |number, stream| {
        counted.fetch_max(number, Ordering::SeqCst);
        echo(stream, |_| ());
    });
    for in_flight in ["1", "8"] {
        let before = accepted.load(Ordering::SeqCst);
        let args = ["--churn", "--duration", "1s", "--connections", in_flight];
        // With 32 descriptors: what is done is closed.
        let finished = load(address, &args).limit_nofile(32).finish();
        assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
        let figures = figures(&finished);
        // The first one, before the clock is started, finds out whether it echoes.
        let opened = number(&figures, "opened");
        assert_eq!(number(&figures, "round_trips"), opened - 1, "{figures}");
        assert!(opened > 32, "too few to tell: {figures}");
        assert_eq!(accepted.load(Ordering::SeqCst) - before, opened, "{figures}");
    }
    Ok(())
}

fn the_servers_log_has_as_many_connections() -> Result<(), Skip> {
    let server = Server::start("forking-echo", ["--port", "0"]);
    let mut opened = 0;
    for args in [&["--connections", "10"][..], &["--churn"], &["--bulk", "--connections", "2"]] {
        let args = [args, &["--duration", "200ms"]].concat();
        opened += number(&measured(server.address(), &args), "opened");
    }
    let lines = |log: &str, word| u64::try_from(log.matches(word).count()).unwrap();
    let all = |log: &str| [" opened", " closed: "].iter().all(|word| lines(log, word) == opened);
    let logged = server.wait_stderr(all, Duration::from_secs(10));
    assert!(logged, "{opened} opened:\n{}", server.stderr());
    assert!(!server.stderr().contains("ECONNRESET"), "{}", server.stderr());
    Ok(())
}

fn a_reply_of_one_byte_at_a_time_is_one_message() -> Result<(), Skip> {
    let address = server(|_, mut stream| {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let sent = buffer[..count].chunks(1).try_for_each(|byte| stream.write_all(byte));
            if sent.is_err() {
                return;
            }
        }
    });
    for kind in [&["--connections", "3"][..], &["--churn"]] {
        let figures = measured(address, &[kind, &["--duration", "200ms"]].concat());
        let trips = number(&figures, "round_trips");
        assert!(trips > 0 && number(&figures, "bytes") == trips * 64, "{figures}");
    }
    Ok(())
}

fn messages_larger_than_every_buffer_come_back() -> Result<(), Skip> {
    let server = Server::start("forking-echo", ["--port", "0"]);
    let args = ["--size", "20000001", "--connections", "2", "--duration", "100ms"];
    let figures = measured(server.address(), &args);
    let trips = number(&figures, "round_trips");
    assert!(trips >= 2 && number(&figures, "bytes") == trips * 20_000_001, "{figures}");
    Ok(())
}

fn bulk_through_small_buffers_is_verified() -> Result<(), Skip> {
    let address = server(|_, stream| {
        let socket = socket2::SockRef::from(&stream);
        // Less than a segment of the loopback device, which is 64 KiB, would trickle for minutes.
        socket.set_recv_buffer_size(40_000).unwrap();
        socket.set_send_buffer_size(40_000).unwrap();
        echo(stream, |_| ());
    });
    let figures = measured(address, &["--bulk", "--connections", "2", "--duration", "300ms"]);
    assert!(number(&figures, "bytes_per_second") > 0, "{figures}");
    assert!(figures["p50_ns"].is_null(), "nothing was timed: {figures}");
    Ok(())
}

fn a_signal_ends_it_with_what_was_measured() -> Result<(), Skip> {
    let echoed = Arc::new(AtomicU64::new(0));
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        echoed.store(0, Ordering::SeqCst);
        let counted = Arc::clone(&echoed);
        let address = server(move |_, stream| {
            echo(stream, |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            });
        });
        let run = load(address, &["--duration", "none"]).start();
        let under_way = || (echoed.load(Ordering::SeqCst) > 100).then_some(());
        evidence::wait_until(Duration::from_secs(10), under_way).expect("it loads");
        run.signal(signal);
        let status = run.wait(Duration::from_secs(10)).expect("it ends");
        let ended = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(ended, Some(signal as i32), "{}", run.stderr());
        let figures: Value = serde_json::from_str(run.stdout().trim()).unwrap();
        assert_eq!(figures["complete"], false, "{figures}");
        assert!(number(&figures, "round_trips") > 10, "{figures}");
        assert!(latency(&figures, "duration_ns") > latency(&figures, "max_ns"), "{figures}");
    }
    Ok(())
}

fn options_that_contradict_are_refused() -> Result<(), Skip> {
    let nobody = peer::refused_port();
    for (args, words) in [
        (&["--churn", "--bulk"][..], "--churn, --bulk, --idle, --udp: one of them"),
        (&["--udp", "--idle"], "--churn, --bulk, --idle, --udp: one of them"),
        (&["--udp", "--size", "7"], "--size 7: with --udp from 8 to 65507"),
        (&["--udp", "--rate", "5"], "--rate 5: --udp sends when a reply comes"),
        (&["--bulk", "--rate", "5"], "--rate 5: --bulk sends no messages"),
        (&["--rate", "2000000"], "--rate 2000000: write a whole number from 1 to 1000000"),
        (&["--connections", "0"], "--connections 0: write a whole number from 1"),
        (&["--duration", "0"], "--duration 0: "),
    ] {
        let finished = load(nobody.address(), args).finish();
        assert_eq!(finished.code(), Some(2), "{args:?}: {finished:?}");
        assert!(finished.stderr_text().contains(words), "{}", finished.stderr_text());
    }
    Ok(())
}
