//! Starts a program in a sandbox that is there, and ends as it ends.
//!
//! This process is outside of the sandbox's process numbers: nothing in there can name it.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};

use netcheck::sys;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The word that makes this program the one that enters.
pub const NAME: &str = "enter";

/// All of the environment that a program in a sandbox has.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] =
    [("PATH", "/usr/bin:/bin"), ("HOME", "/tmp"), ("LANG", "C.UTF-8")];

/// What this process ends with, when it has started nothing; the check then says so.
const NOT_STARTED: u8 = 71;

/// Limits beside those of [`netcheck::Run::bounded`]: address space and processor time of each process,
/// its descriptors, and the processes and threads of them all.
const LIMITS: [(Resource, u64); 3] =
    [(Resource::RLIMIT_AS, 8 << 30), (Resource::RLIMIT_CPU, 60), (Resource::RLIMIT_NOFILE, 4096)];
const MOST_PROCESSES: u64 = 256;

/// `PID COMMAND…`: the process 1 of the sandbox, and what to start.
pub fn main(words: &[String]) -> ExitCode {
    match enter(words) {
        Ok(status) => sys::end_as(status),
        Err(why) => {
            // The check shows the last line.
            let _ = io::Write::write_all(
                &mut io::stderr(),
                format!("enter the sandbox: {why}\n").as_bytes(),
            );
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn enter(words: &[String]) -> io::Result<ExitStatus> {
    let [holder, program, args @ ..] = words else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let holder = sys::pidfd_open(holder.parse().map_err(io::Error::other)?)?;
    // Until exec, nothing in there is to look at what is of this process.
    prctl::set_dumpable(false)?;
    let kinds = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let counts_each_sandbox = counts_each_sandbox();
    setns(holder, kinds)?;
    prctl::set_no_new_privs()?;
    for (resource, most) in LIMITS {
        limit(resource, most)?;
    }
    if counts_each_sandbox {
        limit(Resource::RLIMIT_NPROC, MOST_PROCESSES)?;
    }
    // A signal for the program may come before there is one.
    SigSet::all().thread_block()?;
    let mut command = Command::new(program);
    command.args(args).current_dir("/tmp").env_clear().envs(ENVIRONMENT);
    // A group reaches across process numbers: kill(0, …) in there would be for this process too.
    command.process_group(0);
    sys::unblock_signals(&mut command);
    let child = Pid::from_raw(command.spawn()?.id().cast_signed());
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => return Ok(ExitStatus::from_raw(code << 8)),
            WaitStatus::Signaled(_, signal, _) => return Ok(ExitStatus::from_raw(signal as i32)),
            _ => {}
        }
        match SigSet::all().wait()? {
            Signal::SIGCHLD => {}
            // ESRCH: it has just ended, and SIGCHLD comes.
            signal => drop(kill(child, signal)),
        }
    }
}

/// Lowers a limit, and raises none.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    Ok(setrlimit(resource, soft.min(most), hard.min(most))?)
}

/// Whether the kernel counts the processes of each user namespace: since Linux 5.14. Before, all other
/// processes of this user would count, and only the check bounds them.
fn counts_each_sandbox() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 14)
}
