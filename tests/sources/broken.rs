//! Everything that goes wrong on the way of a file from the Hub.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pollster::block_on;
use pseudoword::error::Kind;
use pseudoword::source::Problem;
use pseudoword::source::fetch::{EmbeddingFile, Sources};
use pseudoword::source::progress::Notice;
use tempfile::TempDir;

use super::play::*;
use super::server::{Reply, Server};

const WORD: &str = "learned_embeds.bin";

/// A Hub with one word of this length, and an empty cache.
struct Case {
    hub: Hub,
    folder: TempDir,
    bytes: Vec<u8>,
    notices: Vec<Notice>,
}

impl Case {
    fn new(length: usize) -> Self {
        let bytes = noise(length);
        Self { hub: Hub::start(&[(WORD, &bytes)]), folder: tempfile::tempdir().unwrap(), bytes, notices: Vec::new() }
    }

    fn fetch(&mut self) -> Result<EmbeddingFile, Problem> {
        let sources = self.hub.sources(self.folder.path());
        let word = block_on(sources.embedding(REPO, &mut listener(&mut self.notices)));
        check_cache(self.folder.path(), &[(WORD, &self.bytes)]);
        if let Ok(word) = &word {
            assert_eq!(fs::read(&word.path).unwrap(), self.bytes);
            assert_eq!(self.part(), None, "a part stays behind");
        } else {
            let name = repo_folder(self.folder.path()).join("snapshots").join(COMMIT).join(WORD);
            assert!(!name.exists(), "a file under its final name after a failure");
        }
        word
    }

    fn part(&self) -> Option<Vec<u8>> {
        part(self.folder.path(), &self.bytes)
    }

    /// The ranges that were asked for.
    fn ranges(&self) -> Vec<String> {
        let requests = self.hub.cdn.requests("");
        requests.iter().map(|request| request.header("range").unwrap_or("all").to_owned()).collect()
    }

    fn again(&self) -> usize {
        self.notices.iter().filter(|notice| matches!(notice, Notice::Again { .. })).count()
    }
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let mut case = Case::new(5000);
    case.hub.faults.cut(1000);
    case.hub.faults.cut(0);
    case.hub.faults.cut(1500);
    case.fetch().unwrap();
    assert_eq!(case.ranges(), ["all", "bytes=1000-", "bytes=1000-", "bytes=2500-"]);
    assert!(case.hub.cdn.requests("")[1..].iter().all(|request| request.header("if-range") == Some("\"cdn-tag\"")));
    assert_eq!(case.again(), 3);
}

#[test]
fn every_cut_leaves_a_part_that_the_next_run_takes_up() {
    let bytes = noise(1000);
    let hub = Hub::start(&[(WORD, &bytes)]);
    for cut in (0..1000).step_by(37).chain([1, 999]) {
        let folder = tempfile::tempdir().unwrap();
        hub.faults.cut(cut);
        let stop = |notice: Notice| match notice {
            Notice::Again { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let stopped = block_on(hub.sources(folder.path()).embedding(REPO, &mut { stop }));
        assert!(matches!(stopped, Err(Problem::Interrupted)), "{stopped:?}");
        let part = part(folder.path(), &bytes).unwrap_or_default();
        assert_eq!(part, bytes[..cut]);
        check_cache(folder.path(), &[(WORD, &bytes)]);
        let word = block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap();
        assert_eq!(fs::read(word.path).unwrap(), bytes);
        let range = hub.cdn.requests("").last().unwrap().header("range").map(str::to_owned);
        assert_eq!(range, (cut > 0).then(|| format!("bytes={cut}-")));
    }
}

#[test]
fn a_server_that_always_cuts_is_given_up_and_the_part_kept() {
    let mut case = Case::new(5000);
    for _ in 0..4 {
        case.hub.faults.cut(500);
    }
    let problem = case.fetch().unwrap_err();
    assert!(matches!(problem, Problem::Cut { done: 2000, total: Some(5000), .. }), "{problem}");
    assert!(problem.to_string().contains("run the same command to resume"), "{problem}");
    assert_eq!(case.part().unwrap(), case.bytes[..2000]);
    case.fetch().unwrap();
    assert_eq!(case.ranges().last().unwrap(), "bytes=2000-");
}

#[test]
fn a_wrong_length_is_refused_before_and_after() {
    // Another length is announced than the listing states.
    let mut case = Case::new(5000);
    case.hub.faults.push(|mut reply| {
        reply.body.truncate(4000);
        reply
    });
    assert!(matches!(case.fetch(), Err(Problem::WrongLength { expected: 5000, found: 4000, .. })));
    // No length is announced, and too much comes.
    case.hub.faults.push(|mut reply| {
        reply.endless = true;
        reply.slow = Some((1500, Duration::from_millis(5)));
        reply.body.extend([0; 10]);
        reply
    });
    assert!(matches!(case.fetch(), Err(Problem::WrongLength { expected: 5000, found: 5010, .. })));
    assert_eq!((case.part(), case.again()), (None, 0), "that is not tried again and nothing of it is kept");
    // Too little: as if it had been cut.
    case.hub.faults.push(|mut reply| {
        reply.endless = true;
        reply.cut(4000)
    });
    case.fetch().unwrap();
    assert_eq!(case.ranges().last().unwrap(), "bytes=4000-");
    // More is announced than sent, and more than stated.
    let mut case = Case::new(5000);
    case.hub.faults.push(|mut reply| {
        reply.length = Some(1 << 40);
        reply
    });
    assert!(matches!(case.fetch(), Err(Problem::WrongLength { expected: 5000, .. })));
}

#[test]
fn a_wrong_hash_is_refused_with_both_hashes_and_nothing_is_kept() {
    let mut case = Case::new(5000);
    let wrong = |mut reply: Reply| {
        reply.body[100] ^= 1;
        reply
    };
    case.hub.faults.push(wrong);
    let problem = case.fetch().unwrap_err();
    let Problem::WrongHash { expected, found, .. } = &problem else { panic!("{problem}") };
    assert!(*expected == sha256(&case.bytes) && problem.to_string().contains(found.as_str()));
    assert_eq!((case.part(), case.again(), problem.kind()), (None, 0, Kind::Network));
    case.fetch().unwrap();
}

#[test]
fn a_part_that_was_damaged_on_the_disk_costs_one_more_download() {
    let mut case = Case::new(5000);
    for _ in 0..4 {
        case.hub.faults.cut(500);
    }
    assert!(case.fetch().is_err());
    let path = repo_folder(case.folder.path()).join("blobs").join(format!("{}.part", sha256(&case.bytes)));
    let mut part = fs::read(&path).unwrap();
    part[3] ^= 0x80;
    fs::write(&path, &part).unwrap();
    case.fetch().unwrap();
    assert_eq!(case.ranges()[4..], ["bytes=2000-", "all"]);
    // A part that is too long is none; one without a tag is given up when its hash turns out wrong.
    for (length, tag, ranges) in [(6000, true, &["all"][..]), (3000, false, &["bytes=3000-", "all"])] {
        let mut case = Case::new(5000);
        let blobs = repo_folder(case.folder.path()).join("blobs");
        fs::create_dir_all(&blobs).unwrap();
        let name = sha256(&case.bytes);
        fs::write(blobs.join(format!("{name}.part")), vec![1; length]).unwrap();
        if tag {
            fs::write(blobs.join(format!("{name}.part.tag")), "\"cdn-tag\"").unwrap();
        }
        case.fetch().unwrap();
        assert_eq!(case.ranges(), ranges);
    }
}

#[test]
fn bytes_of_two_versions_are_never_put_together() {
    type Change = fn(Reply) -> Reply;
    let tag: Change = |mut reply| {
        for (name, value) in &mut reply.headers {
            if name == "etag" {
                *value = "\"another\"".to_owned();
            }
        }
        reply
    };
    let place: Change = |mut reply| {
        for (name, value) in &mut reply.headers {
            if name == "content-range" {
                *value = "bytes 999-4999/5000".to_owned();
            }
        }
        reply
    };
    let total: Change = |mut reply| {
        for (name, value) in &mut reply.headers {
            if name == "content-range" {
                *value = "bytes 1000-4999/6000".to_owned();
            }
        }
        reply
    };
    let nonsense: Change = |mut reply| {
        reply.headers.retain(|(name, _)| name != "content-range");
        reply
    };
    for change in [tag, place, total, nonsense] {
        let mut case = Case::new(5000);
        case.hub.faults.cut(1000);
        case.hub.faults.push(change);
        case.fetch().unwrap();
        assert_eq!(case.ranges(), ["all", "bytes=1000-", "all"], "it starts from zero");
    }
    // The range is ignored, or there is none: from zero as well.
    let mut case = Case::new(5000);
    let bytes = case.bytes.clone();
    case.hub.faults.cut(1000);
    case.hub.faults.push(move |_| Reply::new(200, bytes).header("etag", "\"new\""));
    case.fetch().unwrap();
    let mut case = Case::new(5000);
    case.hub.faults.cut(1000);
    case.hub.faults.status(Reply::new(416, "").header("content-range", "bytes */5000"));
    case.fetch().unwrap();
    assert_eq!(case.ranges(), ["all", "bytes=1000-", "all"]);
    // A part of a file where all of it was asked for.
    let mut case = Case::new(5000);
    case.hub.faults.push(|mut reply| {
        reply.status = 206;
        reply.header("content-range", "bytes 0-4999/5000")
    });
    case.fetch().unwrap();
}

#[test]
fn without_a_strong_tag_only_a_known_hash_allows_to_resume() {
    for tag in [None, Some("W/\"weak\"")] {
        let mut case = Case::new(5000);
        case.hub.faults.push(move |mut reply| {
            reply.headers = tag.map(|tag| ("etag".to_owned(), tag.to_owned())).into_iter().collect();
            reply.cut(1000)
        });
        case.hub.faults.push(move |mut reply| {
            reply.headers.retain(|(name, _)| name != "etag");
            reply
        });
        case.fetch().unwrap();
        assert_eq!(case.ranges(), ["all", "bytes=1000-"]);
        assert_eq!(case.hub.cdn.requests("")[1].header("if-range"), None);
    }
}

#[test]
fn overload_is_waited_for_as_long_as_the_server_asks() {
    let mut case = Case::new(5000);
    case.hub.faults.status(Reply::new(429, "").header("retry-after", "1"));
    let start = Instant::now();
    case.fetch().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(
        case.notices
            .iter()
            .any(|notice| matches!(notice, Notice::Again { wait, .. } if *wait == Duration::from_secs(1)))
    );
    for status in [408, 500, 502, 503, 504] {
        let mut case = Case::new(5000);
        case.hub.faults.cut(700);
        case.hub.faults.status(Reply::new(status, "busy"));
        case.fetch().unwrap();
        assert_eq!(case.ranges(), ["all", "bytes=700-", "bytes=700-"], "{status}");
    }
    // Of the questions about a repository, too.
    let mut case = Case::new(5000);
    case.hub.api_faults.status(Reply::new(503, ""));
    case.fetch().unwrap();
}

#[test]
fn overload_that_does_not_end_is_reported() {
    let mut case = Case::new(5000);
    case.hub.faults.cut(700);
    for _ in 0..4 {
        case.hub.faults.status(Reply::new(503, ""));
    }
    let problem = case.fetch().unwrap_err();
    assert!(matches!(problem, Problem::Busy { status: 503, kept: 700, .. }), "{problem}");
    assert_eq!((case.part().unwrap().len(), case.again()), (700, 3));
    // A long pause is left to the user.
    let mut case = Case::new(5000);
    case.hub.faults.status(Reply::new(429, "").header("retry-after", "3600"));
    let problem = case.fetch().unwrap_err();
    assert!(problem.to_string().contains("asks to wait 3600 s"), "{problem}");
    assert_eq!(case.again(), 0);
}

#[test]
fn refusals_are_not_tried_again() {
    for (status, expected) in [
        (401, "does not serve it to everyone"),
        (403, "does not serve it"),
        (404, "no such file"),
        (410, "no such file"),
        (418, "answered 418"),
    ] {
        let mut case = Case::new(5000);
        case.hub.faults.status(Reply::new(status, ""));
        let problem = case.fetch().unwrap_err();
        assert!(problem.to_string().contains(expected), "{status}: {problem}");
        assert_eq!((case.again(), problem.kind()), (0, Kind::Network));
    }
}

#[test]
fn pages_pointers_and_compressed_bodies_are_no_files() {
    let page = b"<!DOCTYPE html><title>Sign in</title>".to_vec();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3819\n".to_vec();
    let replies = [
        (Reply::new(200, page.clone()).header("content-type", "text/html; charset=utf-8"), "HTML page"),
        (Reply { endless: true, ..Reply::new(200, [page, vec![b' '; 4963]].concat()) }, "HTML page"),
        (Reply::new(200, noise(5000)).header("content-encoding", "gzip"), "compressed"),
    ];
    for (reply, expected) in replies {
        let mut case = Case::new(5000);
        case.hub.faults.status(reply);
        let problem = case.fetch().unwrap_err();
        assert!(problem.to_string().contains(expected), "{expected}: {problem}");
        assert_eq!((case.part(), case.again()), (None, 0));
    }
    // The repository itself holds a pointer where a file should be: it is a file of 67 bytes with the right hash.
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(&[(WORD, &pointer)]);
    let problem = block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap_err();
    assert!(problem.to_string().contains("git-LFS pointer") && problem.to_string().contains("3819"), "{problem}");
}

#[test]
fn a_slow_server_is_followed_and_a_silent_one_left() {
    let mut case = Case::new(5000);
    case.hub.faults.push(|mut reply| {
        reply.slow = Some((500, Duration::from_millis(60)));
        reply
    });
    case.fetch().unwrap();
    assert_eq!(case.again(), 0, "slow is not silent");
    case = Case::new(5000);
    case.hub.faults.push(|mut reply| {
        reply.stall = Some((1200, Duration::from_secs(5)));
        reply
    });
    let start = Instant::now();
    case.fetch().unwrap();
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(case.ranges(), ["all", "bytes=1200-"]);
}

#[test]
fn redirections_are_followed_only_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let listing = |sha: String| {
        format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"x.bin","size":5,"blobId":"{}"}}]}}"#, &sha[..40])
    };
    let json = listing(sha256(b"hello"));
    for (location, expected) in [
        ("/loop", "10th time"),
        ("ftp://evil.example/x", "ftp://"),
        ("http://cdn.example/x", "not be encrypted"),
        ("https://user:password@cdn.example/", "user name"),
        ("https://0x7f.1/", "unusual number"),
        ("", "does not say where"),
    ] {
        let json = json.clone();
        let server = Server::start(move |request| {
            if request.path.starts_with("/api/") {
                Reply::new(200, json.clone())
            } else if location.is_empty() {
                Reply::new(302, "")
            } else {
                Reply::redirect(location)
            }
        });
        let sources = sources(&server.url, folder.path(), |_| ());
        let problem = block_on(sources.embedding("sd-concepts-library/cat-toy", &mut quiet)).unwrap_err();
        assert!(problem.to_string().contains(expected), "{expected}: {problem}");
        assert!(
            matches!(problem, Problem::Redirected { .. }) && !problem.to_string().contains("user:password"),
            "{problem}"
        );
    }
}

#[test]
fn encryption_that_fails_is_reported_and_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    // The other side does not speak TLS.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", socket.local_addr().unwrap());
    let speaking = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new())
    });
    let sources = sources(&url, folder.path(), |_| ());
    let mut notices = Vec::new();
    let problem = block_on(sources.embedding("owner/name", &mut listener(&mut notices))).unwrap_err();
    assert!(matches!(problem, Problem::Insecure { .. }) && notices.is_empty(), "{problem} {notices:?}");
    drop(sources);
    let _ended = speaking.join();
}

#[test]
fn whoever_listens_can_stop_it_and_go_on_later() {
    let mut case = Case::new(400_000);
    let stop = |notice: Notice| match notice {
        Notice::Progress(progress) if progress.done > 0 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let stopped = block_on(case.hub.sources(case.folder.path()).embedding(REPO, &mut { stop })).unwrap_err();
    assert!(matches!(stopped, Problem::Interrupted) && stopped.kind() == Kind::Interrupted);
    let kept = case.part().unwrap().len();
    assert!(kept > 0 && kept < 400_000, "{kept}");
    case.fetch().unwrap();
    assert_eq!(case.ranges().last().unwrap(), &format!("bytes={kept}-"));
}

#[test]
fn a_disk_without_room_is_named_before_anything_comes() {
    let folder = tempfile::tempdir().unwrap();
    let json = format!(
        r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"learned_embeds.bin","size":1,"blobId":"{}"}},
            {{"rfilename":"x","size":{},"blobId":"{}"}}]}}"#,
        "a".repeat(40),
        1u64 << 60,
        "b".repeat(40)
    );
    let server = Server::start(move |_| Reply::new(200, json.clone()));
    let sources = sources(&server.url, folder.path(), |_| ());
    let listing = block_on(sources.list(&at(), &mut quiet)).unwrap();
    let problem = block_on(sources.bring(&listing, &listing.files, &mut quiet)).unwrap_err();
    assert!(matches!(problem, Problem::NoSpace { .. }) && problem.kind() == Kind::DiskFull, "{problem}");
    assert!(server.requests("resolve").is_empty());
}

#[test]
fn certificates_that_cannot_be_read_matter_only_on_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let word = folder.path().join("cat.pt");
    fs::write(&word, "word").unwrap();
    let mut settings = sources("https://hub.example", folder.path(), |_| ()).settings().clone();
    for (file, expected) in [("none.pem", "cannot be read"), ("cat.pt", "no certificates")] {
        settings.roots = Some(folder.path().join(file));
        let sources = Sources::new(settings.clone());
        assert!(block_on(sources.embedding(&word.display().to_string(), &mut quiet)).is_ok());
        let problem = block_on(sources.embedding("owner/name", &mut quiet)).unwrap_err();
        assert!(problem.to_string().contains(expected) && problem.kind() == Kind::Usage, "{problem}");
    }
}
