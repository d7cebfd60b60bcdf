//! The harness: it builds and starts the workspace's binaries, plays peers that misbehave, and reads
//! from the kernel what really happened.
//!
//! It uses nothing of `netcore`: a bug on one side must not cancel itself out on the other. Every wait
//! has an end, and nothing that was started outlives its value, or this process, unless it was
//! asked to ([`Run::keep`]).
//!
//! ```no_run
//! use netcheck::{Server, evidence, peer};
//!
//! let server = Server::start("forking-echo", ["--port", "0"]);
//! assert_eq!(peer::exchange(server.address(), b"hello")?, b"hello");
//! assert!(evidence::zombies(server.pid()).is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod absent;
mod binary;
mod dns;
pub mod evidence;
mod header;
mod lossy;
pub mod namespace;
pub mod peer;
mod process;
mod run;
mod scenario;
mod server;
mod spawner;
mod story;
mod strace;
mod stream;
pub mod sys;
mod tell;
mod tool;

pub use binary::{bin, recipes, workspace};
pub use header::{Block, Elsewhere, Header, Section, Typed};
pub use nix::sys::signal::Signal;
pub use process::Process;
pub use run::{Finished, Run};
pub use scenario::{Event, Falsehood, Halt, Scenario, Summary, Voice};
pub use server::Server;
pub use story::Story;
pub use strace::{Call, TraceFile};
pub use tool::{Need, Skip, need, require_all};
