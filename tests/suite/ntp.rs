//! What the suites of `sntp-client`, `ntp-time` and `ntp-responder` have in common.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netcheck::{Finished, Run, Server, Signal, evidence};
use serde_json::Value;

pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn responder(args: &[&str]) -> Server {
    Server::start("ntp-responder", ["--port", "0"].iter().chain(args))
}

/// How many requests a responder says that it had, now that it is stopped and its log is complete.
pub(crate) fn request_count(server: &Server) -> usize {
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    server.stderr().lines().filter(|line| line.contains(" sent a request, version ")).count()
}

/// A socket that the test answers from, or not.
pub(crate) fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What an honest server at stratum 1 answers, whose clock stands still.
pub(crate) fn right_answer(request: &[u8; 48]) -> [u8; 48] {
    let mut answer = [0; 48];
    (answer[0], answer[1], answer[3]) = (0x24, 1, 0xec);
    answer[24..32].copy_from_slice(&request[40..]);
    answer[32..].fill(0xee);
    answer
}

pub(crate) fn number(answer: &Value, key: &str) -> i64 {
    answer[key].as_i64().unwrap_or_else(|| panic!("{key} of {answer}"))
}

/// That an answer is off from so many ms by no more than its bound.
pub(crate) fn is_off_by(answer: &Value, millis: i64) {
    let error = number(answer, "offset_ns") - millis * 1_000_000;
    assert!(error.abs() <= number(answer, "bound_ns"), "{millis} ms? {answer}");
}

/// That the program failed with the code, printed nothing, and says this on standard error.
pub(crate) fn fails(program: &str, finished: &Finished, code: i32, words: &str) {
    let said = finished.stderr_text();
    assert_eq!((finished.code(), finished.stdout_text().as_str()), (Some(code), ""), "{said}");
    let named = said.starts_with(&format!("{program}: "));
    assert!(named && said.contains(words), "{words:?}?\n{said}");
}

/// Sends garbage to the client that `peer` belongs to: from the right address and port, by more threads
/// than the client has, so that there is always something to read. It ends when the client has ended, or
/// long after its deadline.
pub(crate) fn flood(
    socket: &UdpSocket,
    peer: SocketAddr,
    client: JoinHandle<Finished>,
) -> Finished {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while begun.elapsed() < SOON && !client.is_finished() {
                    // ECONNREFUSED is not for an unconnected socket; a full queue is no error.
                    let _ = socket.send_to(b"\x1b[31mgarbage", peer);
                }
            });
        }
    });
    client.join().unwrap()
}

/// That the program does not read what is queued when its deadline comes. It stands still until then,
/// and there is garbage and the right answer: a loop that looks at the clock only when it has nothing to
/// read would come to that.
pub(crate) fn reads_nothing_after_its_deadline(program: &str) {
    let (socket, address) = silent();
    let args = ["--timeout", "300ms", "--retries", "0", &address.to_string()];
    let client = Run::new(program).args(args).start();
    let mut request = [0; 48];
    let (_, peer) = socket.recv_from(&mut request).unwrap();
    client.stop();
    let over = Instant::now() + Duration::from_millis(400);
    for _ in 0..10 {
        socket.send_to(b"garbage", peer).unwrap();
    }
    evidence::wait_until(SOON, || (Instant::now() >= over).then_some(()));
    socket.send_to(&right_answer(&request), peer).unwrap();
    client.cont();
    let status = client.wait(SOON).expect("it ends");
    assert_eq!((status.code(), client.stdout().as_str()), (Some(75), ""), "{}", client.stderr());
}

/// That the program, whose answer these arguments get, survives streams that are full or closed.
pub(crate) fn survives_full_and_closed_streams(program: &str, args: &[&str]) {
    for (redirection, code) in
        [("> /dev/full", 74), (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("| head -n 0", 0)]
    {
        let finished = Run::new(program).args(args).redirected(redirection).finish();
        assert_eq!(finished.code(), Some(code), "{args:?} {redirection}: {finished:?}");
    }
}

/// That SIGINT and SIGTERM end the program while it waits for an answer.
pub(crate) fn is_ended_by_a_signal(program: &str) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (socket, address) = silent();
        let args = ["--timeout", "none", &address.to_string()];
        let client = Run::new(program).args(args).start();
        socket.recv_from(&mut [0; 48]).expect("a request");
        assert!(client.still_running());
        client.signal(signal);
        let status = client.wait(SOON).expect("it ends");
        assert_eq!(status.signal(), Some(signal as i32));
    }
}
