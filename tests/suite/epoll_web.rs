//! epoll-web: what it answers, to whom, and which files it never opens.

mod ends;
mod paths;
mod peers;
mod requests;

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Server, Skip, need, peer};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let curl = topic(
        "epoll_web",
        tests![
            curl_gets_a_file_its_head_and_a_part_of_it,
            curl_gets_several_files_over_one_connection,
            curl_is_told_that_its_copy_is_as_good,
            curl_sends_a_body_and_is_told_that_nobody_wants_it,
        ],
    );
    let all = [curl, requests::trials(), paths::trials(), peers::trials(), ends::trials()];
    all.into_iter().flatten().collect()
}

const SECOND: Duration = Duration::from_secs(1);

/// What is in the file `page.html`.
const PAGE: &str = "<p>a page\n";

/// How many bytes are in the file `big.bin`, more than all buffers on the way hold.
const BIG: usize = 8 << 20;

/// A server of a folder of its own.
struct Web {
    server: Server,
    /// It has `site`, which is served, and what lies beside that.
    folder: tempfile::TempDir,
}

impl Web {
    fn start(args: &[&str]) -> Self {
        Self::start_run(args, |run| run)
    }

    fn start_run(args: &[&str], with: impl FnOnce(Run) -> Run) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        fs::create_dir_all(site.join("docs")).unwrap();
        fs::create_dir(site.join("empty")).unwrap();
        for (name, text) in [
            ("site/index.html", "the index\n"),
            ("site/page.html", PAGE),
            ("site/docs/index.html", "the index of docs\n"),
            ("site/.hidden", "SECRET"),
            ("secret", "SECRET"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::write(site.join("big.bin"), peer::pattern(1, BIG)).unwrap();
        let run = Run::new("epoll-web").args(["--port", "0", "--dir"]).arg(&site).args(args);
        Self { server: Server::start_run(with(run)), folder }
    }

    /// Sends this, shuts down the sending side, and returns all that comes.
    fn request(&self, request: &str) -> String {
        let answer = peer::exchange(self.server.address(), request.as_bytes()).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer to a GET of this target, the last one on its connection.
    fn get(&self, target: &str) -> String {
        self.request(&format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    }

    /// A client whose first request has been answered, and whose connection is kept.
    fn served(&self) -> TcpStream {
        let mut client = peer::connect(self.server.address()).unwrap();
        assert_eq!(page_of(&mut client), PAGE);
        client
    }

    fn logs(&self, words: &str) {
        let logged = self.server.wait_stderr(|log| log.contains(words), 10 * SECOND);
        assert!(logged, "{words:?}?\n{}", self.server.stderr());
    }

    fn curl(&self, args: &[&str], target: &str) -> Finished {
        let url = format!("http://{}{target}", self.server.address());
        let finished = Run::program("curl").args(["-s", "-S"]).args(args).arg(url).finish();
        assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
        finished
    }
}

/// The status of an answer.
fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect(answer)
}

/// The value of a field of an answer's head.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Asks for `page.html`, and reads exactly the answer.
fn page_of(client: &mut TcpStream) -> String {
    std::io::Write::write_all(client, b"GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    body_of(client)
}

/// Reads exactly one answer, and returns its body.
fn body_of(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = field(&head, "Content-Length").expect("a length").parse().unwrap();
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn curl_gets_a_file_its_head_and_a_part_of_it() -> Result<(), Skip> {
    need(Need::Curl)?;
    let web = Web::start(&[]);
    let big = peer::pattern(1, BIG);
    assert!(web.curl(&[], "/big.bin").stdout == big);
    let part = web.curl(&["-r", "1000000-5000000"], "/big.bin").stdout;
    assert!(part == big[1_000_000..=5_000_000], "{} bytes", part.len());
    let head = web.curl(&["-I"], "/big.bin").stdout_text();
    assert_eq!((status(&head), field(&head, "Content-Length")), ("200", Some("8388608")));
    assert_eq!(field(&head, "Content-Type"), Some("application/octet-stream"));
    let none = web.curl(&["-i", "-r", "8388608-"], "/big.bin").stdout_text();
    assert_eq!((status(&none), field(&none, "Content-Range")), ("416", Some("bytes */8388608")));
    Ok(())
}

fn curl_gets_several_files_over_one_connection() -> Result<(), Skip> {
    need(Need::Curl)?;
    let web = Web::start(&[]);
    let second = format!("http://{}/none", web.server.address());
    let show = ["-w", "%{http_code} %{num_connects}\n", "-o", "/dev/null", "-o", "/dev/null"];
    let shown = web.curl(&[&show[..], &[&second]].concat(), "/big.bin").stdout_text();
    assert_eq!(shown, "404 1\n200 0\n");
    let shown = web.curl(&[&show[..], &["-0", &second]].concat(), "/big.bin").stdout_text();
    assert_eq!(shown, "404 1\n200 1\n");
    Ok(())
}

fn curl_is_told_that_its_copy_is_as_good() -> Result<(), Skip> {
    need(Need::Curl)?;
    let web = Web::start(&[]);
    let code =
        |date: &str| web.curl(&["-w", "%{http_code}", "-z", date], "/page.html").stdout_text();
    let file = web.folder.path().join("site/page.html");
    let changed = std::time::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
    fs::File::options().write(true).open(file).unwrap().set_modified(changed).unwrap();
    assert_eq!(code("Sun, 06 Nov 1994 08:49:37 GMT"), "304");
    assert_eq!(code("Sun, 06 Nov 1994 08:49:36 GMT"), format!("{PAGE}200"));
    Ok(())
}

fn curl_sends_a_body_and_is_told_that_nobody_wants_it() -> Result<(), Skip> {
    need(Need::Curl)?;
    let web = Web::start(&[]);
    let folder = web.folder.path().join("site/big.bin");
    let big = format!("@{}", folder.display());
    let code = |args: &[&str]| {
        web.curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], args].concat(), "/page.html")
            .stdout_text()
    };
    assert_eq!(code(&["-d", "few"]), "405");
    assert_eq!(code(&["-X", "GET", "-d", "few"]), "200");
    assert_eq!(code(&["--data-binary", &big]), "405");
    assert_eq!(code(&["-X", "GET", "--data-binary", &big]), "413");
    assert_eq!(code(&["-H", "Expect:", "-X", "GET", "--data-binary", &big]), "413");
    assert_eq!(code(&["-X", "GET", "-H", "Transfer-Encoding: chunked", "-d", "few"]), "411");
    Ok(())
}
