//! Who holds a port, as far as /proc tells (proc(5)).

use std::fs;

/// A line about the port: the processes that listen on it, or the connections that keep it.
pub(crate) fn of(port: u16) -> String {
    let (mut listeners, mut waiting, mut others) = (Vec::new(), 0, 0);
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) =
                (words.get(1), words.get(3), words.get(9))
            else {
                continue;
            };
            // The address and the port are hexadecimal: 0100007F:205A.
            if !local.ends_with(&format!(":{port:04X}")) {
                continue;
            }
            match *state {
                LISTEN => listeners.push((*inode).to_owned()),
                TIME_WAIT => waiting += 1,
                _ => others += 1,
            }
        }
    }
    let owners: Vec<String> = listeners.iter().flat_map(|inode| owners(inode)).collect();
    if !owners.is_empty() {
        format!("port {port} is held by {}", owners.join(", "))
    } else if !listeners.is_empty() {
        format!("port {port} is held by a listener of a process that is not ours to look into")
    } else {
        format!(
            "nobody listens on port {port}: {waiting} connections in TIME_WAIT, {others} others"
        )
    }
}

/// States of a TCP socket in that table (include/net/tcp_states.h).
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

/// The processes that have the socket with this inode: `pid 4711 (nginx)`.
fn owners(inode: &str) -> Vec<String> {
    let socket = format!("socket:[{inode}]");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let fds = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        if links.any(|link| link.as_os_str() == socket.as_str()) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name = netcore::text::escape(name.trim_end().as_bytes());
            found.push(format!("pid {} ({name})", process.file_name().display()));
        }
    }
    found
}
