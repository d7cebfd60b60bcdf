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

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod absent;
        mod arrival;
        mod binary;
        pub mod descriptors;
        mod dns;
        pub mod evidence;
        mod forged;
        mod header;
        mod link;
        mod lossy;
        pub mod namespace;
        mod other_user;
        mod pause;
        pub mod peer;
        mod process;
        pub mod record;
        mod render;
        mod run;
        mod scenario;
        mod scenario_run;
        mod server;
        mod shell;
        mod spawner;
        mod stopped;
        mod strace;
        mod stream;
        mod summary;
        pub mod sys;
        mod tool;
        pub mod tree;

        pub use arrival::{Arrival, Arrivals};
        pub use binary::{BUILT, bin, build_all, recipes, workspace};
        pub use forged::Forger;
        pub use header::{Block, Elsewhere, Header, Section, Typed};
        pub use link::Link;
        pub use nix::sys::signal::Signal;
        pub use other_user::{NOBODY, open_folder};
        pub use process::Process;
        pub use run::{Finished, Run};
        pub use scenario::Scenario;
        pub use scenario_run::{Format, ScenarioRun};
        pub use server::Server;
        pub use shell::quoted;
        pub use stopped::{CheckFailed, Stopped};
        pub use strace::{Attached, Call, Entry, TraceFile, entries};
        pub use strace::Event as TraceEvent;
        pub use summary::{Event, Summary};
        pub use tool::{Need, Skip, need, require_all, require_root};
    } else {
        compile_error!("for Linux only: in WSL 2 on Windows, in a container on other systems");
    }
}
