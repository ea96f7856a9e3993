//! A Hub that is played: repositories with files, large ones on another host, and faults on demand.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pseudoword::source::address::HubAddress;
use pseudoword::source::fetch::Sources;
use pseudoword::source::http::{Http, Timeouts};
use pseudoword::source::progress::Notice;
use pseudoword::source::retry::Patience;
use pseudoword::source::settings::{Settings, Token};
use pseudoword::source::url::Url;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::server::{Reply, Request, Server, file};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "sd-concepts-library/cat-toy";

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are different everywhere.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

type Fault = Box<dyn FnOnce(Reply) -> Reply + Send>;

/// What goes wrong with the next answers, one after the other; then everything is well.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<VecDeque<Fault>>>);

impl Faults {
    pub fn push(&self, fault: impl FnOnce(Reply) -> Reply + Send + 'static) {
        self.0.lock().unwrap().push_back(Box::new(fault));
    }

    pub fn cut(&self, after: usize) {
        self.push(move |reply| reply.cut(after));
    }

    pub fn status(&self, reply: Reply) {
        self.push(move |_| reply);
    }

    pub fn apply(&self, reply: Reply) -> Reply {
        let fault = self.0.lock().unwrap().pop_front();
        fault.map_or(reply.clone(), |fault| fault(reply))
    }
}

/// The Hub, and the host where it keeps large files.
pub struct Hub {
    pub api: Server,
    pub cdn: Server,
    /// Of the answers about a repository.
    pub api_faults: Faults,
    /// Of the answers with a large file.
    pub faults: Faults,
}

impl Hub {
    /// A repository with these files; those of 1000 bytes and more are large.
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let (faults, api_faults) = (Faults::default(), Faults::default());
        let (blobs, here) = (files.clone(), faults.clone());
        let cdn = Server::start(move |request| {
            let bytes = blobs.values().find(|bytes| request.path.ends_with(&sha256(bytes)));
            // Another tag than the Hub's, as it really is.
            let reply = bytes.map_or_else(|| Reply::new(404, ""), |bytes| file(request, bytes, "cdn-tag"));
            here.apply(reply)
        });
        let (location, here) = (cdn.url.clone(), api_faults.clone());
        let api = Server::start(move |request| {
            // A repository that was renamed.
            if request.path.contains("old/name") {
                return Reply { status: 307, ..Reply::redirect(request.path.replace("old/name", REPO)) };
            }
            let repo = format!("/api/models/{REPO}/revision/");
            if request.path.starts_with(&repo) {
                here.apply(listing(&files))
            } else {
                resolve(request, &files, &location)
            }
        });
        Self { api, cdn, api_faults, faults }
    }

    pub fn sources(&self, root: &Path) -> Sources {
        sources(&self.api.url, root, |_| ())
    }
}

fn listing(files: &BTreeMap<String, Vec<u8>>) -> Reply {
    let sibling = |(path, bytes): (&String, &Vec<u8>)| {
        let mut about = json!({ "rfilename": path, "size": bytes.len(), "blobId": &sha256(bytes)[..40] });
        if bytes.len() >= 1000 {
            about["lfs"] = json!({ "sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 135 });
        }
        about
    };
    let siblings: Vec<_> = files.iter().map(sibling).collect();
    Reply::new(200, json!({ "id": REPO, "sha": COMMIT, "siblings": siblings }).to_string())
}

fn resolve(request: &Request, files: &BTreeMap<String, Vec<u8>>, cdn: &str) -> Reply {
    let prefix = format!("/{REPO}/resolve/{COMMIT}/");
    match request.path.strip_prefix(&prefix).and_then(|path| files.get(path)) {
        Some(bytes) if bytes.len() >= 1000 => Reply::redirect(format!("{cdn}/signed/{}", sha256(bytes))),
        Some(bytes) => file(request, bytes, &sha256(bytes)[..40]),
        None => Reply::new(404, "").header("x-error-code", "EntryNotFound"),
    }
}

/// Sources at an endpoint, with a cache in `root` and little patience.
pub fn sources(endpoint: &str, root: &Path, change: impl FnOnce(&mut Settings)) -> Sources {
    let mut settings = Settings {
        endpoint: Url::parse(endpoint).unwrap(),
        token: Token::new("hf_secret"),
        hub: root.join("hub"),
        web: root.join("web-cache"),
        roots: None,
        offline: false,
        links: true,
        verify: false,
    };
    change(&mut settings);
    let short = Duration::from_millis(400);
    let timeouts = Timeouts { connect: Duration::from_secs(5), answer: Duration::from_secs(5), stall: short };
    let http = Http::new(timeouts, None).unwrap();
    let patience = Patience { again: 3, pause: Duration::from_millis(2), longest: Duration::from_secs(3) };
    Sources::with_transport(settings, Box::new(http), patience)
}

/// Somebody who is told everything and wants to go on.
pub fn listener(notices: &mut Vec<Notice>) -> impl FnMut(Notice) -> ControlFlow<()> {
    |notice| {
        notices.push(notice);
        ControlFlow::Continue(())
    }
}

/// Somebody who does not listen.
pub fn quiet(_: Notice) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub fn at() -> HubAddress {
    HubAddress::model(REPO)
}

/// Where the cache has a repository.
pub fn repo_folder(root: &Path) -> PathBuf {
    root.join("hub/models--sd-concepts-library--cat-toy")
}

/// What must hold after every case: whatever has a final name is the file that its name promises.
pub fn check_cache(root: &Path, files: &[(&str, &[u8])]) {
    let folder = repo_folder(root);
    for entry in std::fs::read_dir(folder.join("blobs")).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.contains(".part") {
            let found = sha256(&std::fs::read(folder.join("blobs").join(&name)).unwrap());
            assert_eq!(found[..name.len()], name, "a wrong file under a final name");
        }
    }
    for (path, bytes) in files {
        if let Ok(found) = std::fs::read(folder.join("snapshots").join(COMMIT).join(path)) {
            assert!(found == *bytes, "{path} is not what it should be");
        }
    }
}

/// Bytes of the part of a content.
pub fn part(root: &Path, bytes: &[u8]) -> Option<Vec<u8>> {
    std::fs::read(repo_folder(root).join("blobs").join(format!("{}.part", sha256(bytes)))).ok()
}
