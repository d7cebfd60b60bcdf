//! Which stage of a request failed, and why: an HTTP/1.0 GET that says it.
//!
//! # What it shows
//! A request is a row of system calls, and each has errors of its own: a name that does not exist is
//! no refused connection, and neither is a server that says half of it. So each stage (resolve,
//! socket, connect, send, receive, parse) is told apart, with its errno, its time and what to do.
//! `--provoke` makes twelve of these errors on this machine, without network or privilege.
//!
//! # System calls
//! `socket` → `connect` → `poll` → `getsockopt(SO_ERROR)` → `send` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ echo-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ socket-errors --port 7777 --file /index.html
//! socket-errors: 127.0.0.1:7777: not HTTP: the answer begins with "GET /index.html HTTP/1.0"
//! hint: is it a web server, and in clear? https has another port, as a rule 443
//! stage parse, after 0.04 ms; the whole: 2.33 ms
//! $ socket-errors --provoke reset
//! reset                  ECONNRESET     Connection reset by peer
//!   call   recv after the peer closed with 6 bytes of ours unread
//!   means  the peer closed with bytes unread, or died: some may be lost
//!   do     close; ask again only where asking twice does no harm
//! ```
//!
//! # What can go wrong
//! - `resolve`: the name does not exist (exit 68), or its server is silent (75).
//! - `socket`: `EMFILE`, or `EAFNOSUPPORT`, where the next address may do (71).
//! - `connect`: `ECONNREFUSED`, `ENETUNREACH`, `EHOSTUNREACH` (69), nothing until the deadline or
//!   `ETIMEDOUT` (75), `EACCES` (77). Writable is not connected: `SO_ERROR` has the answer.
//! - `send` and `receive`: `EPIPE`, `ECONNRESET` (69), the deadline (75), a body that is cut short or
//!   has another length than its header says (65): what came of it was written.
//! - `parse`: no HTTP, or TLS (65). An answer that is not 2xx is a no (1).
//! - A path with a blank or a newline is a request of its own. The Python original sends it as it
//!   is, and hands its port on as a string.
//!
//! # Next
//! `socket-timeout` is about waiting, `socket-modes` about not waiting.
//!
//! # Source
//! connect(2), send(2), recv(2), getsockopt(2), tcp(7), errno(3); RFC 1945, RFC 9112; UNP §5.11 to
//! §5.15, TLPI §56.5; the Python cookbook's recipe 1.7.

mod attempts;
mod cases;
mod http;
mod provoke;
mod reply;
mod stages;
mod stream;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::error::Error;
use netcore::number::at_least_one;
use netcore::output::Output;
use netcore::port::Port;
use netcore::resolve::{AddressFamily, addresses};
use netcore::text::escape;
use netcore::time::Timeout;
use netcore::{cli, recipe};

use attempts::connect_to_one;
use http::Path;
use provoke::Provoke;
use reply::Reply;
use stages::{Stage, Stages};
use stream::{Deadline, send_all};

/// Which stage of a request failed, and why: an HTTP/1.0 GET that says it.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --provoke refused")]
#[argh(example = "{command_name} --provoke all")]
struct Args {
    /// port to ask (80): a number or a service name
    #[argh(option, short = 'p')]
    port: Option<Port>,
    /// address or name of the server (localhost)
    #[argh(option)]
    host: Option<Host>,
    /// path to ask for (/)
    #[argh(option, arg_name = "path")]
    file: Option<Path>,
    /// IPv4 only
    #[argh(switch, short = '4')]
    ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    ipv6: bool,
    /// longest wait for the connection, and for the whole reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    timeout: Timeout,
    /// most bytes of a body that are taken (10485760)
    #[argh(option, arg_name = "bytes", default = "10 << 20", from_str_fn(at_least_one))]
    max_bytes: u64,
    /// make an error on this machine: a case, all of them, or list for their names
    #[argh(option, arg_name = "case")]
    provoke: Option<Provoke>,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
    /// print each stage, each attempt and the header too
    #[argh(switch, short = 'v')]
    verbose: bool,
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 65 68 69 71 74 75 77 130), ask)
}

fn ask(args: &Args, out: &mut Output) -> Result<(), Error> {
    let asked = args.host.is_some() || args.port.is_some() || args.file.is_some();
    match &args.provoke {
        Some(_) if asked => {
            return Err(Error::Usage("--provoke: no --host, --port or --file with it".to_owned()));
        }
        Some(wanted) => return provoke::show(wanted, args.json, out),
        None if asked => {}
        None => return Err(Error::Usage("--host, --port, --file or --provoke: required".into())),
    }
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let mut stages = Stages::new(out, args.verbose, args.json);
    match request(args, family, &mut stages) {
        // Neither the command line nor standard output is a stage, and a no is an answer.
        Err(error @ (Error::Usage(_) | Error::Output(_) | Error::No(_))) => Err(error),
        Err(error) => stages.failed(&error),
        Ok(()) => Ok(()),
    }
}

/// The request, stage by stage. Whatever returns early does so in the stage that was begun last.
fn request(args: &Args, family: AddressFamily, stages: &mut Stages<'_>) -> Result<(), Error> {
    let host = args.host.clone().unwrap_or_else(|| Host::Name("localhost".to_owned()));
    let port = args.port.map_or(80, |port| port.0);
    let path = args.file.clone().unwrap_or_else(|| Path("/".to_owned()));
    let deadline = Deadline::of(args.timeout);

    stages.begin(Stage::Resolve);
    let found = addresses(&host, port, family, args.timeout)?;
    stages.done(format_args!("{host}, addresses: {}", found.len()))?;
    let (fd, peer) = connect_to_one(&found, deadline, stages)?;

    stages.begin(Stage::Send);
    let asked = http::request(&host, port, &path);
    send_all(&fd, &asked, peer, deadline)?;
    stages.done(format_args!("{} bytes", asked.len()))?;

    stages.begin(Stage::Receive);
    let mut reply = Reply::new(fd, peer, deadline);
    let head = reply.receive_head()?;
    stages.done(format_args!("{} bytes of the header", head.len()))?;
    stages.begin(Stage::Parse);
    let head = reply.parse(&head)?;
    stages.done(escape(&head.line))?;
    for (name, value) in &head.fields {
        stages.field(name, value)?;
    }
    stages.begin(Stage::Receive);
    let bytes = reply.receive_body(head.length, args.max_bytes, stages)?;
    stages.done(format_args!("{bytes} bytes of the body"))?;
    stages.reply(head.status, bytes)?;
    match head.status {
        200..300 => Ok(()),
        _ => Err(Error::No(format!("{peer}: {}", escape(&head.line)))),
    }
}
