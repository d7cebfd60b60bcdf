//! The web servers: what they serve, how the others are configured, and what wrk says of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::Run;
use nix::sched::CpuSet;

/// The files of the site, by size.
pub(crate) const SMALL: usize = 1 << 10;
pub(crate) const LARGE: usize = 1 << 20;

/// One worker, sendfile, and no access log. Without a master there is no change of user, which a user
/// namespace does not allow.
pub(crate) const NGINX: &str = r#"daemon off; master_process off; user root; error_log stderr error;
pid "{folder}/nginx.pid";
events { worker_connections 4096; }
http {
    access_log off; sendfile on; keepalive_requests 100000000;
    client_body_temp_path "{folder}/nginx-body"; proxy_temp_path "{folder}/nginx-proxy";
    fastcgi_temp_path "{folder}/nginx-fastcgi"; uwsgi_temp_path "{folder}/nginx-uwsgi";
    scgi_temp_path "{folder}/nginx-scgi";
    server { listen 127.0.0.1:{port} backlog=4096; root "{site}"; }
}
"#;

/// The same of lighttpd, which has no log unless it is asked for one.
pub(crate) const LIGHTTPD: &str = r#"server.document-root = "{site}"
server.bind = "127.0.0.1"
server.port = {port}
server.network-backend = "sendfile"
server.max-keep-alive-requests = 0
server.max-fds = 8192
server.max-connections = 4096
server.listen-backlog = 4096
mimetype.assign = ("" => "application/octet-stream")
"#;

/// The site, in a folder that it makes.
pub(crate) fn site(folder: &Path) -> Result<PathBuf, String> {
    let site = folder.join("site");
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(&site)?;
        for size in [SMALL, LARGE] {
            fs::write(site.join(size.to_string()), vec![b'x'; size])?;
        }
        Ok(())
    };
    make().map_err(|why| format!("make {}: {why}", site.display()))?;
    Ok(site)
}

/// What wrk says of a second.
pub(crate) struct Requests {
    pub(crate) per_second: f64,
    pub(crate) count: f64,
}

/// Loads a server with requests for one file, on connections that are kept or not.
///
/// # Errors
/// A request that failed; an answer other than the file.
pub(crate) fn load(
    server: SocketAddr,
    size: usize,
    kept: bool,
    clients: u16,
    cpu: Option<CpuSet>,
) -> Result<Requests, String> {
    is_whole(server, size)?;
    let wrk = Run::program("wrk").args(["-t", "1", "-d", "1s", "-c", &clients.to_string()]);
    let wrk = if kept { wrk } else { wrk.args(["-H", "Connection: close"]) };
    let finished = wrk.arg(format!("http://{server}/{size}")).cpus(cpu).finish();
    let text = finished.stdout_text();
    if !finished.status.success() {
        return Err(finished.stderr_text().trim_end().to_owned());
    }
    let complaint = |line: &&str| line.contains("Non-2xx") || is_error(line);
    if let Some(line) = text.lines().find(complaint) {
        return Err(line.trim().to_owned());
    }
    let figures = || {
        let (_, per_second) = text.split_once("Requests/sec:")?;
        let (before, _) = text.split_once(" requests in ")?;
        Some(Requests {
            per_second: per_second.split_whitespace().next()?.parse().ok()?,
            count: before.split_whitespace().last()?.parse().ok()?,
        })
    };
    figures().ok_or_else(|| format!("wrk says no figures: {text}"))
}

/// wrk counts as an error of `read` that a server closed the connection after its answer, which is right
/// without keep-alive; the others are requests that failed.
fn is_error(line: &str) -> bool {
    let Some((_, errors)) = line.split_once("Socket errors: ") else { return false };
    let is_real = |error: &str| !error.starts_with("read ") && !error.ends_with(" 0");
    errors.split(", ").any(is_real)
}

/// wrk counts the answers and not their bytes: they are counted here once.
fn is_whole(server: SocketAddr, size: usize) -> Result<(), String> {
    let get = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /{size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = get().map_err(|why| format!("GET /{size}: {why}"))?;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |end| end + 4);
    let body = answer.len() - head;
    if body == size { Ok(()) } else { Err(format!("GET /{size}: a body of {body} bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_after_the_answer_is_no_error_and_a_timeout_is_one() {
        assert!(!is_error("  Socket errors: connect 0, read 400, write 0, timeout 0"));
        assert!(is_error("  Socket errors: connect 0, read 0, write 0, timeout 3"));
        assert!(!is_error("Requests/sec:  400.00"));
    }
}
