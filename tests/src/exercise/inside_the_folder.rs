//! inside-the-folder: a web server opens files of one folder, and nothing outside it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use netcheck::{Run, evidence};
use tempfile::TempDir;

use super::{Check, Exercise, Fault, Service, Subject, shown};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "inside-the-folder",
    recipe: "epoll-web",
    args: &["--port", "{port}", "--dir", "{dir}"],
    checks: &[
        Check {
            id: "files",
            statement: "files are served, and index.html for a folder; what is not there is 404",
            run: files,
        },
        Check {
            id: "outside",
            statement: "neither `..` nor a link leads out of the folder",
            run: outside,
        },
        Check {
            id: "links-inside",
            statement: "a link that stays in the folder is followed",
            run: links_inside,
        },
        Check {
            id: "fifo",
            statement: "a FIFO in the folder is not served, and stops nothing",
            run: fifo,
        },
        Check { id: "names", statement: "what a browser has encoded is decoded once", run: names },
        Check {
            id: "folder",
            statement: "a folder without a `/` behind it is redirected to the one with it",
            run: folder,
        },
        Check {
            id: "descriptors",
            statement: "no request leaves a descriptor open, whatever its answer is",
            run: descriptors,
        },
    ],
};

/// What is in the file beside the folder that is served.
const SECRET: &str = "THE SECRET OF THE HOUSE";

/// A server of a folder that was made for it.
struct Site {
    service: Service,
    /// What is in `page.txt`, other words in each run.
    page: Vec<u8>,
    folder: TempDir,
}

impl Site {
    fn start(subject: &Subject) -> Result<Site, Fault> {
        let page = subject.line(1);
        let made = tempfile::tempdir().and_then(|folder| {
            make_site(&folder.path().join("site"), &page)?;
            Ok(folder)
        });
        let folder = made.map_err(|why| Fault::Broken(format!("make a folder: {why}")))?;
        let dir = folder.path().join("site").to_string_lossy().into_owned();
        let service = subject.with("{dir}", dir).serve()?;
        Ok(Site { service, page, folder })
    }

    /// The answer to a GET.
    fn get(&self, target: &str) -> Result<Answer, Fault> {
        let mut client = self.service.connect()?;
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.send(request.as_bytes())?;
        let bytes = client.receive_all().map_err(|fault| about(target, fault))?;
        let answer = Answer::parse(&bytes);
        answer.ok_or_else(|| self.wrong(target, "an answer of HTTP/1", shown(&bytes)))
    }

    /// A target whose body has to be this.
    fn serves(&self, target: &str, body: &[u8]) -> Result<(), Fault> {
        let answer = self.get(target)?;
        if answer.status == 200 && answer.body == body {
            return Ok(());
        }
        Err(self.wrong(target, &format!("200 and {}", shown(body)), answer.shown()))
    }

    /// A target that has to be refused, after which the server still serves.
    fn refuses(&self, target: &str) -> Result<(), Fault> {
        let answer = self.get(target)?;
        let has_secret = answer.body.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        if (400..500).contains(&answer.status) && !has_secret {
            return self.serves("/page.txt", &self.page);
        }
        Err(self.wrong(target, "404, or another status from 400 to 499", answer.shown()))
    }

    fn wrong(&self, target: &str, expected: &str, got: impl Into<String>) -> Fault {
        about(target, self.service.wrong(expected, got, ""))
    }
}

/// Says which request a fault is about.
fn about(target: &str, mut fault: Fault) -> Fault {
    if let Fault::Wrong(wrong) = &mut fault {
        wrong.expected = format!("GET {target}: {}", wrong.expected);
    }
    fault
}

/// An answer of HTTP/1.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Answer> {
        const END: &[u8] = b"\r\n\r\n";
        let end = bytes.windows(END.len()).position(|part| part == END)?;
        let (head, body) = bytes.split_at(end + END.len());
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head, body: body.to_vec() })
    }

    fn shown(&self) -> String {
        format!("{} and {}", self.status, shown(&self.body))
    }

    /// Where a redirection leads.
    fn location(&self) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("location").then(|| value.trim())
        })
    }
}

/// The folder that is served, and beside it what is not.
fn make_site(site: &Path, page: &[u8]) -> io::Result<()> {
    for folder in ["docs", "empty"] {
        fs::create_dir_all(site.join(folder))?;
    }
    fs::write(site.with_file_name("secret"), SECRET)?;
    for (name, text) in [
        ("page.txt", page),
        ("index.html", b"<p>the index\n"),
        ("docs/index.html", b"<p>the index of docs\n"),
        ("a b.txt", b"a name with a blank\n"),
        ("A.txt", b"a name of one letter\n"),
        ("%41.txt", b"a name with a per cent sign\n"),
    ] {
        fs::write(site.join(name), text)?;
    }
    symlink("page.txt", site.join("inside.txt"))?;
    symlink("../page.txt", site.join("docs/inside.txt"))?;
    symlink("docs", site.join("same-docs"))?;
    symlink("../secret", site.join("outside.txt"))?;
    symlink(site.with_file_name("secret"), site.join("absolute.txt"))?;
    symlink("..", site.join("above"))
}

fn files(subject: &Subject) -> Result<String, Fault> {
    let site = Site::start(subject)?;
    site.serves("/page.txt", &site.page)?;
    site.serves("/", b"<p>the index\n")?;
    site.serves("/docs/", b"<p>the index of docs\n")?;
    site.refuses("/none.txt")?;
    Ok("3 files, and 404".to_owned())
}

fn outside(subject: &Subject) -> Result<String, Fault> {
    const TARGETS: &[&str] = &[
        "/../secret",
        "/docs/../../secret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/docs/%2E%2E/%2E%2E/secret",
        "/outside.txt",
        "/absolute.txt",
        "/above/secret",
        "/above/site/../secret",
    ];
    let site = Site::start(subject)?;
    TARGETS.iter().try_for_each(|target| site.refuses(target))?;
    Ok(format!("{} ways out, none is open", TARGETS.len()))
}

fn links_inside(subject: &Subject) -> Result<String, Fault> {
    let site = Site::start(subject)?;
    site.serves("/inside.txt", &site.page)?;
    site.serves("/docs/inside.txt", &site.page)?;
    site.serves("/same-docs/", b"<p>the index of docs\n")?;
    Ok("3 links are followed".to_owned())
}

fn fifo(subject: &Subject) -> Result<String, Fault> {
    let site = Site::start(subject)?;
    let pipe = site.folder.path().join("site/pipe.txt");
    let made = Run::program("mkfifo").arg(&pipe).finish();
    if !made.status.success() {
        return Err(Fault::Broken(format!("mkfifo: {}", made.stderr_text())));
    }
    let again = ["mkfifo site/pipe.txt; timeout 2 curl -i http://127.0.0.1:7777/pipe.txt"];
    site.refuses("/pipe.txt").map_err(|fault| fault.again(&again))?;
    Ok("404, and the next request is answered".to_owned())
}

fn names(subject: &Subject) -> Result<String, Fault> {
    let site = Site::start(subject)?;
    site.serves("/a%20b.txt", b"a name with a blank\n")?;
    site.serves("/%41.txt", b"a name of one letter\n")?;
    site.serves("/%2541.txt", b"a name with a per cent sign\n")?;
    site.refuses("/%252e%252e/secret")?;
    Ok("%41 is A, and %2541 is %41".to_owned())
}

fn folder(subject: &Subject) -> Result<String, Fault> {
    let site = Site::start(subject)?;
    let answer = site.get("/docs")?;
    let location = answer.location().unwrap_or("none");
    if matches!(answer.status, 301 | 302 | 307 | 308) && location.ends_with("/docs/") {
        return Ok(format!("{}, Location: {location}", answer.status));
    }
    let got = format!("{}, Location: {location}", answer.status);
    Err(site.wrong("/docs", "301, Location: /docs/", got))
}

fn descriptors(subject: &Subject) -> Result<String, Fault> {
    const TIMES: usize = 20;
    let site = Site::start(subject)?;
    let service = &site.service;
    let open = || evidence::descriptors(service.pid()).len();
    site.serves("/page.txt", &site.page)?;
    let mut before = open();
    // The connection of the first request may not be closed yet.
    let evidence = format!("/proc/{}/fd", service.pid());
    service.until("a connection is closed after its answer", || {
        let last = std::mem::replace(&mut before, open());
        (last == before).then(String::new).ok_or((format!("{last} descriptors"), evidence.clone()))
    })?;
    for _ in 0..TIMES {
        for target in ["/page.txt", "/docs", "/none.txt", "/outside.txt", "/empty/"] {
            site.get(target)?;
        }
    }
    let expected = format!("after {} requests as many descriptors as before: {before}", 5 * TIMES);
    service.until(&expected, || match open() {
        count if count <= before => Ok(format!("{count} descriptors ({evidence})")),
        count => Err((format!("{count} descriptors"), evidence.clone())),
    })
}
