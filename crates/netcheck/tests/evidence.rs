//! What is read from /proc is what is so.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use netcheck::Run;
use netcheck::evidence::{
    accept_queue, anonymous, children, cpu_time, cpu_time_with_children, descendants,
    descriptor_flags, descriptors, is_listening, listener_owners, pss, rss, state, wait_until,
    zombies,
};

const SOON: Duration = Duration::from_secs(10);

fn me() -> i32 {
    i32::try_from(std::process::id()).expect("a pid fits pid_t")
}

fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).expect("bind");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

#[test]
fn a_child_that_nobody_waits_for_is_a_zombie() {
    // The shell starts a child and becomes a program that never waits.
    let parent = Run::program("sh").args(["-c", "true & exec sleep 60"]).start();
    let found = wait_until(SOON, || Some(zombies(parent.pid())).filter(|found| !found.is_empty()));
    assert_eq!(found.unwrap(), children(parent.pid()));
}

#[test]
fn descendants_are_children_and_theirs() {
    let script = "sh -c 'sleep 60 & wait' & wait";
    let parent = Run::program("sh").args(["-c", script]).start();
    let both = || Some(descendants(parent.pid())).filter(|found| found.len() == 2);
    let found = wait_until(SOON, both).unwrap();
    assert_eq!(children(parent.pid()), found[..1]);
    assert_eq!(children(found[0]), found[1..]);
}

#[test]
fn a_process_may_be_named_like_the_line_that_tells_of_it() {
    let script = "printf ') R 1 (' > /proc/$$/comm; echo; sleep 60; true";
    let mut process = Run::program("sh").args(["-c", script]).start();
    process.next_line(SOON).unwrap();
    process.stop();
    assert_eq!(state(process.pid()), Some('T'));
    assert!(children(me()).contains(&process.pid()));
}

#[test]
fn a_listener_is_found_with_its_owner() {
    for any_port in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, address) = listener(any_port);
        assert!(is_listening(address));
        let own = || (listener_owners(address) == [(me(), listener.as_raw_fd())]).then_some(());
        wait_until(SOON, own).expect("this one, once no other test is between fork and exec");
        drop(listener);
        // Another test may be forking: its child has copies of all descriptors until it execs.
        wait_until(SOON, || (!is_listening(address)).then_some(())).expect("it is gone");
        assert_eq!(listener_owners(address), []);
    }
}

#[test]
fn connections_wait_in_the_queue_until_they_are_accepted() {
    for any_port in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, address) = listener(any_port);
        assert_eq!(accept_queue(address), 0);
        let _clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        assert_eq!(accept_queue(address), 3);
        listener.accept().unwrap();
        assert_eq!(accept_queue(address), 2);
    }
}

#[test]
fn a_copy_of_a_listener_is_found_too() {
    let (listener, address) = listener("127.0.0.1:0");
    let copy = listener.try_clone().unwrap();
    let mut expected = [(me(), listener.as_raw_fd()), (me(), copy.as_raw_fd())];
    expected.sort_unstable();
    let own = || (listener_owners(address) == expected).then_some(());
    wait_until(SOON, own).expect("these two, once no other test is between fork and exec");
}

#[test]
fn a_descriptor_shows_what_it_is_and_its_flags() {
    let (listener, _) = listener("127.0.0.1:0");
    listener.set_nonblocking(true).unwrap();
    let fd = listener.as_raw_fd();
    assert!(descriptors(me())[&fd].starts_with("socket:["));
    let flags = descriptor_flags(me(), fd).unwrap();
    assert_eq!(flags & (libc::O_NONBLOCK | libc::O_CLOEXEC), libc::O_NONBLOCK | libc::O_CLOEXEC);
    listener.set_nonblocking(false).unwrap();
    assert_eq!(descriptor_flags(me(), fd).unwrap() & libc::O_NONBLOCK, 0);
}

#[test]
fn a_started_process_has_its_three_streams_and_nothing_of_ours() {
    let (_ours, _) = listener("127.0.0.1:0");
    let process = Run::program("sleep").arg("60").start();
    let open = || descriptors(process.pid());
    // The loader has the library open that it maps just now.
    let three = || (open().keys().copied().collect::<Vec<_>>() == [0, 1, 2]).then_some(());
    wait_until(SOON, three).unwrap_or_else(|| panic!("{:?}", open()));
    assert_eq!(open()[&0], "/dev/null");
}

#[test]
fn a_busy_loop_takes_time_and_a_sleeper_none() {
    let busy = Run::program("sh").args(["-c", "while :; do :; done"]).start();
    let idle = Run::program("sleep").arg("60").start();
    let worked = || cpu_time(busy.pid()).filter(|&time| time >= Duration::from_millis(50));
    wait_until(SOON, worked).unwrap();
    assert!(cpu_time(idle.pid()).unwrap() < Duration::from_millis(50));
}

#[test]
fn the_time_of_a_dead_child_is_its_parents_once_it_was_waited_for() {
    // The shell itself has nothing to do but to wait.
    let work = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done";
    let mut shell =
        Run::program("sh").args(["-c", &format!("({work}); echo done; exec sleep 60")]).start();
    assert_eq!(shell.next_line(SOON).as_deref(), Some("done"));
    let (own, all) = (cpu_time(shell.pid()).unwrap(), cpu_time_with_children(shell.pid()).unwrap());
    assert!(all > 2 * own && all > Duration::from_millis(20), "{own:?} of {all:?}");
    assert_eq!(cpu_time_with_children(i32::MAX), None);
}

#[test]
fn memory_is_counted() {
    assert!(rss(me()).unwrap() > 100_000);
    assert!(pss(me()).unwrap() > 100_000);
    // The other tests of this process take and give back less.
    let before = anonymous(me()).unwrap();
    let touched = vec![1_u8; 16 << 20];
    assert!(anonymous(me()).unwrap() > before + (8 << 20), "{}", touched.len());
}

#[test]
fn of_a_process_that_is_not_there_nothing_is_said() {
    let none = i32::MAX;
    assert_eq!((state(none), cpu_time(none), rss(none)), (None, None, None));
    assert!(descriptors(none).is_empty() && children(none).is_empty());
}

#[test]
fn waiting_ends_at_its_time_and_looks_once_more() {
    let started = Instant::now();
    let mut looks = 0;
    let found = wait_until(Duration::from_millis(20), || {
        looks += 1;
        (started.elapsed() >= Duration::from_millis(20)).then_some(())
    });
    assert!(found.is_some(), "after {looks} looks");
    assert_eq!(wait_until(Duration::ZERO, || Some(1)), Some(1));
    assert_eq!(wait_until(Duration::from_millis(5), || None::<()>), None);
}
