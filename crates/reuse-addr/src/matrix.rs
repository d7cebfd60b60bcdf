//! Every rule about a second socket on an address, tried on this machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::Json;

/// Options of a socket before its bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opt {
    Plain,
    ReuseAddr,
    ReusePort,
    OnlyV6,
}

const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ALL: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// Tries each rule, and says whether this machine keeps it.
pub(crate) fn show(json: bool, out: &mut Output) -> Result<(), Error> {
    let mut differences = 0;
    for (what, documented, try_it) in rules() {
        let mut got = outcome(try_it());
        // Between two binds another program may have been given the port: try again, on another one.
        for _ in 0..2 {
            if got != documented {
                got = outcome(try_it());
            }
        }
        let holds = got == documented;
        differences += u32::from(!holds);
        if json {
            let json = Json::new("rule").text("what", what).text("documented", documented);
            out.line(json.text("got", &got).flag("holds", holds))?;
        } else {
            let verdict = if holds {
                "as documented".to_owned()
            } else {
                format!("documented: {documented}")
            };
            out.line(format_args!("{what:<54} {got:<11} {verdict}"))?;
        }
    }
    match differences {
        0 => Ok(()),
        n => Err(Error::No(format!("{n} rules differ here from what is documented"))),
    }
}

fn outcome(tried: nix::Result<()>) -> String {
    tried.map_or_else(|why| format!("{why:?}"), |()| "allowed".to_owned())
}

/// What is tried, what is documented to come of it, and how to try it.
type Rule = (&'static str, &'static str, fn() -> nix::Result<()>);

fn rules() -> Vec<Rule> {
    const NO: &str = "EADDRINUSE";
    const YES: &str = "allowed";
    use Opt::{OnlyV6, Plain, ReuseAddr, ReusePort};
    let mut rules: Vec<Rule> = vec![
        ("two listeners on one address", NO, || listeners(ONE, Plain, ONE, Plain)),
        ("  with SO_REUSEADDR on both", NO, || listeners(ONE, ReuseAddr, ONE, ReuseAddr)),
        ("  with SO_REUSEPORT on both", YES, || listeners(ONE, ReusePort, ONE, ReusePort)),
        ("  with SO_REUSEPORT on the second only", NO, || listeners(ONE, Plain, ONE, ReusePort)),
        ("a listener on 0.0.0.0, one on 127.0.0.1", NO, || listeners(ALL, Plain, ONE, Plain)),
        ("  with SO_REUSEADDR on both", NO, || listeners(ALL, ReuseAddr, ONE, ReuseAddr)),
        ("  with SO_REUSEPORT on both", YES, || listeners(ALL, ReusePort, ONE, ReusePort)),
        ("a listener on 127.0.0.1, one on 127.0.0.2", YES, || listeners(ONE, Plain, TWO, Plain)),
        ("bound twice, not listening, SO_REUSEADDR on both", YES, || bound(false)),
        ("  and then both listen", NO, || bound(true)),
        ("a connection in TIME_WAIT", NO, || after(Plain, Plain, false)),
        ("  with SO_REUSEADDR on the old socket only", NO, || after(ReuseAddr, Plain, false)),
        ("  with SO_REUSEADDR on the new socket only", NO, || after(Plain, ReuseAddr, false)),
        ("  with SO_REUSEADDR on both", YES, || after(ReuseAddr, ReuseAddr, false)),
        ("a live connection whose listener is gone", NO, || after(Plain, Plain, true)),
        ("  with SO_REUSEADDR on both", YES, || after(ReuseAddr, ReuseAddr, true)),
        ("two UDP sockets on one address", NO, || datagrams(Plain)),
        ("  with SO_REUSEADDR on both", YES, || datagrams(ReuseAddr)),
        ("  and the second takes the datagrams", YES, || takeover()),
    ];
    // Without IPv6 there is nothing to try.
    if Socket::new(Domain::IPV6, Type::STREAM, None).is_ok() {
        rules.push(("a listener on ::, then one on 0.0.0.0", NO, || dual(Plain)));
        rules.push(("  with IPV6_V6ONLY on the first", YES, || dual(OnlyV6)));
    }
    rules
}

/// A socket with an option, bound.
fn socket(kind: Type, address: SocketAddr, option: Opt) -> nix::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None).map_err(of)?;
    match option {
        Opt::Plain => Ok(()),
        Opt::ReuseAddr => socket.set_reuse_address(true),
        Opt::ReusePort => socket.set_reuse_port(true),
        Opt::OnlyV6 => socket.set_only_v6(true),
    }
    .map_err(of)?;
    if address.is_ipv6() && option != Opt::OnlyV6 {
        socket.set_only_v6(false).map_err(of)?;
    }
    socket.bind(&address.into()).map_err(of)?;
    Ok(socket)
}

fn of(why: std::io::Error) -> Errno {
    Errno::from_raw(why.raw_os_error().unwrap_or(Errno::EIO as i32))
}

fn port(socket: &Socket) -> nix::Result<u16> {
    let local = socket.local_addr().map_err(of)?;
    local.as_socket().map(|local| local.port()).ok_or(Errno::EAFNOSUPPORT)
}

fn listener(address: SocketAddr, option: Opt) -> nix::Result<Socket> {
    let socket = socket(Type::STREAM, address, option)?;
    socket.listen(1).map_err(of)?;
    Ok(socket)
}

/// A listener, and a second one on the same port.
fn listeners(first: Ipv4Addr, its: Opt, second: Ipv4Addr, others: Opt) -> nix::Result<()> {
    let first = listener((first, 0).into(), its)?;
    listener((second, port(&first)?).into(), others).map(drop)
}

fn bound(then_listen: bool) -> nix::Result<()> {
    let first = socket(Type::STREAM, (ONE, 0).into(), Opt::ReuseAddr)?;
    let second = socket(Type::STREAM, (ONE, port(&first)?).into(), Opt::ReuseAddr)?;
    if then_listen {
        first.listen(1).map_err(of)?;
        second.listen(1).map_err(of)?;
    }
    Ok(())
}

/// A new listener after an old one is gone, which left a connection behind: one that its server
/// closed first, and so in TIME_WAIT, or one that lives.
fn after(old: Opt, new: Opt, lives: bool) -> nix::Result<()> {
    let listening = listener((ONE, 0).into(), old)?;
    let port = port(&listening)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(of)?;
    client.connect(&SocketAddr::from((ONE, port)).into()).map_err(of)?;
    let (accepted, _) = listening.accept().map_err(of)?;
    drop(listening);
    let kept = lives.then_some((accepted, client));
    let bound = listener((ONE, port).into(), new).map(drop);
    drop(kept);
    bound
}

fn datagrams(option: Opt) -> nix::Result<()> {
    let first = socket(Type::DGRAM, (ONE, 0).into(), option)?;
    socket(Type::DGRAM, (ONE, port(&first)?).into(), option).map(drop)
}

/// Whether a datagram goes to the socket that was bound last.
fn takeover() -> nix::Result<()> {
    let first = socket(Type::DGRAM, (ONE, 0).into(), Opt::ReuseAddr)?;
    let to = SocketAddr::from((ONE, port(&first)?));
    let second = UdpSocket::from(socket(Type::DGRAM, to, Opt::ReuseAddr)?);
    second.set_read_timeout(Some(Duration::from_secs(1))).map_err(of)?;
    let sender = UdpSocket::bind((ONE, 0)).map_err(of)?;
    sender.send_to(b"whose?", to).map_err(of)?;
    second.recv(&mut [0; 8]).map(drop).map_err(of)
}

fn dual(option: Opt) -> nix::Result<()> {
    let first = listener((Ipv6Addr::UNSPECIFIED, 0).into(), option)?;
    listener((ALL, port(&first)?).into(), Opt::Plain).map(drop)
}
