//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::time::Timeout;
use netcore::unix::Name;

/// Send over a unix socket, and say which process listens there.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} /tmp/echo.sock 'Hello, server'")]
pub(crate) struct Args {
    /// name of the server: a path, or @ and an abstract name
    #[argh(positional)]
    pub(crate) name: Name,
    /// what to send, one after the other
    #[argh(positional)]
    pub(crate) message: Vec<String>,
    /// longest wait for the connection, and for the whole reply (5s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(5)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

impl Args {
    pub(crate) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let default: &[&str] = if self.message.is_empty() { &["Hello, server"] } else { &[] };
        let given = self.message.iter().map(String::as_str);
        default.iter().copied().chain(given).map(str::as_bytes)
    }
}
