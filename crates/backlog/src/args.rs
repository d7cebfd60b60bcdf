//! The command line.

use argh::{ArgsInfo, FromArgs};

use netcore::number::{at_least_one, whole};
use netcore::time::Timeout;

/// Fill the queue of a listener, and show what becomes of the clients that found it full.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --backlog 5 --clients 40")]
#[argh(example = "{command_name} --clients 6")]
#[argh(example = "{command_name} --silent --timeout 1s")]
pub(crate) struct Args {
    /// connections that the kernel may queue (5)
    #[argh(option, arg_name = "n", default = "5", from_str_fn(whole))]
    pub(crate) backlog: u16,
    /// clients at once (40)
    #[argh(option, arg_name = "n", default = "40", from_str_fn(at_least_one))]
    pub(crate) clients: usize,
    /// the clients send nothing: they wait for the server to speak first
    #[argh(switch)]
    pub(crate) silent: bool,
    /// longest wait for clients that were not accepted (10s), or none
    #[argh(option, arg_name = "time", default = "Timeout::seconds(10)")]
    pub(crate) timeout: Timeout,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}
