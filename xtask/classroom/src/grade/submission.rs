//! The process of one submission: compiled, and checked, one check after another, all of it below this process.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::build::Built;
use crate::check::launch;
use crate::compile::{Compiler, PLACE};
use crate::many::{self, Checked};
use crate::report::{Report, Verdict};
use crate::runner;
use crate::sandbox::{Sandbox, become_user};
use crate::worker::{Job, prepare};
use xtask::Failure;

/// The word that makes this program that process.
pub const NAME: &str = "submission";

/// A submission that is to be judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) exercise: String,
    pub(crate) args: Vec<String>,
    pub(crate) checks: Vec<String>,
    pub(crate) seed: u64,
    /// It has `src`, which was taken, `tmp`, and the empty `toolchain` and `target`.
    pub(crate) folder: PathBuf,
    pub(crate) compiler: Compiler,
    pub(crate) sandbox: Option<Sandbox>,
    /// Who this process becomes, if root has started it.
    pub(crate) user: Option<u32>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// What the compiler says, if it has made no program.
    pub(crate) build_error: Option<String>,
    pub(crate) checked: Vec<Checked>,
    /// From the compiler's start to the end of the last check.
    pub(crate) seconds: f64,
    /// The largest process of all, in KiB.
    pub(crate) memory: u64,
}

/// Judges it, and prints what came of it.
pub fn main(order: &str) -> ExitCode {
    let outcome = serde_json::from_str(order)
        .map_err(|why| Failure::Broken(why.to_string()))
        .and_then(|order: Order| judge(order));
    match outcome {
        Ok(outcome) => serde_json::to_writer(io::stdout(), &outcome)
            .map_or(ExitCode::from(74), |()| ExitCode::SUCCESS),
        Err(failure) => {
            // What starts it shows what it says.
            let _ = io::Write::write_all(&mut io::stderr(), failure.to_string().as_bytes());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn judge(mut order: Order) -> Result<Outcome, Failure> {
    if let Some(user) = order.user {
        let [toolchain, target] = ["toolchain", "target"].map(|name| order.folder.join(name));
        let compiler = &mut order.compiler;
        let shown = [(&*compiler.toolchain, &*toolchain), (&*compiler.target, &*target)];
        become_user(user, &shown).map_err(Failure::program("become another user"))?;
        compiler.stand_in(toolchain, target);
    }
    prepare().map_err(Failure::program("prctl"))?;
    let began = Instant::now();
    let Order { exercise, folder, sandbox, .. } = &order;
    let built = order.compiler.compile(sandbox.as_ref(), folder, exercise)?;
    let (build_error, checked) = match built {
        Built::Failed(why) => (Some(why), Vec::new()),
        Built::Program { path, .. } => (None, check(&order, path)?),
    };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
    let memory = usage.map_or(0, |usage| usage.max_rss().unsigned_abs());
    Ok(Outcome { build_error, checked, seconds: began.elapsed().as_secs_f64(), memory })
}

fn check(order: &Order, program: PathBuf) -> Result<Vec<Checked>, Failure> {
    let temporary = order.folder.join("tmp");
    let place = PathBuf::from(PLACE).join(&order.exercise);
    let (sandbox, program) = match &order.sandbox {
        // What a check makes for the program to read is where the check has it.
        Some(sandbox) => {
            let sandbox = sandbox.clone().show(program, &place).show(&temporary, &temporary);
            (Some(sandbox), place)
        }
        None => (None, program),
    };
    let jobs: Vec<Job> = order
        .checks
        .iter()
        .map(|check| Job {
            exercise: order.exercise.clone(),
            check: check.clone(),
            seed: order.seed,
            sandbox: sandbox.clone(),
            command: launch(&program, &order.args),
            hang: None,
        })
        .collect();
    let mut checked = many::run(&jobs)?;
    // A machine that is busy is late now and then, and nobody shall have fewer points for that. But what is
    // wrong may look right now and then, too: two of three decide.
    for (job, checked) in jobs.iter().zip(&mut checked) {
        let first = &checked.report;
        if !first.is_failure() || first.not_ready || first.got == many::NOT_STARTED {
            continue;
        }
        let passes = |report: &Report| report.verdict == Verdict::Pass;
        let second = runner::run(job)?;
        if passes(&second) && passes(&runner::run(job)?) {
            let evidence =
                format!("{}; the first of three times it got {}", second.evidence, first.got);
            checked.report = Report { evidence, ..second };
        }
    }
    Ok(checked)
}
