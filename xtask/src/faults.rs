//! `cargo xtask faults`: injects each error that the man page of a call lists, in every server and client.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use argh::FromArgs;
use netcheck::{Need, need};
use scenarios::faults::{Observed, Outcome, Program, ROWS, programs};

use xtask::{Failure, Output};

/// Make each system call of the servers and clients fail as its man page says, once and for a second.
#[derive(FromArgs)]
#[argh(subcommand, name = "faults")]
pub(crate) struct Args {
    /// programs in which to inject (all): epoll-echo, 'epoll-echo --edge'
    #[argh(positional)]
    programs: Vec<String>,

    /// print what the last run has recorded, and inject nothing
    #[argh(switch)]
    table: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let chosen = choose(&args.programs)?;
    if args.table {
        return print_table(&chosen, out);
    }
    need(Need::Attach).map_err(|skip| Failure::Missing(skip.reason))?;
    let begun = Instant::now();
    let observed = inject(&chosen, out)?;
    let (faults, programs) =
        (observed.iter().map(|(_, all)| all.len()).sum::<usize>(), observed.len());
    let all = || observed.iter().flat_map(|(_, all)| all);
    let wrong = all().filter(|observed| !observed.wrong.is_empty()).count();
    let ended = all().filter(|observed| matches!(observed.outcome, Outcome::Ended(_))).count();
    let seconds = begun.elapsed().as_secs();
    out.line(format_args!(
        "{faults} faults in {programs} programs: {ended} ended it, {wrong} did what they must not, {seconds} s"
    ))?;
    Ok(wrong == 0)
}

fn choose(names: &[String]) -> Result<Vec<Program>, Failure> {
    let known: Vec<Program> = programs().collect();
    if names.is_empty() {
        return Ok(known);
    }
    let find = |name: &String| {
        let program = known.iter().copied().find(|program| program.name() == *name);
        program.ok_or_else(|| {
            let known: Vec<String> =
                programs().map(|program| format!("  {}", program.name())).collect();
            Failure::Usage(format!("no program {name:?}\n{}", known.join("\n")))
        })
    };
    names.iter().map(find).collect()
}

/// Several programs at once: they wait most of the time. Each is recorded when it is done.
fn inject(chosen: &[Program], out: &mut Output) -> Result<Vec<(String, Vec<Observed>)>, Failure> {
    let todo = Mutex::new(chosen.iter());
    let (sender, receiver) = mpsc::channel();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut all = Vec::new();
    thread::scope(|scope| {
        for _ in 0..2 * cores {
            let (sender, todo) = (sender.clone(), &todo);
            scope.spawn(move || {
                let next = || todo.lock().ok()?.next().copied();
                while let Some(program) = next() {
                    // The receiver has gone when a line could not be written.
                    let _ = sender.send((program.name(), program.run(|all| all)));
                }
            });
        }
        drop(sender);
        for (name, observed) in receiver {
            record(&name, &observed)?;
            print_program(&name, &observed, out)?;
            all.push((name, observed));
        }
        Ok(all)
    })
}

fn print_program(name: &str, observed: &[Observed], out: &mut Output) -> Result<(), Failure> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for observed in observed {
        *counts.entry(observed.outcome.to_string()).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    out.line(format_args!("  {name:26} {:3} faults: {}", observed.len(), counts.join(", ")))?;
    for observed in observed.iter().filter(|observed| !observed.wrong.is_empty()) {
        out.line(format_args!(
            "  NO  {name}: {}: {}",
            observed.fault,
            observed.wrong.join("\n      ")
        ))?;
    }
    Ok(())
}

/// Where a program's last run is recorded: below target/.
fn path(name: &str) -> Result<PathBuf, Failure> {
    let own = env::current_exe().map_err(Failure::file("find the path of xtask"))?;
    let target = own.ancestors().nth(2).unwrap_or(&own);
    Ok(target.join("faults").join(format!("{}.tsv", name.replace(' ', ""))))
}

/// A line a fault: call, errno, how long, outcome.
fn record(name: &str, observed: &[Observed]) -> Result<(), Failure> {
    let path = path(name)?;
    let lines = observed.iter().map(|observed| {
        let fault = observed.fault;
        let how = if fault.lasts { "second" } else { "once" };
        format!("{}\t{}\t{how}\t{}\n", fault.call, fault.errno, observed.outcome)
    });
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, lines.collect::<String>())
    };
    write().map_err(Failure::file(format_args!("write {}", path.display())))
}

/// What was recorded of one program: call and errno, and how long; the outcome.
type Recorded = BTreeMap<(String, String, String), String>;

fn read(name: &str) -> Result<Recorded, Failure> {
    let path = path(name)?;
    let attempt = format!("read {} (cargo xtask faults makes it)", path.display());
    let text = fs::read_to_string(&path).map_err(Failure::file(attempt))?;
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        Some(((cells.next()?, cells.next()?, cells.next()?), cells.next()?))
    };
    Ok(text.lines().filter_map(row).collect())
}

/// errno × call × program.
fn print_table(chosen: &[Program], out: &mut Output) -> Result<bool, Failure> {
    let read = |program: &Program| Ok((program.name(), read(&program.name())?));
    let recorded = chosen.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    out.line("s served  l served, and logged  r refused  w no reply in time  71 ended with that code  - not made")?;
    out.line("Before the slash the call fails once, after it for a second.\n")?;
    let columns: Vec<(usize, &String, &Recorded)> =
        (1..).zip(&recorded).map(|(number, (name, recorded))| (number, name, recorded)).collect();
    for (number, name, _) in &columns {
        out.line(format_args!("{number:3} {name}"))?;
    }
    for row in ROWS {
        let has_it = |(_, _, recorded): &&(usize, &String, &Recorded)| {
            recorded.keys().any(|(call, _, _)| call == row.call)
        };
        let columns: Vec<_> = columns.iter().filter(has_it).collect();
        if columns.is_empty() {
            continue;
        }
        let line = |first: &str, cells: &mut dyn Iterator<Item = String>| {
            let cells: String = cells.map(|cell| format!("{cell:>6}")).collect();
            format!("  {first:16}{cells}")
        };
        out.line(format_args!("\n{}: {}", row.call, row.pages))?;
        out.line(line("", &mut columns.iter().map(|(number, _, _)| number.to_string())))?;
        for errno in row.errnos() {
            let cell =
                |(_, _, recorded): &&(usize, &String, &Recorded)| cell(recorded, row.call, errno);
            out.line(line(errno, &mut columns.iter().map(cell)))?;
        }
    }
    Ok(true)
}

/// `s/w`: what it came to once, and for a second.
fn cell(recorded: &Recorded, call: &str, errno: &str) -> String {
    let outcome = |how: &str| {
        let key = (call.to_owned(), errno.to_owned(), how.to_owned());
        recorded.get(&key).map(|outcome| short(outcome))
    };
    let once = outcome("once").unwrap_or("-");
    outcome("second").map_or_else(|| once.to_owned(), |second| format!("{once}/{second}"))
}

fn short(outcome: &str) -> &str {
    match outcome {
        "served" => "s",
        "logged" => "l",
        "refused" => "r",
        "waited" => "w",
        ended => ended.strip_prefix("ended ").unwrap_or("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_both_outcomes() {
        let row = |errno: &str, how: &str, outcome: &str| {
            (("poll".to_owned(), errno.to_owned(), how.to_owned()), outcome.to_owned())
        };
        let recorded: Recorded = [
            row("ENOMEM", "once", "served"),
            row("ENOMEM", "second", "ended 71"),
            row("EINTR", "once", "not made"),
        ]
        .into();
        assert_eq!(cell(&recorded, "poll", "ENOMEM"), "s/71");
        assert_eq!(cell(&recorded, "poll", "EINTR"), "-");
        assert_eq!(cell(&recorded, "poll", "EINVAL"), "-");
    }

    #[test]
    fn an_unknown_program_is_a_usage_error_that_lists_them() {
        let Err(Failure::Usage(why)) = choose(&["nc".to_owned()]) else { panic!("chosen") };
        assert!(why.contains("  epoll-echo --edge\n"), "{why}");
        assert_eq!(choose(&[]).unwrap().len(), programs().count());
    }
}
