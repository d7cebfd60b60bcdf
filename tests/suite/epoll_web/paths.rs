//! Paths that try to lead out of the folder, and files that are none.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Skip, need, peer};

use super::{PAGE, Web, field, status};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "epoll_web::paths",
        tests![
            no_path_leads_out_of_the_folder,
            nothing_outside_is_even_opened,
            a_link_is_followed_as_long_as_it_stays_inside,
            a_link_is_followed_while_anybody_renames,
            an_open_is_tried_32_times,
            the_links_of_proc_lead_nowhere,
            only_regular_files_are_served,
            a_folder_has_its_index_and_a_slash,
            a_name_may_have_any_characters,
            the_folder_well_known_is_served,
            a_folder_without_index_is_listed_where_that_is_asked_for,
            a_folder_that_is_none_is_74,
            a_kernel_without_openat2_is_71,
        ],
    )
}

/// What a browser never asks for.
const TRICKS: [&str; 27] = [
    "/../secret",
    "/..",
    "/../",
    "/docs/../../secret",
    "/docs/../page.html",
    "/%2e%2e/secret",
    "/.%2e/secret",
    "/%2E%2E/secret",
    "/..%2fsecret",
    "/..%2Fsecret",
    "/docs/..%2f..%2fsecret",
    "/docs%2f..%2f..%2fsecret",
    "/%2e%2e%2fsecret",
    "/%252e%252e/secret",
    "/..\\secret",
    "/..%5csecret",
    "/..%00/secret",
    "/page.html%00",
    "/%c0%ae%c0%ae/secret",
    "/..;/secret",
    "//etc/passwd",
    "/%2fetc%2fpasswd",
    "/./page.html",
    "/.hidden",
    "/%2ehidden",
    "../secret",
    "http://a/../secret",
];

fn no_path_leads_out_of_the_folder() -> Result<(), Skip> {
    let web = Web::start(&[]);
    // RFC 3986: what is not allowed in a path is encoded.
    let encoded = |byte: &u8| match byte {
        b'/' | b'.' | b'-' | b'_' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    let secret = web.folder.path().join("secret");
    let absolute: String = secret.as_os_str().as_bytes().iter().map(encoded).collect();
    for trick in TRICKS.into_iter().chain([absolute.as_str(), &format!("/{absolute}")]) {
        let answer = web.get(trick);
        assert!(["400", "404"].contains(&status(&answer)), "{trick}: {answer}");
        assert!(!answer.contains("SECRET") && !answer.contains("root:"), "{trick}: {answer}");
    }
    assert_eq!(status(&web.get("/page.html")), "200");
    Ok(())
}

fn nothing_outside_is_even_opened() -> Result<(), Skip> {
    need(Need::Strace)?;
    let mut trace = None;
    let web = Web::start_run(&[], |run| {
        let (run, file) = run.traced(&["trace=open,openat,openat2"]);
        trace = Some(file);
        run
    });
    symlink("../secret", web.folder.path().join("site/out")).unwrap();
    for trick in TRICKS.into_iter().chain(["/out"]) {
        web.get(trick);
    }
    assert_eq!(status(&web.get("/page.html")), "200");
    let calls = || trace.as_ref().unwrap().calls().into_iter();
    let of_page =
        |call: &netcheck::Call| call.args.contains("page.html") && !call.result.is_empty();
    netcheck::evidence::wait_until(10 * super::SECOND, || calls().find(of_page)).expect("a trace");
    // The first one is the question whether there is such a call.
    let opened = calls().filter(|call| call.name == "openat2" && !call.result.starts_with('-'));
    let opened: Vec<String> = opened.map(|call| call.args).collect();
    assert!(opened.len() == 2 && opened[1].contains("\"page.html\""), "{opened:#?}");
    assert!(opened[1].contains("RESOLVE_BENEATH"), "{opened:#?}");
    Ok(())
}

fn a_link_is_followed_as_long_as_it_stays_inside() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let site = web.folder.path().join("site");
    for (name, target, expected) in [
        ("inside", "docs/../page.html", "200"),
        ("docs/up", "../page.html", "200"),
        ("out", "../secret", "404"),
        ("out-folder", "..", "404"),
        ("loop", "loop", "404"),
        ("dangling", "nothing", "404"),
        ("slash", "/", "404"),
        ("magic", "/proc/self/root", "404"),
        ("there-and-back", "../site/page.html", "404"),
    ] {
        symlink(target, site.join(name)).unwrap();
        let answer = web.get(&format!("/{name}"));
        assert_eq!(status(&answer), expected, "{name} -> {target}");
        assert_eq!(answer.ends_with(PAGE), expected == "200", "{name} -> {target}");
    }
    symlink(site.join("page.html"), site.join("absolute")).unwrap();
    for target in ["/absolute", "/out-folder/secret", "/slash/etc/passwd", "/magic/etc/passwd"] {
        assert_eq!(status(&web.get(target)), "404", "{target}");
    }
    Ok(())
}

fn a_link_is_followed_while_anybody_renames() -> Result<(), Skip> {
    let web = Web::start(&["-q"]);
    symlink("../page.html", web.folder.path().join("site/docs/up")).unwrap();
    let (here, there) = (web.folder.path().join("a"), web.folder.path().join("b"));
    fs::create_dir(&here).unwrap();
    let answers = std::thread::scope(|scope| {
        let asks = scope.spawn(|| (0..2_000).map(|_| web.get("/docs/up")).collect::<Vec<_>>());
        while !asks.is_finished() {
            fs::rename(&here, &there).unwrap();
            fs::rename(&there, &here).unwrap();
        }
        asks.join().unwrap()
    });
    let found = answers.iter().filter(|answer| answer.ends_with(PAGE)).count();
    assert_eq!(found, answers.len(), "of {}", answers.len());
    Ok(())
}

fn an_open_is_tried_32_times() -> Result<(), Skip> {
    need(Need::Strace)?;
    for errno in ["EAGAIN", "EINTR"] {
        for (failures, expected) in [(31, "200"), (32, "503")] {
            // The first call is the question whether there is such a call.
            let inject = format!("inject=openat2:error={errno}:when=2..{}", failures + 1);
            let mut trace = None;
            let web = Web::start_run(&[], |run| {
                let (run, file) = run.traced(&["trace=openat2", &inject]);
                trace = Some(file);
                run
            });
            assert_eq!(status(&web.get("/page.html")), expected, "{failures} times {errno}");
            assert_eq!(status(&web.get("/page.html")), "200", "after it");
        }
    }
    Ok(())
}

fn the_links_of_proc_lead_nowhere() -> Result<(), Skip> {
    let server = Server::start("epoll-web", ["--port", "0", "--dir", "/proc"]);
    let pid = server.pid();
    for target in ["cwd/Cargo.toml", "root/etc/passwd", "exe", "fd/0", "fd/1", "task/none"] {
        for process in ["self", &pid.to_string()] {
            let request = format!("GET /{process}/{target} HTTP/1.0\r\n\r\n");
            let answer = peer::exchange(server.address(), request.as_bytes()).unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert_eq!(status(&answer), "404", "{process}/{target}");
        }
    }
    Ok(())
}

fn only_regular_files_are_served() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let site = web.folder.path().join("site");
    let fifo = site.join("fifo");
    assert!(Run::program("mkfifo").arg(&fifo).finish().status.success());
    let _socket = UnixListener::bind(site.join("socket")).unwrap();
    // To open a FIFO would wait for a writer; here nobody waits.
    for target in ["/fifo", "/socket", "/empty/", "/page.html/", "/page.html/x"] {
        assert_eq!(status(&web.get(target)), "404", "{target}");
    }
    let locked = site.join("locked.txt");
    fs::write(&locked, "SECRET").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
    // Root may read it all the same.
    if fs::read(&locked).is_err() {
        assert_eq!(status(&web.get("/locked.txt")), "403");
    }
    assert_eq!(status(&web.get("/page.html")), "200");
    Ok(())
}

fn a_folder_has_its_index_and_a_slash() -> Result<(), Skip> {
    let web = Web::start(&[]);
    assert!(web.get("/").ends_with("\r\n\r\nthe index\n"));
    assert!(web.get("/docs/?a=b").ends_with("\r\n\r\nthe index of docs\n"));
    assert!(web.get("http://host").ends_with("\r\n\r\nthe index\n"));
    let moved = web.get("/docs?a=b");
    assert_eq!((status(&moved), field(&moved, "Location")), ("301", Some("/docs/?a=b")));
    let moved = web.get("http://host/docs?a=/b?%20c\u{e9}#d");
    assert_eq!(field(&moved, "Location"), Some("/docs/?a=/b?%20c%C3%A9%23d"));
    assert_eq!(field(&web.get("/docs"), "Location"), Some("/docs/"));
    fs::create_dir(web.folder.path().join("site/a\r\nb: c")).unwrap();
    let moved = web.get("/a%0d%0ab:%20c");
    assert_eq!(field(&moved, "Location"), Some("/a%0D%0Ab%3A%20c/"), "{moved}");
    Ok(())
}

fn a_name_may_have_any_characters() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let odd = "a b%2e\u{e9}?#\u{1b}[31m.txt";
    fs::write(web.folder.path().join("site").join(odd), "odd").unwrap();
    let answer = web.get("/a%20b%252e%c3%a9%3f%23%1b[31m.txt");
    assert!(answer.ends_with("\r\n\r\nodd"), "{answer}");
    assert_eq!(field(&answer, "Content-Type"), Some("text/plain; charset=utf-8"));
    web.logs(" GET /a%20b%252e%c3%a9%3f%23%1b[31m.txt: 200, 3 bytes, ");
    let site = web.folder.path().join("site");
    fs::create_dir(site.join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    fs::write(site.join(OsStr::from_bytes(b"caf\xe9/\xff\xfe.html")), "latin").unwrap();
    fs::write(site.join("html"), "no end").unwrap();
    let none = web.get("/html");
    assert_eq!(field(&none, "Content-Type"), Some("application/octet-stream"));
    let answer = web.get("/caf%E9/%ff%FE.html");
    assert!(answer.ends_with("\r\n\r\nlatin"), "{answer}");
    assert_eq!(field(&answer, "Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(field(&web.get("/caf%e9"), "Location"), Some("/caf%E9/"));
    assert_eq!(status(&web.get("/%ff")), "404");
    assert_eq!(status(&web.get("/\u{e9}\u{202e}")), "404");
    web.logs("/\u{e9}\\u{202e}: 404, ");
    Ok(())
}

fn the_folder_well_known_is_served() -> Result<(), Skip> {
    let web = Web::start(&[]);
    let known = web.folder.path().join("site/.well-known");
    fs::create_dir(&known).unwrap();
    fs::write(known.join("security.txt"), "Contact: here\n").unwrap();
    fs::write(known.join(".hidden"), "SECRET").unwrap();
    assert!(web.get("/.well-known/security.txt").ends_with("\r\n\r\nContact: here\n"));
    for target in ["/.well-known/.hidden", "/docs/.well-known/", "/.well-known/../.hidden"] {
        assert_eq!(status(&web.get(target)), "404", "{target}");
    }
    Ok(())
}

fn a_folder_without_index_is_listed_where_that_is_asked_for() -> Result<(), Skip> {
    assert_eq!(status(&Web::start(&[]).get("/empty/")), "404");
    let web = Web::start(&["--list"]);
    let folder = web.folder.path().join("site/empty");
    fs::create_dir(folder.join("sub")).unwrap();
    for name in ["b<i>.txt", "a & b", ".hidden", "Z"] {
        fs::write(folder.join(name), "").unwrap();
    }
    fs::write(folder.join(OsStr::from_bytes(b"caf\xe9")), "latin").unwrap();
    symlink("../page.html", folder.join("link")).unwrap();
    let _socket = UnixListener::bind(folder.join("socket")).unwrap();
    let answer = web.get("/empty/?a");
    let links = "<li><a href=\"Z\">Z</a>\n\
                 <li><a href=\"a%20%26%20b\">a &amp; b</a>\n\
                 <li><a href=\"b%3Ci%3E.txt\">b&lt;i&gt;.txt</a>\n\
                 <li><a href=\"caf%E9\">caf\\xe9</a>\n\
                 <li><a href=\"link\">link</a>\n\
                 <li><a href=\"sub/\">sub/</a>\n";
    assert!(answer.ends_with(&format!("<title>/empty/</title>\n{links}")), "{answer}");
    assert_eq!(field(&answer, "Content-Type"), Some("text/html; charset=utf-8"));
    assert!(web.get("/empty/caf%E9").ends_with("\r\n\r\nlatin"));
    let (moved, sub) = (web.get("/empty/sub"), web.get("/empty/sub/"));
    assert_eq!(field(&moved, "Location"), Some("/empty/sub/"));
    assert!(sub.ends_with("<title>/empty/sub/</title>\n"), "{sub}");
    let head = web.request("HEAD /empty/ HTTP/1.0\r\n\r\n");
    assert!(head.ends_with("\r\n\r\n") && field(&head, "Content-Length").is_some(), "{head}");
    // A folder with an index has that.
    assert!(web.get("/docs/").ends_with("\r\n\r\nthe index of docs\n"));
    assert!(web.get("/").ends_with("\r\n\r\nthe index\n"));
    symlink("..", web.folder.path().join("site/out")).unwrap();
    for target in ["/none/", "/out/", "/page.html/", "/empty/../", "/empty//", "/.git/"] {
        assert_eq!(status(&web.get(target)), "404", "{target}");
    }
    fs::remove_file(web.folder.path().join("site/index.html")).unwrap();
    let names = ["big.bin", "docs/", "empty/", "out", "page.html"];
    let root = web.get("/");
    let listed =
        root.lines().filter_map(|line| line.strip_prefix("<li><a href=\"")?.split('"').next());
    assert_eq!(listed.collect::<Vec<_>>(), names, "{root}");
    Ok(())
}

fn a_folder_that_is_none_is_74() -> Result<(), Skip> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    for (folder, why) in [
        ("/nowhere/to/be/found", "No such file or directory (ENOENT)"),
        (file, "Not a directory (ENOTDIR)"),
        ("", "No such file or directory (ENOENT)"),
    ] {
        let finished = Run::new("epoll-web").args(["--port", "0", "--dir", folder]).finish();
        let said = (finished.code(), finished.stderr_text());
        assert_eq!(said, (Some(74), format!("epoll-web: read {folder}: {why}\n")));
    }
    Ok(())
}

fn a_kernel_without_openat2_is_71() -> Result<(), Skip> {
    need(Need::Strace)?;
    let run = Run::new("epoll-web").args(["--port", "0", "--dir", "/tmp"]);
    let (run, _trace) = run.traced(&["trace=openat2", "inject=openat2:error=ENOSYS"]);
    let finished = run.finish();
    assert_eq!(finished.code(), Some(71), "{finished:?}");
    let said = finished.stderr_text();
    assert!(
        said.starts_with("epoll-web: openat2 /tmp: Function not implemented (ENOSYS)\n"),
        "{said}"
    );
    Ok(())
}
