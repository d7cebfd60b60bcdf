//! The table: default, asked, read back, and why.

use netcore::error::Error;
use netcore::log::Log;
use netcore::output::Output;
use netcore::text::Json;

use crate::kernel::{Limits, Reason, default};
use crate::pairs::Kind;
use crate::wanted::Buffer;
use crate::{Args, ask, read};

/// What is asked where nothing else is said: nothing, too little, two that fit, too much, and -1,
/// which the kernel compares as the unsigned number that it is in memory.
const ASKED: [u32; 6] = [0, 1, 4096, 9973, 1 << 30, u32::MAX];

/// Asks each kind of socket for each size, and says where this kernel does something else.
pub(crate) fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let log = Log::new(env!("CARGO_PKG_NAME"), false, false, args.json);
    for buffer in Buffer::BOTH {
        let wanted = args.wanted().of(buffer);
        let sizes = match wanted.as_ref() {
            Some(size) => std::slice::from_ref(size),
            // Only the other buffer was asked about.
            None if args.send.or(args.receive).is_some() => continue,
            None => &ASKED,
        };
        let limits = Limits::look(buffer)?;
        for kind in Kind::ALL {
            show_default(kind, buffer, args.json, out)?;
            for asked in sizes {
                let read_back = ask(&kind.socket()?, buffer, *asked, args.force)?;
                let row = Row { kind, buffer, asked: *asked, read_back, force: args.force, limits };
                out.line(row.text(args.json, sizes.len() > 1))?;
                if let Some(difference) = row.difference() {
                    out.report(&Error::No(difference));
                } else if wanted.is_some() && row.reason().is_less() {
                    let (who, what) = (row.who(), shown(*asked));
                    log.note(format_args!(
                        "{who}: less than {what} is in effect: {}",
                        row.reason()
                    ));
                }
            }
        }
    }
    Ok(())
}

/// What a socket has that nobody has asked anything of.
fn show_default(kind: Kind, buffer: Buffer, json: bool, out: &mut Output) -> Result<(), Error> {
    let size = read(&kind.socket()?, buffer)?;
    let (source, documented) = default(kind, buffer);
    let agrees = documented.is_none_or(|documented| documented == size);
    if json {
        let line = Json::new("default").text("socket", kind.name()).text("buffer", buffer.name());
        let line = line.number("default", size).text("source", &source);
        out.line(line.flag("as_documented", agrees))?;
    } else {
        let verdict = match documented {
            None => format!("{source} is not shown here"),
            Some(documented) if agrees => format!("as documented: {source} = {documented}"),
            Some(documented) => format!("different: {source} = {documented}"),
        };
        out.line(format_args!("{:5}{:8}default {size}  {verdict}", kind.name(), buffer.name()))?;
    }
    if !agrees {
        let who = format!("{} {}", kind.name(), buffer.name());
        out.report(&Error::No(format!("{who}: default {size}, which is not what {source} says")));
    }
    Ok(())
}

/// One answer of the kernel.
struct Row {
    kind: Kind,
    buffer: Buffer,
    asked: u32,
    read_back: u32,
    force: bool,
    limits: Limits,
}

impl Row {
    fn reason(&self) -> Reason {
        self.limits.predict(self.asked, self.force).1
    }

    fn who(&self) -> String {
        format!("{} {}", self.kind.name(), self.buffer.name())
    }

    fn text(&self, json: bool, in_columns: bool) -> String {
        let agrees = self.difference().is_none();
        let (kind, buffer, reason) = (self.kind.name(), self.buffer.name(), self.reason());
        if json {
            let line = Json::new("size").text("socket", kind).text("buffer", buffer);
            let line = line.number("asked", signed(self.asked)).flag("forced", self.force);
            let line = line.number("read_back", self.read_back).text("reason", &reason.to_string());
            return line.flag("as_documented", agrees).to_string();
        }
        let (asked, read_back) = (shown(self.asked), self.read_back);
        let verdict = if agrees { "as documented" } else { "different" };
        let width = if in_columns { 10 } else { 0 };
        format!(
            "{kind:5}{buffer:8}asked {asked:>width$}  read back {read_back:>width$}  \
             {verdict}  {reason}"
        )
    }

    /// What is not as it should be, in a sentence.
    fn difference(&self) -> Option<String> {
        let (documented, reason) = self.limits.predict(self.asked, self.force);
        (self.read_back != documented).then(|| {
            let (who, asked, read_back) = (self.who(), shown(self.asked), self.read_back);
            format!(
                "{who}: asked {asked}, read back {read_back}, documented {documented} ({reason})"
            )
        })
    }
}

/// The int that setsockopt was given.
fn signed(asked: u32) -> i64 {
    if asked == u32::MAX { -1 } else { asked.into() }
}

fn shown(asked: u32) -> String {
    signed(asked).to_string()
}
