//! Whether this machine has what a sandbox takes; if not, why not, and what to do.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use netcheck::{NOBODY, Need, Run, namespace, need};
use nix::unistd::geteuid;

use crate::runner;
use crate::sandbox::{Holder, Sandbox, become_user};
use xtask::Failure;

/// The word that makes this program the process that tries a sandbox.
pub const NAME: &str = "try-sandbox";

/// What helps nobody else.
const INSTEAD: &str = "In a container that has nothing but this class, --unsafe-no-sandbox grades without \
                       one: then a submission can do what you can.";

/// Who runs the submissions, if not the one who grades: of root's files they shall not be.
pub(crate) fn other_user() -> Option<u32> {
    (geteuid().is_root() && need(Need::OtherUser).is_ok()).then_some(NOBODY)
}

/// A sandbox, tried with `program`, a copy of this one that `user` may run.
///
/// # Errors
/// It cannot be made, with what to do.
pub(crate) fn sandbox(program: &Path, user: Option<u32>) -> Result<Sandbox, Failure> {
    let help = std::process::Command::new("bwrap").arg("--help").output();
    let Ok(help) = help else {
        return Err(refused("bwrap is not found", "install it: apt-get install bubblewrap"));
    };
    let forbids_users = String::from_utf8_lossy(&help.stdout).contains("--disable-userns");
    let sandbox = Sandbox { forbids_users, ..Sandbox::default() };
    let tried = runner::start(Run::program(program), NAME, &(user, &sandbox))?;
    let ended = tried.wait(Duration::from_secs(60));
    if ended.is_some_and(|status| status.success()) {
        return Ok(sandbox);
    }
    let why = tried.stderr();
    Err(refused(why.trim_end(), advice(&why, &setting)))
}

fn refused(why: &str, advice: &str) -> Failure {
    Failure::Missing(format!(
        "no sandbox for the submissions: {why}\n\n{advice}\n\n{INSTEAD}\n\
         (cargo xtask exercise check needs none.)"
    ))
}

/// A setting of the kernel, sysctl(8).
fn setting(name: &str) -> String {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// What to do, by what the kernel forbids.
fn advice(why: &str, setting: &dyn Fn(&str) -> String) -> &'static str {
    if setting("kernel.apparmor_restrict_unprivileged_userns") == "1" {
        "This system lets only programs with a profile of AppArmor make user namespaces. For the time of \
         grading: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else if setting("kernel.unprivileged_userns_clone") == "0" {
        "This system lets only root make user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1"
    } else if setting("user.max_user_namespaces") == "0" || why.contains("No space left") {
        "This system allows no user namespaces, or too few: sudo sysctl user.max_user_namespaces=15000"
    } else {
        "A container forbids namespaces unless it is started with the right to make them: \
         docker run --privileged, or podman run --security-opt seccomp=unconfined --security-opt unmask=ALL"
    }
}

/// Makes a sandbox, and runs a program in it.
pub fn main(order: &str) -> ExitCode {
    let tried = serde_json::from_str::<(Option<u32>, Sandbox)>(order)
        .map_err(|why| why.to_string())
        .and_then(|(user, sandbox)| attempt(user, &sandbox));
    match tried {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // What starts it shows what it says.
            let _ = io::Write::write_all(&mut io::stderr(), why.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn attempt(user: Option<u32>, sandbox: &Sandbox) -> Result<(), String> {
    let failed = |what: &'static str| move |why: io::Error| format!("{what}: {why}");
    if let Some(user) = user {
        become_user(user, &[]).map_err(failed("become another user"))?;
        // Who has become another user must not write to /proc/self: exec begins anew.
        let own = std::env::current_exe().map_err(failed("find this program"))?;
        let order =
            serde_json::to_string(&(None::<u32>, sandbox)).map_err(|why| why.to_string())?;
        let again = Run::program(own).args([NAME, &order]).finish();
        return if again.status.success() { Ok(()) } else { Err(again.stderr_text()) };
    }
    namespace::own_network().map_err(failed("a network without peers (unshare)"))?;
    let holder = Holder::start(sandbox)?;
    let wrapper = holder.wrapper().map_err(failed("find this program"))?;
    let ran = Run::program("true").under(&wrapper).finish();
    if ran.status.success() { Ok(()) } else { Err(ran.stderr_text()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_advice_is_for_what_the_kernel_forbids() {
        let advice = |name: &'static str, value: &'static str, why| {
            let set = move |asked: &str| if asked == name { value } else { "" }.to_owned();
            super::advice(why, &set)
        };
        let [ubuntu, debian] =
            ["kernel.apparmor_restrict_unprivileged_userns", "kernel.unprivileged_userns_clone"];
        for (name, value) in [(ubuntu, "1"), (debian, "0"), ("user.max_user_namespaces", "0")] {
            assert!(advice(name, value, "EPERM").contains(&format!("sudo sysctl {name}=")));
        }
        assert!(advice("", "", "unshare: No space left on device").contains("max_user_namespaces"));
        assert!(advice(ubuntu, "0", "Operation not permitted").contains("docker run --privileged"));
    }
}
