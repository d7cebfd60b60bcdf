use std::net::TcpListener;

use proptest::prelude::*;

use super::*;

#[test]
fn a_line_of_the_table_is_read() {
    // As a machine writes it whose byte order is little.
    let line = "   0: 0100007F:205A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                65534        0 31337 1 0000000000000000 100 0 0 10 0";
    let local = "127.0.0.1:8282".parse().unwrap();
    let expected = Row { local, state: LISTEN, uid: 65_534, inode: 31_337 };
    if cfg!(target_endian = "little") {
        assert_eq!(row(line), Some(expected));
        let mapped = ip("0000000000000000FFFF00000100007F").unwrap();
        assert_eq!(mapped, "::ffff:127.0.0.1".parse::<IpAddr>().unwrap());
    }
    assert_eq!(row("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when"), None);
}

#[test]
fn a_listener_is_held_by_this_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap();
    let held = format!("{local} is held by a listener of pid {} (", std::process::id());
    for at in [local, SocketAddr::from((Ipv4Addr::UNSPECIFIED, local.port()))] {
        let lines = holders(at);
        assert!(lines.len() == 1 && lines.concat().starts_with(&held), "{lines:?}");
    }
    let other = holders(SocketAddr::from(([127, 0, 0, 2], local.port())));
    assert!(other.concat().contains("has nothing at 127.0.0.2"), "{other:?}");
}

proptest! {
    #[test]
    fn no_line_panics(line: String, fields in proptest::collection::vec("[0-9A-F:é]{0,33}", 0..12)) {
        let _ = (row(&line), row(&fields.join(" ")));
    }
}
