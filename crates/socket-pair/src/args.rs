//! The command line.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};
use nix::sys::socket::SockType;

use netcore::time::Timeout;

/// Make two connected sockets for two processes, and show when the end is heard.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} one two")]
#[argh(example = "{command_name} --type stream --keep")]
pub(crate) struct Args {
    /// what the child sends, a message each (one two)
    #[argh(positional, arg_name = "message")]
    pub(crate) messages: Vec<String>,
    /// type of the sockets: stream, seqpacket, datagram, or all (all)
    #[argh(option, long = "type", arg_name = "type", default = "Types(&TYPES)")]
    pub(crate) types: Types,
    /// the mistake: the parent does not close its copy of the child's end
    #[argh(switch)]
    pub(crate) keep: bool,
    /// the child calls shutdown before it ends
    #[argh(switch)]
    pub(crate) shutdown: bool,
    /// longest wait for a peer that stays silent (200ms), or none
    #[argh(option, arg_name = "time", default = "Timeout::milliseconds(200)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

impl Args {
    pub(crate) fn messages(&self) -> impl Iterator<Item = &str> {
        let default: &[&str] = if self.messages.is_empty() { &["one", "two"] } else { &[] };
        default.iter().copied().chain(self.messages.iter().map(String::as_str))
    }
}

/// The types of a socket pair, as they are typed.
const NAMES: [(&str, &[SockType]); 4] = [
    ("stream", &[SockType::Stream]),
    ("seqpacket", &[SockType::SeqPacket]),
    ("datagram", &[SockType::Datagram]),
    ("all", &TYPES),
];

const TYPES: [SockType; 3] = [SockType::Stream, SockType::SeqPacket, SockType::Datagram];

/// What `--type` asks for.
pub(crate) struct Types(pub(crate) &'static [SockType]);

impl FromStr for Types {
    type Err = String;

    fn from_str(text: &str) -> Result<Types, String> {
        let types = NAMES.iter().find(|(name, _)| *name == text);
        let types = types.ok_or("write stream, seqpacket, datagram or all")?;
        Ok(Types(types.1))
    }
}
