//! One error type for every recipe, its exit code, and the hint that goes with an errno.

use std::fmt;
use std::io;
use std::time::Duration;

use nix::errno::Errno;

pub use crate::errno::errno;
use crate::gai_error::Reason;
use crate::time;

/// Why a program ends without its answer.
///
/// There is no `From<io::Error>`: a bare `?` would forget what was attempted. Every call that can
/// fail says it on the same line, through [`Attempt`].
#[derive(Debug)]
pub enum Error {
    /// The command line is wrong; nothing was opened and nothing was sent.
    Usage(String),
    /// negative result.
    No(String),
    /// A system call failed.
    Os {
        /// What was attempted, with the address or the option in it: `bind 127.0.0.1:80`.
        attempt: String,
        /// What the kernel answered.
        source: Errno,
    },
    /// The resolver has no address for a name.
    Resolve {
        /// The name that was asked for.
        name: String,
        /// The resolver's answer.
        reason: Reason,
    },
    /// The peer sent something that the protocol does not allow.
    Protocol {
        /// Who sent it.
        peer: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The peer ended the connection before we were done.
    Gone {
        /// Who.
        peer: String,
        /// Why, as far as it said so.
        why: String,
    },
    /// The peer says that it does not serve us.
    Denied {
        /// Who.
        peer: String,
        /// In which words.
        why: String,
    },
    /// The peer says, or shows, that another time is better.
    Later {
        /// Who.
        peer: String,
        /// Why.
        why: String,
    },
    /// What was asked for was not complete within its time (`--timeout`).
    Timeout {
        /// What was attempted.
        attempt: String,
        /// How long we waited.
        after: Duration,
    },
    /// The peer sent nothing for too long (`--idle-timeout`).
    Idle {
        /// What was attempted.
        attempt: String,
        /// How long it was silent.
        after: Duration,
    },
    /// A file could not be read.
    File {
        /// Its path.
        path: String,
        /// Why.
        source: Errno,
    },
    /// Standard output could not be written.
    Output(io::Error),
    /// Standard input could not be read.
    Input(Errno),
}

/// Every exit code of the cookbook and its meaning; each `--help` lists those that it can return.
pub(crate) const EXIT_CODES: [(u8, &str); 12] = [
    (0, "done; a server: it was asked to stop, and its clients were served"),
    (1, "negative result"),
    (2, "usage"),
    (3, "a monitoring plug-in could not find out"),
    (65, "the peer sent what the protocol does not allow"),
    (68, "the host name does not exist, or has no such address"),
    (69, "refused, unreachable, or cut off by the peer"),
    (71, "a system call failed (EADDRINUSE, EMFILE, fork)"),
    (74, "reading or writing a file or a standard stream failed"),
    (75, "try again later (a timeout, a resolver that is busy)"),
    (77, "permission denied (a port below 1024)"),
    (130, "ended by SIGINT (143: by SIGTERM)"),
];

const NO_PORT_IS_FREE: &str =
    "`sysctl net.ipv4.ip_local_port_range` are the ports, `ss -tuna` lists those in use";

impl Error {
    /// The exit code of a program that ends with this error, from sysexits.h where it has one.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            // The reader has closed the pipe (`| head`): it has what it wanted.
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Error::No(_) => 1,
            Error::Usage(_) => 2,
            Error::Protocol { .. } => 65,
            Error::Resolve { reason, .. } => reason.exit_code(),
            Error::Gone { .. } => 69,
            Error::Timeout { .. } | Error::Idle { .. } | Error::Later { .. } => 75,
            Error::Denied { .. } => 77,
            Error::File { .. } | Error::Output(_) | Error::Input(_) => 74,
            Error::Os { source, .. } => match source {
                Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH => 69,
                Errno::ECONNRESET | Errno::ECONNABORTED | Errno::EPIPE => 69,
                Errno::ETIMEDOUT => 75,
                Errno::EACCES | Errno::EPERM => 77,
                _ => 71,
            },
        }
    }

    /// What a person could do about it, where that is known.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let Error::Os { attempt, source } = self else { return None };
        Some(match source {
            Errno::EADDRINUSE if attempt.ends_with(":0") => NO_PORT_IS_FREE,
            // A UDP socket that `connect` has to give a port.
            Errno::EAGAIN if attempt.starts_with("connect to ") => NO_PORT_IS_FREE,
            Errno::EADDRINUSE if attempt.starts_with("bind unix:") => {
                "`ss -xlp` names the process that listens there"
            }
            Errno::EADDRINUSE => {
                "`ss -tulnp` names the process that holds the port; --port 0 takes a free one"
            }
            Errno::EADDRNOTAVAIL if attempt.starts_with("connect to [") => {
                "`ip -6 address` lists the IPv6 addresses of this machine; without one, use -4"
            }
            Errno::EADDRNOTAVAIL if attempt.starts_with("connect") => {
                "`sysctl net.ipv4.ip_local_port_range` are the ports, `ss -s` counts those in TIME_WAIT"
            }
            Errno::EADDRNOTAVAIL => "`ip address` lists the addresses of this machine",
            Errno::EACCES if attempt.starts_with("bind") && !attempt.contains("unix:") => {
                "a port below `sysctl net.ipv4.ip_unprivileged_port_start` needs CAP_NET_BIND_SERVICE"
            }
            Errno::ECONNREFUSED => "nothing listens there; start the server first",
            Errno::ENOSYS | Errno::EPERM if attempt.starts_with("io_uring") => {
                "`sysctl kernel.io_uring_disabled`, and the seccomp rules of a container, can forbid it"
            }
            Errno::EPERM if attempt.starts_with("pidfd_getfd") => {
                "it takes the rights of a debugger: `sysctl kernel.yama.ptrace_scope` 0, or root"
            }
            Errno::EMSGSIZE => "a datagram has 65507 bytes at most, over IPv6 65527",
            Errno::EMFILE => {
                "`ulimit -n` is the limit of this process, `ls -l /proc/PID/fd` what it holds"
            }
            Errno::ENFILE => "`sysctl fs.file-nr` shows how many files the whole system has open",
            _ => return None,
        })
    }
}

impl Error {
    /// What was attempted, or the peer that is at fault, and why it failed. A usage error and a negative
    /// result are a sentence of their own, without an attempt.
    pub(crate) fn parts(&self) -> (String, String) {
        match self {
            Error::Usage(what) | Error::No(what) => (String::new(), what.clone()),
            Error::Os { attempt, source } => (attempt.clone(), errno(*source)),
            Error::Resolve { name, reason } => (format!("resolve {name}"), reason.to_string()),
            Error::Protocol { peer, fault: why }
            | Error::Gone { peer, why }
            | Error::Denied { peer, why }
            | Error::Later { peer, why } => (peer.clone(), why.clone()),
            Error::Timeout { attempt, after } => {
                (attempt.clone(), format!("timed out after {}", time::exact(*after)))
            }
            Error::Idle { attempt, after } => {
                (attempt.clone(), format!("timed out after {} of silence", time::exact(*after)))
            }
            Error::File { path, source } => (format!("read {path}"), errno(*source)),
            Error::Output(error) => ("write to standard output".to_owned(), io_errno(error)),
            Error::Input(source) => ("read from standard input".to_owned(), errno(*source)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (attempt, reason) if attempt.is_empty() => f.write_str(&reason),
            (attempt, reason) => write!(f, "{attempt}: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// The same for an error of std, which carries the errno where it came from a system call.
fn io_errno(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |raw| errno(Errno::from_raw(raw)))
}

/// The errno of an error of std or socket2.
#[must_use]
pub fn to_errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Gives a system call's error the attempt that it belongs to.
pub trait Attempt<T> {
    /// Turns the error into an [`Error::Os`] that says what was attempted:
    /// `listener.bind(&local).attempt(format_args!("bind {local}"))?`.
    ///
    /// # Errors
    /// The error of the call, with its attempt.
    fn attempt(self, what: impl fmt::Display) -> Result<T, Error>;
}

impl<T> Attempt<T> for nix::Result<T> {
    fn attempt(self, what: impl fmt::Display) -> Result<T, Error> {
        self.map_err(|source| Error::Os { attempt: what.to_string(), source })
    }
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, what: impl fmt::Display) -> Result<T, Error> {
        self.map_err(to_errno).attempt(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(source: Errno) -> Error {
        Err::<(), _>(source).attempt("connect to 127.0.0.1:9").unwrap_err()
    }

    #[test]
    fn an_error_names_the_attempt_the_text_and_the_errno() {
        let line = os(Errno::ECONNREFUSED).to_string();
        assert_eq!(line, "connect to 127.0.0.1:9: Connection refused (ECONNREFUSED)");
    }

    #[test]
    fn a_timeout_says_which_of_the_two_it_was() {
        let (attempt, after) = (String::from("echo from 127.0.0.1:7"), Duration::from_secs(5));
        let line = Error::Timeout { attempt: attempt.clone(), after }.to_string();
        assert_eq!(line, "echo from 127.0.0.1:7: timed out after 5s");
        let line = Error::Idle { attempt, after }.to_string();
        assert_eq!(line, "echo from 127.0.0.1:7: timed out after 5s of silence");
    }

    #[test]
    fn a_hint_fits_what_was_attempted() {
        let hint = |errno: Errno, attempt: &str| {
            Err::<(), _>(errno).attempt(attempt).unwrap_err().hint().unwrap_or_default()
        };
        assert_eq!(hint(Errno::EADDRINUSE, "bind 127.0.0.1:0"), NO_PORT_IS_FREE);
        assert!(hint(Errno::EADDRINUSE, "bind 127.0.0.1:80").contains("--port 0"));
        assert!(hint(Errno::EADDRINUSE, "bind [::1]:7000").contains("--port 0"));
        assert_eq!(hint(Errno::EAGAIN, "connect to 127.0.0.1:9"), NO_PORT_IS_FREE);
        assert_eq!(hint(Errno::EAGAIN, "recv"), "");
        assert!(hint(Errno::EADDRNOTAVAIL, "connect to [::1]:9").contains("IPv6"));
        assert!(hint(Errno::EADDRNOTAVAIL, "connect to 127.0.0.1:9").contains("TIME_WAIT"));
    }

    #[test]
    fn each_errno_has_its_exit_code() {
        for (errno, code) in [
            (Errno::ECONNREFUSED, 69),
            (Errno::ENETUNREACH, 69),
            (Errno::ECONNRESET, 69),
            (Errno::ETIMEDOUT, 75),
            (Errno::EACCES, 77),
            (Errno::EADDRINUSE, 71),
            (Errno::EMFILE, 71),
            (Errno::EAGAIN, 71),
        ] {
            assert_eq!(os(errno).exit_code(), code, "{errno}");
        }
    }

    #[test]
    fn every_exit_code_that_an_error_has_is_in_the_table() {
        let errors = [
            Error::Usage(String::new()),
            Error::No(String::new()),
            os(Errno::EIO),
            os(Errno::EPERM),
            os(Errno::EPIPE),
            Error::Protocol { peer: String::new(), fault: String::new() },
            Error::Gone { peer: String::new(), why: String::new() },
            Error::Denied { peer: String::new(), why: String::new() },
            Error::Later { peer: String::new(), why: String::new() },
            Error::Timeout { attempt: String::new(), after: Duration::ZERO },
            Error::Idle { attempt: String::new(), after: Duration::ZERO },
            Error::File { path: String::new(), source: Errno::ENOENT },
            Error::Output(io::Error::from_raw_os_error(28)),
            Error::Output(io::ErrorKind::BrokenPipe.into()),
        ];
        for error in errors {
            let code = error.exit_code();
            assert!(EXIT_CODES.iter().any(|(known, _)| *known == code), "{error:?}: {code}");
        }
    }
}
