//! Two machines and a cable: bytes pass while it is plugged in, and nothing of it is left.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use netcheck::evidence::{self, wait_until};
use netcheck::{Link, Need, Run, need};

const SOON: Duration = Duration::from_secs(10);

/// `None`, with a word about it, where there can be no link.
fn link() -> Option<Link> {
    match need(Need::Link) {
        Ok(()) => Some(Link::start().expect("a link")),
        Err(skip) if netcheck::require_all() => panic!("{skip}"),
        Err(skip) => {
            eprintln!("skipped: {skip}");
            None
        }
    }
}

/// Every process that is in this network namespace.
fn in_namespace(of: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("read /proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let net = |pid: &i32| fs::read_link(format!("/proc/{pid}/ns/net"));
    pids.filter(|pid| net(pid).is_ok_and(|net| net.to_str() == Some(of))).collect()
}

#[test]
fn bytes_pass_while_the_cable_is_plugged_in() {
    let Some(link) = link() else { return };
    let listener = link.listen().expect("a listener");
    let to = listener.local_addr().expect("its address");
    assert_eq!(to.ip(), Link::FAR);
    let script = r#"exec 3<>"/dev/tcp/$0/$1"; cat <&3 & exec cat >&3"#;
    let cat =
        Run::program("bash").args(["-c", script, &to.ip().to_string(), &to.port().to_string()]);
    let near = link.near(cat.stdin("from near")).start();
    let (mut far, from) = listener.accept().expect("a connection");
    assert_eq!(from.ip(), Link::NEAR);
    let mut received = [0; 9];
    far.read_exact(&mut received).expect("what near said");
    assert_eq!(&received, b"from near");

    link.pull().expect("ip");
    far.write_all(b"while it is pulled").expect("it waits in the buffer");
    wait_until(Duration::from_millis(300), || None::<()>);
    assert_eq!(near.stdout(), "");
    link.plug().expect("ip");
    let arrived = || (near.stdout() == "while it is pulled").then_some(());
    wait_until(SOON, arrived).expect("TCP has sent it again");
}

#[test]
fn what_was_typed_is_what_was_done() {
    let Some(mut link) = link() else { return };
    link.near_ip("route add prohibit 198.51.100.1").expect("a route");
    let refused = link.near_ip("route add no such thing").expect_err("no route");
    assert!(refused.to_string().starts_with("near ip route add no such thing: "), "{refused}");
    let commands = link.commands();
    assert_eq!(commands.last().map(String::as_str), Some("near ip route add no such thing"));
    let script = format!("{}\nnear ip route show type prohibit", commands[2]);
    let shown = Run::program("sh").args(["-c", &script]).finish();
    assert!(shown.stdout_text().starts_with("prohibit 198.51.100.1"), "{shown:?}");
}

#[test]
fn nothing_of_it_is_left() {
    let Some(link) = link() else { return };
    let namespace = || Run::program("readlink").arg("/proc/self/ns/net");
    let of = |run: Run| run.finish().stdout_text().trim().to_owned();
    let (near, far) = (of(link.near(namespace())), of(link.far(namespace())));
    let own = fs::read_link("/proc/self/ns/net").expect("ours");
    assert!(near != far && own.to_str() != Some(&near) && own.to_str() != Some(&far));
    assert_eq!((in_namespace(&near).len(), in_namespace(&far).len()), (1, 1));
    let holders = [in_namespace(&near), in_namespace(&far)].concat();
    drop(link);
    let gone = || holders.iter().all(|pid| evidence::state(*pid).is_none()).then_some(());
    wait_until(SOON, gone).expect("both have ended");
}

#[test]
fn a_connection_from_the_far_end_is_refused_where_nobody_listens() {
    let Some(link) = link() else { return };
    let refused = link.connect((Link::NEAR, 7).into()).expect_err("nobody is there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
