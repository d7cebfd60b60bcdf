//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::addr::Host;
use netcore::chat;
use netcore::port::Port;
use netcore::time::Timeout;

/// Talk in a chat room, from a terminal or a pipe.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --port 7777 --name alice")]
#[argh(example = "{command_name} --port 7777 --name bob < /etc/services")]
pub(crate) struct Args {
    /// port of the server: a number or a service name
    #[argh(option, short = 'p')]
    pub(crate) port: Port,
    /// address or name of the server (localhost)
    #[argh(option, default = "Host::Name(String::from(\"localhost\"))")]
    pub(crate) host: Host,
    /// IPv4 only
    #[argh(switch, short = '4')]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[argh(switch, short = '6')]
    pub(crate) ipv6: bool,
    /// name in the room: 1 to 32 printable characters without a blank
    #[argh(option, arg_name = "text", from_str_fn(chat::name))]
    pub(crate) name: String,
    /// longest time to connect, from the name to the first reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    pub(crate) idle_timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}
