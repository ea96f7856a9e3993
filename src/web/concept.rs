//! Embeddings of others, by what was typed: an address, or a concept, which is the repository of one. A concept can be looked at
//! before it is taken.

use std::ops::ControlFlow;

use js_sys::{Function, Object, Reflect, Uint8Array};
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::library::{Library, report};
use super::storage::MemoryPart;
use super::tools::one_of_two;
use super::{plain, problem};
use crate::base::bytes::size;
use crate::embedding::{self, Layout};
use crate::source::Problem;
use crate::source::address::{Address, HubAddress};
use crate::source::concept::{self, Concept};
use crate::source::download::download;
use crate::source::hub::{self, Listing, RemoteFile};
use crate::source::link::Link;
use crate::source::progress::{Meter, Notice};
use crate::source::url::Url;
use crate::source::verify::FileRequest;

/// The longest file that a page takes for an embedding, and for a picture of one: they are held in memory.
const LONGEST_EMBEDDING: u64 = 64 << 20;
const LONGEST_PICTURE: u64 = 32 << 20;

/// Where something was found.
enum Place {
    Url(Url),
    Hub(HubAddress),
}

#[wasm_bindgen]
impl Library {
    /// Looks at a concept without taking its embedding: `{repo, token?, kind?, licence?, readme?, embedding, bytes, files: [{path,
    /// bytes}], pictures: [path]}`. Of an address of a file nothing is asked: `{embedding}`.
    pub async fn concept(&self, typed: String, listener: Function) -> Result<JsValue, JsValue> {
        let at = match self.place(&typed).map_err(problem)? {
            Place::Url(url) => return plain(&json!({"embedding": url.without_secrets().to_string()})),
            Place::Hub(at) => at,
        };
        let mut report = report(&listener);
        self.looked_at.replace(None);
        let listing = self.listing(&typed, &at, &mut report).await.map_err(problem)?;
        let found = concept::choose(&listing, at.path.as_deref()).map_err(problem)?;
        let Concept { embedding, token, kind, readme, pictures, .. } = &found;
        let token = self.text(&listing, token.as_ref(), &mut report).await?;
        let kind = self.text(&listing, kind.as_ref(), &mut report).await?;
        let readme = self.text(&listing, readme.as_ref(), &mut report).await?;
        let about = json!({
            "repo": listing.repo.to_string(),
            "token": token.as_deref().and_then(concept::token), "kind": kind.as_deref().and_then(concept::token),
            "licence": readme.as_deref().and_then(concept::licence), "readme": readme,
            "embedding": embedding.path, "bytes": embedding.size,
            "files": listing.files.iter().map(|file| json!({"path": file.path, "bytes": file.size})).collect::<Vec<_>>(),
            "pictures": pictures.iter().map(|file| &file.path).collect::<Vec<_>>(),
        });
        plain(&about)
    }

    /// A picture of a concept by its path: `{name, bytes}`.
    #[wasm_bindgen(js_name = conceptPicture)]
    pub async fn concept_picture(&self, typed: String, path: String, listener: Function) -> Result<Object, JsValue> {
        let mut report = report(&listener);
        let absent = || problem(Problem::NoSuchFile { typed: path.clone(), hint: String::new() });
        let Place::Hub(at) = self.place(&typed).map_err(problem)? else { return Err(absent()) };
        let listing = self.listing(&typed, &at, &mut report).await.map_err(problem)?;
        let file = listing.get(&path).filter(|file| file.size <= LONGEST_PICTURE).ok_or_else(absent)?;
        let bytes = self.bytes(&listing, file, &mut report).await.map_err(problem)?;
        let picture = Object::new();
        Reflect::set(&picture, &"name".into(), &file.name().into())?;
        Reflect::set(&picture, &"bytes".into(), &Uint8Array::from(bytes.as_slice()))?;
        Ok(picture)
    }

    /// Fetches an embedding: `{bytes, name, origin, token?, kind?}`. Pictures that a repository shows are left where
    /// they are.
    pub async fn embedding(&self, typed: String, listener: Function) -> Result<Object, JsValue> {
        let mut report = report(&listener);
        let fetched = Object::new();
        let set = |key: &str, value: JsValue| Reflect::set(&fetched, &key.into(), &value).map(drop);
        match self.place(&typed).map_err(problem)? {
            Place::Url(url) => {
                let name = url.segments().and_then(|segments| segments.last().cloned()).unwrap_or_default();
                let request = FileRequest {
                    name: name.clone(),
                    url: url.clone(),
                    size: None,
                    sha256: None,
                    limit: LONGEST_EMBEDDING,
                    unless: None,
                };
                let bytes = in_memory(&self.link(), &request, &mut report).await.map_err(problem)?;
                set("bytes", Uint8Array::from(bytes.as_slice()).into())?;
                set("name", name.into())?;
                set("origin", url.without_secrets().to_string().into())?;
            }
            Place::Hub(at) => {
                let listing = self.listing(&typed, &at, &mut report).await.map_err(problem)?;
                let found = concept::choose(&listing, at.path.as_deref()).map_err(problem)?;
                if found.embedding.size > LONGEST_EMBEDDING {
                    let (path, size) = (&found.embedding.path, size(found.embedding.size));
                    let reason = format!("has {path} of {size}, which is too large for an embedding");
                    return Err(problem(Problem::Unfit { repo: at.repo.to_string(), reason }));
                }
                let bytes = self.whole(&listing, &found, &mut report).await?;
                set("bytes", Uint8Array::from(bytes.as_slice()).into())?;
                for (key, file) in [("token", &found.token), ("kind", &found.kind)] {
                    let text = self.text(&listing, file.as_ref(), &mut report).await?;
                    if let Some(text) = text.as_deref().and_then(concept::token) {
                        set(key, text.into())?;
                    }
                }
                set("name", found.embedding.name().into())?;
                set("origin", HubAddress { path: Some(found.embedding.path.clone()), ..at }.to_string().into())?;
            }
        }
        Ok(fetched)
    }
}

impl Library {
    fn place(&self, typed: &str) -> Result<Place, Problem> {
        match Address::parse(typed.trim(), &self.hub, &|_| false)? {
            Address::Url(url) => Ok(Place::Url(url)),
            Address::Hub(at) => Ok(Place::Hub(at)),
            // Nothing exists here, so nothing is a path.
            Address::Path(path) => Err(Problem::NoSuchFile { typed: path.display().to_string(), hint: String::new() }),
        }
    }

    /// The files of a repository by what was typed; of the one that was looked at last they are known.
    async fn listing(
        &self,
        typed: &str,
        at: &HubAddress,
        report: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<Listing, Problem> {
        if let Some((_, listing)) = self.looked_at.borrow().as_ref().filter(|(of, _)| of == typed) {
            return Ok(listing.clone());
        }
        let listing = hub::list(&self.link(), at, report).await?;
        self.looked_at.replace(Some((typed.to_owned(), listing.clone())));
        Ok(listing)
    }

    /// A file of a repository.
    async fn bytes(
        &self,
        listing: &Listing,
        file: &RemoteFile,
        report: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<Vec<u8>, Problem> {
        in_memory(&self.link(), &listing.request(file, &self.hub), report).await
    }

    /// The file of a concept. Two files that belong together are made one, and what stands beside Replicate's file goes into it.
    async fn whole(
        &self,
        listing: &Listing,
        found: &Concept,
        report: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<Vec<u8>, JsValue> {
        let bytes = self.bytes(listing, &found.embedding, report).await.map_err(problem)?;
        if let Some(second) = &found.second {
            let more = self.bytes(listing, second, report).await.map_err(problem)?;
            // A file that is only called so is left out.
            let both = one_of_two((&bytes, found.embedding.name()), (&more, second.name()));
            return Ok(both.unwrap_or(bytes));
        }
        let names = self.text(listing, found.names.as_ref(), report).await?;
        Ok(names.and_then(|names| with_names(&bytes, found.embedding.name(), &names)).unwrap_or(bytes))
    }

    /// The text of a small file; none if there is no such file, or if it is not text.
    async fn text(
        &self,
        listing: &Listing,
        file: Option<&RemoteFile>,
        report: &mut dyn FnMut(Notice) -> ControlFlow<()>,
    ) -> Result<Option<String>, JsValue> {
        let Some(file) = file else { return Ok(None) };
        Ok(String::from_utf8(self.bytes(listing, file, report).await.map_err(problem)?).ok())
    }
}

/// Replicate's file with the name that stands beside it, if that is one name.
fn with_names(bytes: &[u8], name: &str, names: &str) -> Option<Vec<u8>> {
    let reading = embedding::read(bytes, name).and_then(|reading| embedding::named(reading, names)).ok()?;
    let word = reading.choose(None).and_then(|word| word.into_embedding(None)).ok()?;
    embedding::write(&word, Layout::Safetensors).ok()
}

async fn in_memory(
    link: &Link<'_>,
    request: &FileRequest,
    report: &mut dyn FnMut(Notice) -> ControlFlow<()>,
) -> Result<Vec<u8>, Problem> {
    let mut part = MemoryPart::default();
    download(link, request, &mut part, &mut Meter::new(1, request.size), report).await?;
    Ok(part.bytes)
}
