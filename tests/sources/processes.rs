//! Two processes, one file. This test program starts itself again as the other process.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pollster::block_on;
use pseudoword::source::progress::Notice;

use super::play::*;
use super::server::Reply;

/// Where the other process finds the Hub and the cache; set only for it.
const HUB: &str = "PSEUDOWORD_TEST_HUB";
const ROOT: &str = "PSEUDOWORD_TEST_ROOT";

/// The other process: does nothing when it is run as a test.
#[test]
fn the_other_process() {
    let (Ok(hub), Ok(root)) = (std::env::var(HUB), std::env::var(ROOT)) else { return };
    let word = block_on(sources(&hub, Path::new(&root), |_| ()).embedding(REPO, &mut quiet)).unwrap();
    println!("sha256 {}", sha256(&fs::read(word.path).unwrap()));
}

fn other(hub: &Hub, root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::the_other_process", "--nocapture"])
        .envs([(HUB, hub.api.url.as_str()), (ROOT, &root.display().to_string())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn slowly(mut reply: Reply) -> Reply {
    reply.slow = Some((20_000, Duration::from_millis(10)));
    reply
}

#[test]
fn two_processes_fetch_one_file_once_and_undamaged() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(600_000);
    let hub = Hub::start(&[("learned_embeds.bin", &bytes)]);
    for _ in 0..4 {
        hub.faults.push(slowly);
    }
    let others: Vec<Child> = (0..3).map(|_| other(&hub, folder.path())).collect();
    let word = block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap();
    assert!(fs::read(word.path).unwrap() == bytes);
    for process in others {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(&format!("sha256 {}", sha256(&bytes))), "{text}");
    }
    assert_eq!(hub.cdn.requests("").len(), 1, "one fetched it, the others waited");
    check_cache(folder.path(), &[("learned_embeds.bin", &bytes)]);
    assert_eq!(part(folder.path(), &bytes), None);
}

#[test]
fn a_process_that_is_killed_leaves_a_part_and_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(600_000);
    let hub = Hub::start(&[("learned_embeds.bin", &bytes)]);
    hub.faults.push(slowly);
    let mut process = other(&hub, folder.path());
    let start = Instant::now();
    while part(folder.path(), &bytes).is_none_or(|part| part.len() < 100_000) {
        assert!(start.elapsed() < Duration::from_secs(20), "no part appears");
        std::thread::sleep(Duration::from_millis(5));
    }
    // SIGKILL: nothing is tidied up.
    process.kill().unwrap();
    process.wait().unwrap();
    let kept = part(folder.path(), &bytes).unwrap();
    assert!(kept == bytes[..kept.len()]);
    check_cache(folder.path(), &[("learned_embeds.bin", &bytes)]);
    let mut notices = Vec::new();
    let word = block_on(hub.sources(folder.path()).embedding(REPO, &mut listener(&mut notices))).unwrap();
    assert!(fs::read(word.path).unwrap() == bytes);
    assert!(!notices.iter().any(|notice| matches!(notice, Notice::Waiting { .. })), "{notices:?}");
    let range = hub.cdn.requests("").last().unwrap().header("range").map(str::to_owned);
    assert_eq!(range, Some(format!("bytes={}-", kept.len())));
}

#[test]
fn a_lock_of_another_is_waited_for_or_not_as_the_user_likes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(2000);
    let hub = Hub::start(&[("learned_embeds.bin", &bytes)]);
    let lock =
        folder.path().join("hub/.locks/models--sd-concepts-library--cat-toy").join(format!("{}.lock", sha256(&bytes)));
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    // As Python's filelock holds it.
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let mut ticks = 0;
    let mut impatient = |notice: Notice| {
        ticks += usize::from(notice == Notice::Tick);
        if ticks > 2 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    };
    assert!(block_on(hub.sources(folder.path()).embedding(REPO, &mut impatient)).is_err());
    assert!(hub.cdn.requests("").is_empty());
    drop(held);
    assert!(block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).is_ok());
}
