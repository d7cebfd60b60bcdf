//! Talk in a chat room, from a terminal or a pipe.
//!
//! # What it shows
//! Two things may come first, a line of ours or a message of somebody else, and a program that waits
//! in `read` for one is deaf to the other. `poll` waits for both. The lines are edited by the terminal,
//! which hands over whole ones; what others say is escaped, or it could rewrite the screen. Ctrl-D is
//! the end of the input: `shutdown` tells the server, and what was said until then still comes.
//!
//! # System calls
//! `socket` → `connect` → (`send` → `poll` → `recv` → `read`)* → `shutdown(SHUT_WR)` → `recv` → `close`
//!
//! # Try it
//! ```console
//! $ chat-server --port 7777 &
//! listening on 127.0.0.1:7777
//! $ chat-client --port 7777 --name alice < /dev/null
//! * alice joined
//! * alice left
//! $ printf 'one\ntwo\n' | chat-client --port 7777 --name bob --json
//! {"type":"joined","name":"bob"}
//! {"type":"left","name":"bob"}
//! ```
//!
//! # What can go wrong
//! - A name that somebody has, or that is none: the server refuses it and says why, exit code 1.
//! - A line of more than 4096 bytes, or one that is not UTF-8: it is not sent, the next ones are.
//! - The server closes: it says why, if it can. To have been too slow is one reason: whoever stops
//!   this program with Ctrl-Z, or its output in a pager, does not read what others say.
//! - A message comes while you type: it stands in the middle of your line, which is sent as you
//!   typed it all the same. The terminal's Ctrl-R shows the line again.
//!
//! # Next
//! `chat-server` is the other end, and explains the frames; `echo-client` sends bytes without any.
//!
//! # Source
//! poll(2), shutdown(2), termios(3); UNP §6.4 and §6.7; the Python cookbook's recipe 2.3, a chat
//! with select.select.

mod lines;
mod talk;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::chat;
use netcore::connect::connect;
use netcore::error::Error;
use netcore::output::Output;
use netcore::port::Port;
use netcore::resolve::{AddressFamily, addresses};
use netcore::time::Timeout;
use netcore::{cli, recipe};

use talk::Talk;

/// Talk in a chat room, from a terminal or a pipe.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --name alice")]
#[argh(example = "{command_name} --port 7777 --name bob < /etc/services")]
struct Args {
    /// port of the server: a number or a service name
    #[argh(option, short = 'p')]
    port: Port,
    /// address or name of the server (localhost)
    #[argh(option, default = "Host::Name(String::from(\"localhost\"))")]
    host: Host,
    /// IPv4 only
    #[argh(switch, short = '4')]
    ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    ipv6: bool,
    /// name to be known by: 1 to 32 printable characters without a blank
    #[argh(option, arg_name = "text", from_str_fn(name))]
    name: String,
    /// longest wait for the connection, the welcome and the goodbye (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    json: bool,
}

/// The server has the same rule; a usage error opens no socket.
fn name(text: &str) -> Result<String, String> {
    chat::name(text)
}

fn main() -> ExitCode {
    cli::run(&recipe!(0 1 2 65 68 69 71 74 75 130), talk)
}

fn talk(args: &Args, out: &mut Output) -> Result<(), Error> {
    let family = AddressFamily::from_switches(args.ipv4, args.ipv6)?;
    let (stream, peer) =
        connect(&addresses(&args.host, args.port.0, family, args.timeout)?, args.timeout)?;
    Talk::new(stream, peer, args.timeout, &args.name, args.json).run(out)
}
