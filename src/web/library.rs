//! Models and embeddings by what was typed: the mini model beside the page, a repository on the Hub, an address. Models
//! are kept in the browser's storage, file by file as they come, and used from there.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use js_sys::{Function, Object, Reflect};
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::foretold::{Remote, foretell, is_base};
use super::lock::{alone_with, wait};
use super::network::Fetch;
use super::record::{read_record, reckon, remove_others, write_record};
use super::storage::{Folder, StoredPart, free, full};
use super::{eight_bits, plain, problem, to_js};
use crate::base::bytes::sha256;
use crate::event::Event;
use crate::formats::{Holds, can_hold};
use crate::source::address::{Address, is_safe_path};
use crate::source::download::download;
use crate::source::hub::{self, Listing, RemoteFile};
use crate::source::keeping::{Foretold, Record, StoredFile};
use crate::source::link::Link;
use crate::source::model::{self, ModelFiles, Precision};
use crate::source::progress::{Meter, Notice};
use crate::source::retry::Patience;
use crate::source::settings::HUB;
use crate::source::url::Url;
use crate::source::verify::FileRequest;
use crate::source::{Memory, Problem};
use crate::weights::repack;

/// What the mini model is called.
const MINI: &str = "mini";
/// The longest list of the mini model's files.
const LONGEST_MANIFEST: usize = 1 << 20;
/// The longest configuration or vocabulary beside a model in one file.
const LONGEST_TEXT: usize = 16 << 20;
/// Bytes from which on a model is kept in eight bits unless the user says otherwise: browsers do not say what the GPU's memory holds,
/// and who learns sees no difference.
const LARGE: u64 = 300_000_000;
/// What is left free of the storage, for embeddings and the state of a run.
const SPARE: u64 = 16 << 20;

/// The models in the storage, and the ways to get more.
#[wasm_bindgen]
pub struct Library {
    /// Where the mini model's files are, with a slash at the end.
    mini: String,
    pub(super) hub: Url,
    models: Folder,
    /// What was found of the concept that was looked at last, by what was typed.
    pub(super) looked_at: RefCell<Option<(String, Listing)>>,
    /// What the header of the model in one file said that was looked at last, by its address.
    foretold: RefCell<Option<(Url, (Foretold, bool))>>,
}

/// `manifest.json` of the mini model.
#[derive(Deserialize)]
struct Manifest {
    files: Vec<StoredFile>,
}

/// A model that was found: what it needs, before anything of it is fetched.
#[wasm_bindgen]
pub struct Plan {
    record: Record,
    /// Where each file is; empty if all of them are here.
    addresses: Vec<Url>,
    /// The precision of weights that were taken although the other was preferred.
    instead: Option<Precision>,
    here: u64,
    /// The most bytes that the storage needs beside what is there.
    room: u64,
    free: Option<u64>,
}

#[wasm_bindgen]
impl Plan {
    /// `{name, version, bytes, here, room, free?, stored, eight, packed, foretold?, instead?, files: [{path, bytes}]}`; `here` counts bytes
    /// that came before, `room` is what the storage needs beside what is there, `eight` whether the weights will be kept in eight bits and
    /// `packed` whether they come so, `foretold` ([`Foretold`]) what the header of a model in one file says, `instead` (`"full"` or `"half"`) the precision of weights that were taken although the other was
    /// preferred.
    pub fn about(&self) -> Result<JsValue, JsValue> {
        plain(&json!({
            "name": self.record.name, "version": self.record.version, "bytes": self.record.bytes(), "here": self.here,
            "room": self.room, "free": self.free, "stored": self.record.whole, "eight": self.record.eight, "packed": self.record.packed,
            "foretold": self.record.foretold, "instead": self.instead, "files": self.record.files,
        }))
    }
}

/// A folder's name for a model: readable, and its own.
pub(super) fn key(name: &str) -> String {
    let readable: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).take(80).collect();
    format!("{readable}-{}", &sha256(name)[..8])
}

/// Whether what is here is only the beginning of another version.
fn is_useless(known: &Record, version: &str) -> bool {
    !known.whole && known.version != version
}

/// Gives notices to the page as events; a listener that answers `false` ends the work.
pub(super) fn report(listener: &Function) -> impl FnMut(Notice) -> ControlFlow<()> + '_ {
    |notice| notice.event().map_or(ControlFlow::Continue(()), |event| tell(listener, &event))
}

/// The same with an event.
pub(super) fn tell(listener: &Function, event: &Event) -> ControlFlow<()> {
    let Ok(event) = plain(event) else { return ControlFlow::Continue(()) };
    match listener.call1(&JsValue::NULL, &event) {
        Ok(answer) if answer.is_falsy() && !answer.is_undefined() => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

#[wasm_bindgen]
impl Library {
    /// Opens the storage. `mini` is the address of the mini model's folder, `hub` that of a mirror of the Hub, if one
    /// is used.
    pub async fn open(mini: String, hub: Option<String>) -> Result<Library, JsValue> {
        let hub = hub.unwrap_or_else(|| HUB.to_owned());
        let bad = |reason: String| problem(Problem::BadAddress { typed: hub.clone(), reason });
        let hub = Url::parse(hub.trim_end_matches('/')).map_err(bad)?;
        let root = Folder::root().await.map_err(problem)?;
        let models = root.folder("models").await.map_err(problem)?;
        Ok(Library {
            mini: format!("{}/", mini.trim_end_matches('/')),
            hub,
            models,
            looked_at: RefCell::default(),
            foretold: RefCell::default(),
        })
    }

    pub(super) fn link(&self) -> Link<'_> {
        Link { transport: &Fetch, endpoint: &self.hub, token: None, patience: Patience::default() }
    }

    /// Finds a model and what fetching it would take. `precision`, `"full"` or `"half"`, is that of the weights that are
    /// preferred, `eight` whether they are to be kept in eight bits: if nobody says it, as was begun, or else those of large models.
    pub async fn plan(
        &self,
        typed: String,
        precision: JsValue,
        eight: Option<bool>,
        listener: Function,
    ) -> Result<Plan, JsValue> {
        let precision: Precision = serde_wasm_bindgen::from_value(precision)?;
        self.find(typed.trim(), precision, eight, &listener).await.map_err(to_js)
    }

    /// Brings what is missing of a model into the storage, verified, and in eight bits where that was planned; gives what its files are
    /// asked for by.
    pub async fn bring(&self, plan: Plan, listener: Function) -> Result<String, JsValue> {
        let Err(error) = self.fetch(&plan, &listener).await else { return Ok(plan.record.name) };
        // Where a newer version cannot be had now, the one that is here does.
        let is_room = |problem: &Problem| matches!(problem, Problem::Storage { full: true, .. });
        let later = matches!(&error, crate::Error::Source(problem) if problem.is_absence() || is_room(problem));
        let name = &plan.record.name;
        let stored = if later { self.record(name).await.map_err(problem)? } else { None };
        stored.filter(|record| record.whole).map(|record| record.name).ok_or_else(|| to_js(error))
    }

    /// The files of a model that is stored, an object of `path: File`.
    pub async fn files(&self, name: String) -> Result<Object, JsValue> {
        let folder = self.models.folder(&key(&name)).await.map_err(problem)?;
        let incomplete =
            || problem(Problem::Storage { reason: format!("{name} is not there, or not complete"), full: false });
        let record = read_record(&folder).await.filter(|record| record.whole).ok_or_else(incomplete)?;
        let files = Object::new();
        for entry in record.files {
            let file = folder.file(entry.place()).await.map_err(problem)?;
            let file = file.filter(|file| file.size() == entry.bytes as f64).ok_or_else(incomplete)?;
            Reflect::set(&files, &entry.path.into(), &file)?;
        }
        Ok(files)
    }

    /// The SHA-256 of the U-Net of a model that is stored, where its source states one for all of it.
    #[wasm_bindgen(js_name = unetHash)]
    pub async fn unet_hash(&self, name: String) -> Result<Option<String>, JsValue> {
        let folder = self.models.folder(&key(&name)).await.map_err(problem)?;
        let files = read_record(&folder).await.map_or_else(Vec::new, |record| record.files);
        let mut weights =
            files.into_iter().filter(|file| file.path.starts_with("unet/") && can_hold(&file.path, Holds::Model));
        let (first, more) = (weights.next(), weights.next());
        Ok(first.filter(|_| more.is_none()).and_then(|file| file.sha256))
    }

    /// What is stored: `[{name, bytes, here, of, whole, eight}]`: bytes that it takes, and of what is not whole those that were fetched.
    /// What has no record is called by its folder, and `of` is 0.
    pub async fn stored(&self) -> Result<JsValue, JsValue> {
        let mut found = Vec::new();
        let (_, folders) = self.models.names().await.map_err(problem)?;
        for name in folders {
            let folder = self.models.folder(&name).await.map_err(problem)?;
            let bytes = folder.bytes().await.map_err(problem)?;
            let Some(record) = read_record(&folder).await else {
                found.push(
                    json!({"name": name, "bytes": bytes, "here": bytes, "of": 0, "whole": false, "eight": false}),
                );
                continue;
            };
            let [here, _] =
                if record.whole { [bytes, 0] } else { reckon(&record, Some(&folder)).await.map_err(problem)? };
            let Record { name, whole, eight, .. } = &record;
            let of = record.bytes();
            found.push(json!({"name": name, "bytes": bytes, "here": here, "of": of, "whole": whole, "eight": eight}));
        }
        plain(&found)
    }

    /// Deletes a model, unless another tab is getting it. One without a record is [called](Self::stored) by its folder.
    pub async fn remove(&self, name: String) -> Result<(), JsValue> {
        let ((_, folders), own) = (self.models.names().await.map_err(problem)?, key(&name));
        let folder = if folders.contains(&own) || !folders.contains(&name) { &own } else { &name };
        let _alone = alone_with(&name, folder).await.map_err(problem)?;
        self.models.remove(folder).await.map_err(problem)
    }
}

impl Library {
    async fn find(
        &self,
        typed: &str,
        precision: Precision,
        eight: Option<bool>,
        listener: &Function,
    ) -> crate::Result<Plan> {
        let mut plan = if typed == MINI {
            self.find_mini(listener).await?
        } else {
            self.find_repo(typed, precision, listener).await?
        };
        if plan.record.whole {
            return Ok(Plan { here: plan.record.bytes(), free: free().await, ..plan });
        }
        let known = self.record(&plan.record.name).await?;
        let begun = known.as_ref().map(|record| record.eight);
        let large = plan.record.bytes() > LARGE;
        // The mini model stays as it comes.
        plan.record.eight = plan.record.packed || typed != MINI && eight.or(begun).unwrap_or(large);
        let mut folder = self.models.known(&key(&plan.record.name)).await?;
        if known.is_some_and(|known| is_useless(&known, &plan.record.version)) {
            folder = None;
        }
        let [here, room] = reckon(&plan.record, folder.as_ref()).await?;
        Ok(Plan { here, room, free: free().await, ..plan })
    }

    /// What is kept about a model; looking for it leaves nothing behind.
    async fn record(&self, name: &str) -> Result<Option<Record>, Problem> {
        match self.models.known(&key(name)).await? {
            Some(folder) => Ok(read_record(&folder).await),
            None => Ok(None),
        }
    }

    /// The mini model as it is beside the page; the one that is stored, if that cannot be asked.
    async fn find_mini(&self, listener: &Function) -> Result<Plan, Problem> {
        let stored = self.record(MINI).await?.filter(|record| record.whole);
        let parse = |text: String| Url::parse(&text).map_err(|reason| Problem::BadAddress { typed: text, reason });
        let url = parse(format!("{}manifest.json", self.mini))?;
        // With a copy at hand, one attempt is enough.
        let patience =
            if stored.is_some() { Patience { again: 0, ..Patience::default() } } else { Patience::default() };
        let link = Link { patience, ..self.link() };
        let manifest = match (
            link.read("the list of the mini model's files", &url, LONGEST_MANIFEST, &mut report(listener)).await,
            stored.clone(),
        ) {
            (Ok(bytes), _) => bytes,
            (Err(problem), Some(record)) if problem.is_absence() => return Ok(Plan::whole(record)),
            (Err(problem), _) => return Err(problem),
        };
        let bad = |reason: String| Problem::BadAnswer { url: url.shown(), reason };
        let files: Manifest = serde_json::from_slice(&manifest).map_err(|error| bad(error.to_string()))?;
        if let Some(file) = files.files.iter().find(|file| !is_safe_path(&file.path)) {
            return Err(bad(format!("it names {}", crate::base::text::quoted(&file.path))));
        }
        let version = sha256(&manifest);
        if let Some(record) = stored.filter(|record| record.version == version) {
            return Ok(Plan::whole(record));
        }
        let addresses = files.files.iter().map(|file| parse(format!("{}{}", self.mini, file.path)));
        let packed = files.files.iter().any(|file| file.path == repack::NOTE);
        // Each version is in a folder of its own, so that a newer one can come while this one stays.
        let apart = |file: &StoredFile| {
            StoredFile::elsewhere(&version[..16], file.path.clone(), file.bytes, file.sha256.clone())
        };
        let kept = files.files.iter().map(apart).collect();
        Ok(Plan {
            addresses: addresses.collect::<Result<_, _>>()?,
            record: Record {
                name: MINI.to_owned(),
                files: kept,
                version,
                whole: false,
                eight: false,
                packed,
                foretold: None,
            },
            instead: None,
            here: 0,
            room: 0,
            free: None,
        })
    }

    async fn find_repo(&self, typed: &str, precision: Precision, listener: &Function) -> crate::Result<Plan> {
        let at = match Address::parse(typed, &self.hub, &|_| false)? {
            Address::Hub(at) => at,
            _ => {
                let reason = "is not a repository: models come from a repository (owner/name) or from this computer";
                return Err(Problem::BadAddress { typed: typed.to_owned(), reason: reason.to_owned() }.into());
            }
        };
        let name = at.to_string();
        let stored = self.record(&name).await?;
        if let Some(record) = stored.filter(|record| record.whole) {
            return Ok(Plan::whole(record));
        }
        let listing = hub::list(&self.link(), &at, &mut report(listener)).await?;
        let single = at.path.as_deref().filter(|path| can_hold(path, Holds::Model));
        let folder = match single {
            Some(path) => path.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
            None => at.path.clone(),
        };
        let prefix = folder.as_ref().map_or_else(String::new, |path| format!("{}/", path.trim_end_matches('/')));
        let (files, foretold) = match single {
            Some(path) => {
                let (files, foretold) = self.find_single(&listing, path, &prefix, listener).await?;
                (files, Some(foretold))
            }
            None => (model::choose(&listing, at.path.as_deref(), precision)?, None),
        };
        let entry = |file: &RemoteFile| StoredFile {
            path: file.path.strip_prefix(&prefix).unwrap_or(&file.path).to_owned(),
            bytes: file.size,
            sha256: file.sha256.clone(),
            at: None,
        };
        Ok(Plan {
            addresses: files
                .all()
                .map(|file| hub::file_url(&self.hub, &listing.repo, &listing.commit, &file.path))
                .collect(),
            record: Record {
                name,
                version: listing.commit.clone(),
                files: files.all().map(entry).collect(),
                whole: false,
                eight: false,
                packed: listing.get(&format!("{prefix}{}", repack::NOTE)).is_some(),
                foretold,
            },
            instead: files.instead,
            here: 0,
            room: 0,
            free: None,
        })
    }

    /// A model in one file: what it needs, and what its header says. Where it is of unusual sizes, it needs the configuration that lies
    /// beside it in the repository as in a model's folder.
    async fn find_single(
        &self,
        listing: &Listing,
        path: &str,
        prefix: &str,
        listener: &Function,
    ) -> crate::Result<(ModelFiles, Foretold)> {
        let file = model::single(listing, path)?;
        let url = |file: &RemoteFile| hub::file_url(&self.hub, &listing.repo, &listing.commit, &file.path);
        let beside = |file: &&RemoteFile| file.path.strip_prefix(prefix).is_some_and(is_base);
        let beside: Vec<&RemoteFile> = listing.files.iter().filter(beside).collect();
        let known = self.foretold.borrow().clone().filter(|(known, _)| *known == url(file));
        let (foretold, needs_base) = match known {
            Some((_, known)) => known,
            None => {
                let remote = Remote {
                    hub: self.hub.clone(),
                    url: url(file),
                    repo: listing.repo.to_string(),
                    path: path.to_owned(),
                    length: file.size,
                };
                let found = match foretell(remote.clone(), None).await {
                    Err(crate::Error::BadFile { .. }) if !beside.is_empty() => {
                        let mut base = Memory::new(listing.repo.to_string());
                        for file in &beside {
                            let name = listing.name(file);
                            let text = self.link().read(&name, &url(file), LONGEST_TEXT, &mut report(listener)).await?;
                            base.insert(&file.path[prefix.len()..], text);
                        }
                        (foretell(remote, Some(Rc::new(base))).await?, true)
                    }
                    found => (found?, false),
                };
                self.foretold.replace(Some((url(file), found.clone())));
                found
            }
        };
        let configs = if needs_base { beside.into_iter().cloned().collect() } else { Vec::new() };
        Ok((ModelFiles { configs, weights: vec![file.clone()], instead: None, note: None }, foretold))
    }

    async fn fetch(&self, plan: &Plan, listener: &Function) -> crate::Result<()> {
        let Plan { record, .. } = plan;
        if record.whole {
            return Ok(());
        }
        let (name, version) = (&record.name, &record.version);
        let _alone = wait(name, listener).await?;
        // Another tab may have been here since it was planned.
        let known = self.record(name).await?;
        if known.as_ref().is_some_and(|known| known.whole && (known.version == *version || name != MINI)) {
            return Ok(());
        }
        // Another version that is whole stays what is loaded until this one is; what is only begun of another is of no use.
        let older = known.as_ref().is_some_and(|known| known.whole);
        if known.is_some_and(|known| is_useless(&known, version)) {
            self.models.remove(&key(name)).await?;
        }
        let [_, room] = reckon(record, self.models.known(&key(name)).await?.as_ref()).await?;
        let needed = room.saturating_add(SPARE);
        if let Some(free) = free().await.filter(|free| *free < needed) {
            return Err(full(needed, free).into());
        }
        let folder = self.models.folder(&key(name)).await?;
        if !older {
            write_record(&folder, record).await?;
            if !record.is_rewritten() {
                folder.remove(eight_bits::FOLDER).await?;
            }
        }
        let mut meter = Meter::new(record.files.len(), Some(record.bytes()));
        let mut report = report(listener);
        let mut kept = Vec::new();
        for (group, files) in record.groups() {
            let made = match group {
                Some(group) => eight_bits::made(&folder, group, version).await?,
                None => None,
            };
            for (entry, url) in files.iter().map(|i| (&record.files[*i], &plan.addresses[*i])) {
                let request = FileRequest {
                    name: format!("{name}/{}", entry.path),
                    url: url.clone(),
                    size: Some(entry.bytes),
                    sha256: entry.sha256.clone(),
                    limit: entry.bytes,
                    unless: None,
                };
                if made.is_some() {
                    meter.begin(&request.name, request.size);
                    // Whoever wants to stop is asked again at once.
                    let _continues = report(meter.end(entry.bytes, web_time::Instant::now()));
                    continue;
                }
                let mut part = StoredPart::open(&folder, entry.place()).await?;
                download(&self.link(), &request, &mut part, &mut meter, &mut report).await?;
            }
            let files: Vec<StoredFile> = files.iter().map(|i| record.files[*i].clone()).collect();
            let Some(group) = group else {
                kept.extend(files);
                continue;
            };
            kept.extend(match made {
                Some(made) => made,
                None => {
                    let mut tell = |event| tell(listener, &event);
                    eight_bits::make(&folder, (name, version), (group, &files), &mut tell).await?
                }
            });
            for file in &files {
                folder.remove(&file.path).await?;
                folder.remove(&format!("{}.etag", file.path)).await?;
            }
        }
        let record = Record { whole: true, files: kept, ..record.clone() };
        write_record(&folder, &record).await?;
        if name == MINI {
            // What cannot be removed takes room, and does nothing else.
            let _left = remove_others(&folder, &record).await;
        }
        Ok(())
    }
}

impl Plan {
    fn whole(record: Record) -> Self {
        Self { record, addresses: Vec::new(), instead: None, here: 0, room: 0, free: None }
    }
}
