//! A story before a class: each step and each statement waits for Enter, and says where to look meanwhile.

use std::io::BufRead;

use crate::evidence;

/// Reads the answers: Enter goes on, `q` ends the story.
pub(crate) struct Pause {
    answers: Box<dyn BufRead>,
    servers: Vec<Watched>,
}

/// A server that was started: its process, and the port that it listens on.
struct Watched {
    pid: i32,
    port: u16,
}

/// Unwinds a story that is to end: what it started ends with it.
pub(crate) struct Quit;

impl Pause {
    pub(crate) fn new(answers: Box<dyn BufRead>) -> Self {
        Self { answers, servers: Vec::new() }
    }

    pub(crate) fn watch(&mut self, pid: i32, port: u16) {
        self.servers.push(Watched { pid, port });
    }

    /// What comes next, and what can be typed in another terminal about every server that runs.
    pub(crate) fn lines(&self, next: &str) -> Vec<String> {
        let mut lines = vec![String::new(), format!("next  {next}")];
        let is_running =
            |it: &&Watched| evidence::state(it.pid).is_some_and(|state| !"ZX".contains(state));
        for Watched { pid, port } in self.servers.iter().filter(is_running) {
            lines.push(format!("look  ss -tuanp 'sport = :{port} or dport = :{port}'"));
            lines.push(format!(
                "      ls -l /proc/{pid}/fd; ps -o pid,stat,wchan:20,cmd --pid {pid} --ppid {pid}"
            ));
            lines.push(format!("      strace -f -p {pid}"));
        }
        lines
    }

    /// Waits for Enter; false for `q`, and at the end of the input.
    pub(crate) fn goes_on(&mut self) -> bool {
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer).unwrap_or(0);
        read > 0 && answer.trim() != "q"
    }
}
