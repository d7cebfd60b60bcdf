//! The stages of a request: which one it is in, since when, and what is to be said about it.

use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::{Json, escape};
use netcore::time::millis;

/// What a request does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Resolve,
    Socket,
    Connect,
    Send,
    Receive,
    Parse,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Resolve => "resolve",
            Stage::Socket => "socket",
            Stage::Connect => "connect",
            Stage::Send => "send",
            Stage::Receive => "receive",
            Stage::Parse => "parse",
        }
    }
}

/// A request on its way through the stages.
pub(crate) struct Stages<'a> {
    pub(crate) out: &'a mut Output,
    verbose: bool,
    pub(crate) json: bool,
    stage: Stage,
    /// When the stage began.
    since: Instant,
    /// When the request did.
    start: Instant,
}

impl Stages<'_> {
    pub(crate) fn new(out: &mut Output, verbose: bool, json: bool) -> Stages<'_> {
        let now = Instant::now();
        Stages { out, verbose, json, stage: Stage::Resolve, since: now, start: now }
    }

    pub(crate) fn begin(&mut self, stage: Stage) {
        (self.stage, self.since) = (stage, Instant::now());
    }

    /// The stage is over, and well.
    pub(crate) fn done(&mut self, detail: impl Display) -> Result<(), Error> {
        let detail = detail.to_string();
        self.tell("detail", &detail, None)
    }

    /// The stage failed for one address; there may be others.
    pub(crate) fn missed(&mut self, error: &Error) -> Result<(), Error> {
        let text = error.to_string();
        self.tell("error", &text, Some(error))
    }

    fn tell(&mut self, key: &str, text: &str, error: Option<&Error>) -> Result<(), Error> {
        let (stage, took) = (self.stage.name(), self.since.elapsed());
        if self.json {
            let json = Json::new("stage").text("stage", stage).nanos("duration_ns", took);
            let json = json.text(key, text);
            return self.out.line(error.into_iter().fold(json, with_errno));
        }
        self.note(format_args!("{stage:<8} {:>8}  {text}", millis(took)));
        Ok(())
    }

    /// A field of the header.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (escape(name), escape(value));
        if self.json {
            return self.out.line(Json::new("header").text("name", &name).text("value", &value));
        }
        self.note(format_args!("    {name}: {value}"));
        Ok(())
    }

    /// The last line of a request that went well, for a program.
    pub(crate) fn reply(&mut self, status: u16, bytes: u64) -> Result<(), Error> {
        if !self.json {
            return Ok(());
        }
        let json = Json::new("reply").number("status", status).number("bytes", bytes);
        self.out.line(json.nanos("duration_ns", self.start.elapsed()))
    }

    /// The request ends here: the error, what to do, and in which stage it was after how long.
    pub(crate) fn failed(self, error: &Error) -> Result<(), Error> {
        let (stage, took, all) = (self.stage.name(), self.since.elapsed(), self.start.elapsed());
        self.out.report(error);
        let advice = advice(self.stage, error);
        let hint = advice.map_or(String::new(), |advice| format!("hint: {advice}\n"));
        let (one, all_of_it) = (millis(took), millis(all));
        let more = format!("{hint}stage {stage}, after {one}; the whole: {all_of_it}\n");
        let _ = std::io::stderr().write_all(more.as_bytes());
        if !self.json {
            return Ok(());
        }
        let mut json = Json::new("error").text("stage", stage).text("error", &error.to_string());
        json = with_errno(json, error).nanos("stage_ns", took).nanos("duration_ns", all);
        if let Some(advice) = advice {
            json = json.text("advice", advice);
        }
        self.out.line(json)
    }

    /// Says it with -v only; there is nobody to tell that it could not be said.
    fn note(&self, line: impl Display) {
        if self.verbose {
            let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
        }
    }
}

fn with_errno(json: Json, error: &Error) -> Json {
    match error {
        Error::Os { source, .. } => json.text("errno", &format!("{source:?}")),
        _ => json,
    }
}

/// What to do about it, where the error has no hint of its own.
fn advice(stage: Stage, error: &Error) -> Option<&'static str> {
    let refused_hint = |errno: &Errno| {
        matches!(errno, Errno::ECONNREFUSED | Errno::EADDRNOTAVAIL | Errno::EADDRINUSE)
            || matches!(errno, Errno::EMFILE | Errno::ENFILE)
    };
    Some(match (error, stage) {
        (Error::Os { source, .. }, _) if refused_hint(source) => return None,
        (Error::Os { source, .. }, stage) => match (source, stage) {
            (Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED, _) => {
                "the server closed with bytes unread, or died: its log knows more; ask again"
            }
            (Errno::ETIMEDOUT, Stage::Connect) => {
                "nobody answers there: a wrong address, or a firewall that drops"
            }
            (Errno::ETIMEDOUT, _) => "the way to the server is cut: ask again later",
            (Errno::EHOSTUNREACH | Errno::ENETUNREACH, _) => {
                "`ip route get ADDRESS` says which way it would go, or that there is none"
            }
            (Errno::EACCES | Errno::EPERM, _) => {
                "a broadcast address, or a rule of this machine's firewall, forbids it"
            }
            (Errno::EAFNOSUPPORT, _) => "this machine has no such address family: try -4 or -6",
            _ => "`errno -l` and the man page of the call say what it means",
        },
        (Error::Resolve { .. }, _) => "`getent ahosts NAME` asks the same; is it spelt right?",
        (Error::Timeout { .. }, Stage::Resolve) => {
            "the name server is silent: see /etc/resolv.conf, or write the address"
        }
        (Error::Timeout { .. }, Stage::Connect) => {
            "nobody answers there: a wrong address, a firewall that drops, a full backlog"
        }
        (Error::Timeout { .. }, _) => {
            "it is connected, and slow: ask again later, or with a longer --timeout"
        }
        (Error::Protocol { .. }, Stage::Parse) => {
            "is it a web server, and in clear? https has another port, as a rule 443"
        }
        (Error::Protocol { .. }, _) => {
            "what came of a body was written; ask again, or look into the server's log"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netcore::error::Attempt;

    const ALL: [Stage; 6] =
        [Stage::Resolve, Stage::Socket, Stage::Connect, Stage::Send, Stage::Receive, Stage::Parse];

    #[test]
    fn every_errno_has_advice_or_a_hint_of_its_own() {
        let with_hint = [Errno::ECONNREFUSED, Errno::EADDRNOTAVAIL, Errno::EMFILE];
        for raw in 1..134 {
            let errno = Errno::from_raw(raw);
            let error = Err::<(), _>(errno).attempt("connect to x").unwrap_err();
            for stage in ALL {
                let own = with_hint.contains(&errno)
                    || matches!(errno, Errno::ENFILE | Errno::EADDRINUSE);
                assert_eq!(advice(stage, &error).is_none(), own, "{errno:?} in {stage:?}");
            }
        }
    }

    #[test]
    fn a_timeout_is_explained_by_its_stage() {
        let after = std::time::Duration::from_secs(1);
        let error = Error::Timeout { attempt: String::new(), after };
        let said = ALL.map(|stage| advice(stage, &error).unwrap());
        assert!(said[0].contains("name server") && said[2].contains("backlog"), "{said:?}");
        assert!(said[4].contains("slow"), "{said:?}");
    }
}
