//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::number::whole;
use netcore::time::{Span, Timeout};
use netcore::unix::Name;

/// Echo over a unix socket, to peers that the kernel vouches for.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} /tmp/echo.sock")]
#[argh(example = "{command_name} /tmp/echo.sock --mode 666 --allow-uid 0")]
pub(crate) struct Args {
    /// name to listen on: a path, or @ and an abstract name
    #[argh(positional)]
    pub(crate) name: Name,
    /// access to the path, in octal (600): to connect is to write
    #[argh(option, arg_name = "octal", default = "0o600", from_str_fn(mode))]
    pub(crate) mode: u32,
    /// the one user that is served (any that may connect)
    #[argh(option, arg_name = "uid", from_str_fn(whole))]
    pub(crate) allow_uid: Option<u32>,
    /// connections that the kernel may queue (5)
    #[argh(option, arg_name = "n", default = "5", from_str_fn(whole))]
    pub(crate) backlog: u16,
    /// longest silence of a peer (60s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(60)")]
    pub(crate) idle_timeout: Timeout,
    /// time that clients have to finish after SIGTERM (5s)
    #[argh(option, arg_name = "time", default = "Span::seconds(5)")]
    pub(crate) grace: Span,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// log nothing
    #[argh(switch, short = 'q')]
    pub(crate) quiet: bool,
    /// log what each peer sends, escaped
    #[argh(switch, short = 'v')]
    pub(crate) verbose: bool,
}

fn mode(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
    mode.ok_or_else(|| "write an octal number from 0 to 777".to_owned())
}
