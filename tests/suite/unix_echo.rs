//! `unix-echo` and `unix-client`: the path, the lock, and peers that misbehave.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{NOBODY, Need, Run, Server, Signal, Skip, evidence, need, peer};
use serde_json::Value;
use tempfile::TempDir;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "unix_echo",
        tests![
            a_half_closed_client_gets_every_byte,
            a_byte_at_a_time_comes_back,
            a_silent_client_is_closed_and_the_next_one_served,
            a_client_that_never_reads_is_closed_and_the_next_one_served,
            a_client_that_leaves_all_unread_is_one_line,
            a_connected_client_may_finish_after_sigterm,
            a_second_signal_ends_it_at_once,
            the_mode_is_that_of_the_option_whatever_the_umask_is,
            a_path_that_a_dead_server_left_is_taken,
            a_server_that_is_bound_and_does_not_listen_yet_keeps_its_path,
            of_four_that_start_at_once_one_takes_the_path,
            a_server_without_the_lock_keeps_its_path,
            what_is_no_socket_is_left_alone,
            a_path_that_is_another_servers_now_is_left_alone,
            an_abstract_name_is_in_no_file_system,
            a_name_that_does_not_fit_is_refused,
            its_json_names_the_process_that_connected,
            a_client_says_why_it_has_no_reply,
            a_message_longer_than_the_queue_comes_back,
        ],
    );
    trials.extend(topic(
        "unix_echo::as_root",
        tests![another_user_may_not_connect, another_user_than_the_allowed_one_is_refused],
    ));
    trials
}

const SOON: Duration = Duration::from_secs(10);

/// A folder with a name in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    (folder, path)
}

fn serve(path: &Path, args: &[&str]) -> Server {
    Server::start_run(Run::new("unix-echo").arg(path).args(args))
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends all, and receives until the end, at the same time.
fn exchange(path: &Path, bytes: &[u8]) -> Vec<u8> {
    let stream = connect(path);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        (&stream).read_to_end(&mut received).unwrap();
        received
    })
}

fn a_half_closed_client_gets_every_byte() -> Result<(), Skip> {
    let (_folder, path) = place();
    let _server = serve(&path, &[]);
    let bytes = peer::pattern(7, 4 << 20);
    assert!(exchange(&path, &bytes) == bytes, "4 MiB");
    assert_eq!(exchange(&path, b""), b"");
    Ok(())
}

fn a_byte_at_a_time_comes_back() -> Result<(), Skip> {
    let (_folder, path) = place();
    let _server = serve(&path, &[]);
    let mut stream = connect(&path);
    for byte in 0..=255 {
        stream.write_all(&[byte]).unwrap();
        let mut back = [0];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [byte]);
    }
    Ok(())
}

fn a_silent_client_is_closed_and_the_next_one_served() -> Result<(), Skip> {
    let (_folder, path) = place();
    let server = serve(&path, &["--idle-timeout", "200ms"]);
    let mut silent = connect(&path);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "it closed");
    assert!(server.wait_stderr(|log| log.contains("timed out after 200ms"), SOON));
    assert_eq!(exchange(&path, b"next"), b"next");
    Ok(())
}

fn a_client_that_never_reads_is_closed_and_the_next_one_served() -> Result<(), Skip> {
    let (_folder, path) = place();
    let server = serve(&path, &["--idle-timeout", "200ms"]);
    let deaf = connect(&path);
    deaf.set_nonblocking(true).unwrap();
    let block = [b'x'; 64 * 1024];
    // Until both queues are full, and the server has closed.
    let closed = || match (&deaf).write(&block) {
        Err(why) if why.kind() != std::io::ErrorKind::WouldBlock => Some(()),
        _ => None,
    };
    evidence::wait_until(SOON, closed).expect("it closes");
    assert!(server.wait_stderr(|log| log.contains("send timed out after 200ms"), SOON));
    assert_eq!(exchange(&path, b"next"), b"next");
    Ok(())
}

fn a_client_that_leaves_all_unread_is_one_line() -> Result<(), Skip> {
    let (_folder, path) = place();
    let server = serve(&path, &[]);
    let mut stream = connect(&path);
    stream.write_all(b"unread").unwrap();
    let echoed = || {
        stream.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&stream).peek(&mut [std::mem::MaybeUninit::uninit()]).ok()
    };
    evidence::wait_until(SOON, echoed).expect("the reply is there");
    drop(stream);
    assert_eq!(exchange(&path, b"next"), b"next");
    let lines = || server.stderr().matches(" closed: ").count();
    evidence::wait_until(SOON, || (lines() == 2).then_some(())).expect("a line for each");
    assert!(server.stderr().contains("ECONNRESET"), "{}", server.stderr());
    Ok(())
}

fn a_connected_client_may_finish_after_sigterm() -> Result<(), Skip> {
    let (_folder, path) = place();
    let server = serve(&path, &["--grace", "30s"]);
    let mut stream = connect(&path);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    server.signal(Signal::SIGTERM);
    let refused = || UnixStream::connect(&path).err();
    evidence::wait_until(SOON, refused).expect("nobody else may connect");
    stream.write_all(b"b").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    drop(stream);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    assert!(!path.exists());
    Ok(())
}

fn a_second_signal_ends_it_at_once() -> Result<(), Skip> {
    let (_folder, path) = place();
    let server = serve(&path, &["--grace", "60s"]);
    let mut stream = connect(&path);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    server.signal(Signal::SIGTERM);
    evidence::wait_until(SOON, || UnixStream::connect(&path).err()).expect("it stops");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    assert!(server.stderr().contains("second SIGTERM or SIGINT"), "{}", server.stderr());
    Ok(())
}

fn the_mode_is_that_of_the_option_whatever_the_umask_is() -> Result<(), Skip> {
    for umask in ["000", "077"] {
        for (args, mode) in [("", 0o600), ("--mode 666", 0o666), ("--mode 0", 0)] {
            let (_folder, path) = place();
            let script = r#"umask "$1"; exec "$2" "$3" $4"#;
            let run = Run::script(script).arg(umask).arg(netcheck::bin("unix-echo"));
            let _server = Server::start_run(run.arg(&path).arg(args));
            let is = fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(is, mode, "umask {umask}, {args}: {is:o}");
        }
    }
    Ok(())
}

/// A path whose server was killed.
fn stale(path: &Path) {
    let server = serve(path, &["-q"]);
    server.signal(Signal::SIGKILL);
    server.wait(SOON).unwrap();
    assert!(path.exists());
}

fn a_path_that_a_dead_server_left_is_taken() -> Result<(), Skip> {
    let (_folder, path) = place();
    stale(&path);
    let _server = serve(&path, &[]);
    assert_eq!(exchange(&path, b"again"), b"again");
    Ok(())
}

fn a_server_that_is_bound_and_does_not_listen_yet_keeps_its_path() -> Result<(), Skip> {
    need(Need::Strace)?;
    let (_folder, path) = place();
    // Half a second, in which a connect is refused, as it is by what a dead server left.
    let slow = ["trace=listen", "inject=listen:delay_enter=500000"];
    let (run, _trace) = Run::new("unix-echo").arg(&path).traced(&slow);
    let mut first = run.start();
    evidence::wait_until(SOON, || path.exists().then_some(())).expect("it binds");
    fails(&path, "Address already in use (EADDRINUSE)");
    assert!(first.next_line(SOON).is_some(), "{}", first.stderr());
    assert_eq!(exchange(&path, b"first"), b"first");
    Ok(())
}

fn of_four_that_start_at_once_one_takes_the_path() -> Result<(), Skip> {
    let (_folder, path) = place();
    for _ in 0..3 {
        stale(&path);
        let start = |_| Run::new("unix-echo").arg(&path).arg("-q").start();
        let starts: Vec<_> = (0..4).map(start).collect();
        let running = || starts.iter().filter(|one| one.still_running()).count();
        evidence::wait_until(SOON, || (running() == 1).then_some(())).expect("three give up");
        assert_eq!(exchange(&path, b"one"), b"one");
        assert_eq!(running(), 1);
    }
    Ok(())
}

fn fails(path: &Path, said: &str) {
    let finished = Run::new("unix-echo").arg(path).finish();
    let error = format!("unix-echo: bind unix:{}: {said}", path.display());
    assert_eq!(finished.code(), Some(71), "{finished:?}");
    assert!(finished.stderr_text().starts_with(&error), "{error:?}? {finished:?}");
}

fn a_server_without_the_lock_keeps_its_path() -> Result<(), Skip> {
    let (_folder, path) = place();
    let foreign = UnixListener::bind(&path).unwrap();
    fails(&path, "Address already in use (EADDRINUSE)\nhint: `ss -xlp`");
    assert!(UnixStream::connect(&path).is_ok() && foreign.accept().is_ok());
    Ok(())
}

fn what_is_no_socket_is_left_alone() -> Result<(), Skip> {
    let (folder, path) = place();
    fs::write(&path, "text").unwrap();
    fails(&path, "Socket operation on non-socket (ENOTSOCK)");
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    fails(&link, "Socket operation on non-socket (ENOTSOCK)");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fails(&inner, "Socket operation on non-socket (ENOTSOCK)");
    // The lock is not written through a link either.
    let other = folder.path().join("other.sock");
    symlink(&path, folder.path().join("other.sock.lock")).unwrap();
    let finished = Run::new("unix-echo").arg(&other).finish();
    assert!(finished.stderr_text().contains("(ELOOP)"), "{finished:?}");
    Ok(())
}

fn a_path_that_is_another_servers_now_is_left_alone() -> Result<(), Skip> {
    let (_folder, path) = place();
    let server = serve(&path, &[]);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    let inode = fs::symlink_metadata(&path).unwrap().ino();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode);
    Ok(())
}

fn an_abstract_name_is_in_no_file_system() -> Result<(), Skip> {
    let (folder, _) = place();
    let name = format!("@unix-echo-{}", std::process::id());
    let run = || Run::new("unix-echo").arg(&name).folder(folder.path());
    let server = Server::start_run(run());
    let client = Run::new("unix-client").args([&name, "hello"]).finish();
    assert_eq!(client.code(), Some(0), "{client:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let second = run().finish();
    assert_eq!(second.code(), Some(71), "{second:?}");
    server.signal(Signal::SIGKILL);
    server.wait(SOON).unwrap();
    // It ends with its socket: nothing is left to remove.
    let server = Server::start_run(run());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    Ok(())
}

fn a_name_that_does_not_fit_is_refused() -> Result<(), Skip> {
    for (name, said) in [
        (format!("/{}", "x".repeat(107)), "longer than 107 bytes"),
        ("@".to_owned(), "write a path, or @ and an abstract name"),
    ] {
        for program in ["unix-echo", "unix-client"] {
            let finished = Run::new(program).arg(&name).finish();
            assert_eq!(finished.code(), Some(2), "{finished:?}");
            assert!(finished.stderr_text().contains(said), "{finished:?}");
        }
    }
    Ok(())
}

fn its_json_names_the_process_that_connected() -> Result<(), Skip> {
    let (_folder, path) = place();
    let mut server = serve(&path, &["--json"]);
    let ready: Value = serde_json::from_str(server.readiness()).unwrap();
    assert_eq!(ready["name"], format!("unix:{}", path.display()));
    assert_eq!(exchange(&path, b"hello"), b"hello");
    for kind in ["opened", "closed"] {
        let line: Value = serde_json::from_str(&server.next_line(SOON).unwrap()).unwrap();
        assert_eq!((&line["type"], &line["pid"]), (&kind.into(), &std::process::id().into()));
    }
    Ok(())
}

fn a_client_says_why_it_has_no_reply() -> Result<(), Skip> {
    let (_folder, path) = place();
    let ask = || Run::new("unix-client").arg(&path).args(["hello", "--timeout", "300ms"]).finish();
    let says = |code: i32, said: &str| {
        let finished = ask();
        assert_eq!(finished.code(), Some(code), "{finished:?}");
        let said = said.replace("NAME", &format!("unix:{}", path.display()));
        assert!(finished.stderr_text().starts_with(&said), "{said:?}? {finished:?}");
    };
    says(69, "unix-client: connect to NAME: No such file or directory (ENOENT)");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    says(69, "unix-client: connect to NAME: Connection refused (ECONNREFUSED)");
    // The first client stays in the queue, which has one place; the second waits for room.
    socket.listen(0).unwrap();
    says(75, "unix-client: echo from NAME: timed out after 300ms");
    says(75, "unix-client: connect to NAME: timed out after 300ms");
    fs::remove_file(&path).unwrap();

    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for answer in [b"HELLO".as_slice(), b"hel"] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(answer).unwrap();
        }
    });
    says(65, "unix-client: NAME: 5 bytes came back changed");
    says(69, "unix-client: echo from NAME: the server closed the connection before");
    Ok(())
}

fn a_message_longer_than_the_queue_comes_back() -> Result<(), Skip> {
    let (_folder, path) = place();
    let _server = serve(&path, &["-q"]);
    let long = "x".repeat(128 * 1024 - 1);
    let finished = Run::new("unix-client").arg(&path).args([&long, &long]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert_eq!(finished.stdout_text().matches("echoed 131071 bytes").count(), 2);
    Ok(())
}

/// A folder that everybody may enter.
fn open_place() -> (TempDir, PathBuf) {
    let folder = netcheck::open_folder().unwrap();
    let path = folder.path().join("x.sock");
    (folder, path)
}

fn another_user_may_not_connect() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    let (_folder, path) = open_place();
    let _server = serve(&path, &[]);
    let finished = Run::new("unix-client").arg(&path).uid(NOBODY).finish();
    assert_eq!(finished.code(), Some(77), "{finished:?}");
    Ok(())
}

fn another_user_than_the_allowed_one_is_refused() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    let (_folder, path) = open_place();
    let server = serve(&path, &["--mode", "666", "--allow-uid", "0"]);
    let finished = Run::new("unix-client").arg(&path).uid(NOBODY).finish();
    assert_eq!(finished.code(), Some(69), "{finished:?}");
    let refused = format!("uid {NOBODY}, pid ");
    assert!(server.wait_stderr(|log| log.contains(&refused) && log.contains(" refused: "), SOON));
    let finished = Run::new("unix-client").arg(&path).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    Ok(())
}
