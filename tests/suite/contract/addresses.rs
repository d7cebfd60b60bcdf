//! Hosts and ports as people type them.

use std::net::{TcpStream, UdpSocket};

use netcheck::{Finished, Need, Run, Skip, need};

use super::{Kind, Tool, Topic, ended, topics};

pub(super) const TOPICS: &[(&str, Kind, Topic)] = topics![
    Any:
        a_host_that_only_inet_aton_takes_is_refused,
        what_is_no_host_is_refused,
        a_host_that_does_not_exist_is_68,
        a_host_named_help_is_a_name;
    Server:
        a_port_to_listen_on_is_0_to_65535,
        a_server_takes_a_service_name;
    Client:
        a_port_of_the_server_is_1_to_65535,
        a_client_takes_a_service_name;
];

/// What no command line may have for a port.
const NO_PORTS: [&str; 7] = ["65536", "70000", "-1", "0x50", "080", "", "no-such-service"];

fn a_port_to_listen_on_is_0_to_65535(tool: &Tool) -> Result<(), Skip> {
    // That 0 is taken is what every other test of a server begins with.
    for port in NO_PORTS {
        tool.refuses(tool.needed(port), &["--port", port]);
    }
    Ok(())
}

fn a_port_of_the_server_is_1_to_65535(tool: &Tool) -> Result<(), Skip> {
    for port in NO_PORTS.into_iter().chain(["0"]) {
        tool.refuses(tool.needed(port), &["--port", port]);
    }
    Ok(())
}

fn a_server_takes_a_service_name(tool: &Tool) -> Result<(), Skip> {
    need(Need::Services)?;
    // Nobody may bind this address (RFC 5737), so nothing is served on port 80 for the test.
    let finished = at(tool, "http", "192.0.2.1").finish();
    let error = "bind 192.0.2.1:80: Cannot assign requested address (EADDRNOTAVAIL)";
    ended(&finished, &[71], &format!("{}: {error}\nhint: ", tool.name));
    Ok(())
}

fn a_client_takes_a_service_name(tool: &Tool) -> Result<(), Skip> {
    need(Need::Services)?;
    let in_use = |why: std::io::Error| why.kind() == std::io::ErrorKind::AddrInUse;
    // An address of this machine that hardly any server takes for itself alone.
    let host = "127.80.80.80";
    if TcpStream::connect((host, 80)).is_ok() || UdpSocket::bind((host, 80)).is_err_and(in_use) {
        return Err(Skip { reason: "needs a port 80 that nobody serves".to_owned() });
    }
    let finished = at(tool, "http", host).finish();
    let error = format!("{} {host}:80: Connection refused (ECONNREFUSED)", tool.attempt());
    ended(&finished, &[69], &format!("{}: {error}\nhint: ", tool.name));
    Ok(())
}

/// It with a port and a host.
fn at(tool: &Tool, port: &str, host: &str) -> Run {
    tool.run(tool.needed(port)).args(["--host", host])
}

fn a_host_that_only_inet_aton_takes_is_refused(tool: &Tool) -> Result<(), Skip> {
    if tool.has("--host") {
        for (host, meant) in [
            ("127.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("010.0.0.1", "8.0.0.1"),
            ("1", "0.0.0.1"),
        ] {
            let said = format!("inet_aton would read it as {meant}");
            let args = tool.needed("1");
            let args = args.iter().map(String::as_str).chain(["--host", host]);
            tool.refuses(args, &["--host", host, &said]);
        }
    }
    Ok(())
}

fn what_is_no_host_is_refused(tool: &Tool) -> Result<(), Skip> {
    if tool.has("--host") {
        for host in ["", "999.1.1.1", "1.2.3.4.5", "a b", "localhost:80", "[127.0.0.1]", "::g"] {
            let args = tool.needed("1");
            tool.refuses(
                args.iter().map(String::as_str).chain(["--host", host]),
                &["--host", host],
            );
        }
    }
    Ok(())
}

/// It with a host that a resolver is asked for, which must not take long to give up.
fn resolves(tool: &Tool, host: &str) -> Finished {
    at(tool, "1", host).env("RES_OPTIONS", "timeout:1 attempts:1").finish()
}

fn a_host_that_does_not_exist_is_68(tool: &Tool) -> Result<(), Skip> {
    if tool.has("--host") {
        // RFC 6761 §6.4 keeps it from ever existing. Without a name server nobody knows that: 75.
        let name = "no-such-host.invalid";
        ended(&resolves(tool, name), &[68, 75], &format!("{}: resolve {name}: ", tool.name));
    }
    Ok(())
}

fn a_host_named_help_is_a_name(tool: &Tool) -> Result<(), Skip> {
    if tool.has("--host") {
        let finished = resolves(tool, "help");
        ended(&finished, &[68, 75], &format!("{}: resolve help: ", tool.name));
        assert!(finished.stdout.is_empty(), "{finished:?}");
    }
    Ok(())
}
