//! Files from other web addresses.

use std::fs;
use std::path::Path;

use pollster::block_on;
use pseudoword::event::WarningCode;
use pseudoword::source::Problem;
use pseudoword::source::fetch::{EmbeddingFile, Sources};
use pseudoword::source::progress::Notice;

use super::play::*;
use super::server::{Reply, Server, file};

/// Sources whose Hub is somewhere else.
fn elsewhere(root: &Path) -> Sources {
    sources("https://huggingface.co", root, |_| ())
}

fn fetch(root: &Path, url: &str) -> Result<EmbeddingFile, Problem> {
    block_on(elsewhere(root).embedding(url, &mut quiet))
}

/// Files under their final names in the cache for web addresses.
fn kept(root: &Path) -> Vec<String> {
    let folders = fs::read_dir(root.join("web-cache/web")).into_iter().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "lock" && !name.contains(".part")).collect()
}

#[test]
fn a_file_is_fetched_once_and_asked_for_again() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(|request| file(request, b"a word", "v1"));
    let url = format!("{}/words/cat.pt?token=x", server.url);
    let word = fetch(root.path(), &url).unwrap();
    assert_eq!((fs::read(&word.path).unwrap(), word.name.as_str()), (b"a word".to_vec(), "cat.pt"));
    assert_eq!(fetch(root.path(), &url).unwrap(), word);
    assert!(!word.origin.contains("token"), "{}", word.origin);
    let requests = server.requests("");
    assert_eq!(requests[1].header("if-none-match"), Some("\"v1\""));
    assert!(requests.iter().all(|request| request.header("authorization").is_none()), "the token is for the Hub");
    // Offline, the copy is used; what is not here is named.
    let offline = sources("https://huggingface.co", root.path(), |settings| settings.offline = true);
    assert_eq!(block_on(offline.embedding(&url, &mut quiet)).unwrap().path, word.path);
    assert!(matches!(block_on(offline.embedding(&format!("{url}2"), &mut quiet)), Err(Problem::Offline { .. })));
    // A copy that was changed is none.
    fs::write(&word.path, b"a wurd").unwrap();
    assert!(matches!(block_on(offline.embedding(&url, &mut quiet)), Err(Problem::Offline { .. })));
    assert_eq!(fs::read(fetch(root.path(), &url).unwrap().path).unwrap(), b"a word");
    assert_eq!(server.requests("").len(), 3);
}

#[test]
fn a_newer_version_replaces_the_copy_and_a_broken_server_does_not() {
    let root = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let here = faults.clone();
    let server = Server::start(move |request| here.apply(file(request, b"version one", "v1")));
    let url = format!("{}/cat.pt", server.url);
    let path = fetch(root.path(), &url).unwrap().path;
    for fault in [Reply::new(503, ""), Reply::new(503, ""), Reply::new(503, ""), Reply::new(503, "")] {
        faults.status(fault);
    }
    let mut notices = Vec::new();
    let word = block_on(elsewhere(root.path()).embedding(&url, &mut listener(&mut notices))).unwrap();
    assert_eq!(fs::read(word.path).unwrap(), b"version one");
    assert!(matches!(notices.last(), Some(Notice::Warning { code: WarningCode::KeptCopy, .. })), "{notices:?}");
    // A page instead of a file is an error, and the copy stays.
    faults.status(Reply::new(200, "<html>"));
    assert!(matches!(fetch(root.path(), &url), Err(Problem::NotTheFile { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"version one");
    faults.status(Reply::new(200, "version two").header("etag", "\"v2\""));
    assert_eq!(fs::read(fetch(root.path(), &url).unwrap().path).unwrap(), b"version two");
}

#[test]
fn a_version_that_changes_between_two_parts_is_fetched_from_the_start() {
    let root = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let here = faults.clone();
    let (old, new) = (noise(3000), vec![7; 3000]);
    let newer = new.clone();
    let server = Server::start(move |request| here.apply(file(request, &newer, "v2")));
    let first = old.clone();
    faults.push(move |_| Reply::new(200, first).header("etag", "\"v1\"").cut(1000));
    let word = fetch(root.path(), &format!("{}/cat.pt", server.url)).unwrap();
    assert_eq!(fs::read(word.path).unwrap(), new, "no byte of the old one");
    assert_eq!(server.requests("")[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn without_a_tag_or_a_hash_nothing_is_put_together() {
    let root = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let here = faults.clone();
    let server = Server::start(move |_| here.apply(Reply::new(200, noise(3000))));
    faults.push(|reply| reply.cut(1000));
    let word = fetch(root.path(), &format!("{}/cat.pt", server.url)).unwrap();
    assert_eq!(fs::read(word.path).unwrap(), noise(3000));
    assert!(server.requests("").iter().all(|request| request.header("range").is_none()));
}

#[test]
fn what_is_too_long_or_no_file_is_refused_and_not_kept() {
    let cases = [
        (Reply { length: Some(600 << 20), ..Reply::new(200, "x") }, "more than 536870912 bytes"),
        (Reply::new(200, "<!doctype html>"), "HTML page"),
        (Reply::new(200, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), "git-LFS"),
        (Reply::new(404, "x"), "no such file"),
        (Reply::new(401, "x"), "in a browser"),
        (Reply::new(302, "").header("location", "ftp://x/"), "ftp://"),
    ];
    for (reply, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let server = Server::start(move |_| reply.clone());
        let problem = fetch(root.path(), &format!("{}/x.bin", server.url)).unwrap_err();
        assert!(problem.to_string().contains(expected), "{expected}: {problem}");
        assert!(kept(root.path()).is_empty(), "{:?}", kept(root.path()));
    }
}

#[test]
fn names_from_addresses_lead_nowhere_else() {
    let root = tempfile::tempdir().unwrap();
    let server =
        Server::start(|_| Reply::new(200, "x").header("content-disposition", "attachment; filename=\"../../x\""));
    for name in ["..%2F..%2Fx", "con", "about.json", &"n".repeat(300), "a%00b", ""] {
        let path = fetch(root.path(), &format!("{}/{name}", server.url)).unwrap().path;
        assert!(path.starts_with(root.path().join("web-cache/web")) && path.ends_with("file"), "{path:?}");
    }
}

#[test]
fn addresses_that_may_not_be_asked_are_refused() {
    let root = tempfile::tempdir().unwrap();
    for address in ["http://example.org/x.bin", "file:///etc/passwd", "ftp://x/y", "https://user@x/y"] {
        let problem = fetch(root.path(), address).unwrap_err();
        assert!(
            matches!(problem, Problem::BadAddress { .. }) && problem.kind() == pseudoword::error::Kind::Usage,
            "{problem}"
        );
    }
    let problem = fetch(root.path(), "http://127.0.0.1:1/x.bin").unwrap_err();
    assert!(matches!(problem, Problem::Unreachable { .. }), "{problem}");
}
