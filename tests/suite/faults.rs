//! A sample of the faults that `cargo xtask faults` injects: some that happen once, and one that lasts.

use std::env;
use std::time::SystemTime;

use libtest_mimic::Trial;
use netcheck::{Need, Skip, need};
use scenarios::faults::{Program, programs, sample};

use crate::{stream_servers, trial};

/// Of each program: this many faults that happen once, and this many that last.
const ONCE: usize = 3;
const LASTING: usize = 1;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("faults::no_server_is_left_out".to_owned(), || {
        let names: Vec<String> = programs().map(Program::name).collect();
        let left_out: Vec<_> = stream_servers::COVERED
            .iter()
            .filter(|(name, _)| !names.iter().any(|n| n == name))
            .collect();
        assert!(left_out.is_empty(), "{left_out:?}");
        Ok(())
    })];
    trials.extend(programs().map(|program| {
        let name = program.name();
        let statement = match program {
            Program::Server(_) => "serves_before_during_and_after_a_fault",
            Program::Client(_) => "ends_in_time_and_with_a_reason",
        };
        trial(format!("faults::{name}::{statement}"), move || inject(program))
    }));
    trials
}

/// Another one each hour, or the one that is asked for.
fn seed() -> usize {
    let asked = env::var("FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
    asked.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        usize::try_from(now.as_secs() / 3600).unwrap()
    })
}

fn inject(program: Program) -> Result<(), Skip> {
    need(match program {
        Program::Server(_) => Need::Attach,
        Program::Client(_) => Need::Strace,
    })?;
    let seed = seed();
    let observed = program.run(|all| sample(all, seed, ONCE, LASTING));
    let wrong: Vec<String> = observed
        .iter()
        .filter(|observed| !observed.wrong.is_empty())
        .map(|observed| format!("{}: {}", observed.fault, observed.wrong.join("; ")))
        .collect();
    assert!(wrong.is_empty(), "FAULTS_SEED={seed}\n{}", wrong.join("\n"));
    Ok(())
}
