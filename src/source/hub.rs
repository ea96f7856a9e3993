//! What the Hugging Face Hub knows about a repository: its commit and its files, with sizes and hashes, in one
//! question.
//!
//! `GET {endpoint}/api/models/{owner}/{name}/revision/{revision}?blobs=true` (as
//! `HfApi.model_info(files_metadata=True)`); files are then fetched at that commit, so a branch that moves in the
//! meantime does not mix two states.

use serde::Deserialize;

use super::Problem;
use super::address::{HubAddress, Repo, RepoKind, is_safe_path};
use super::link::Link;
use super::problem::natively;
use super::progress::Report;
use super::url::Url;
use super::verify::FileRequest;
use crate::base::text::quoted;

/// The longest answer about a repository; ten thousand files take about 3 MB.
const LONGEST: usize = 32 << 20;

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Where it is in the repository, with slashes; safe to be joined to a folder.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// What the cache calls its content: the SHA-256 of a large file, the git object id of a small one. Empty for files
    /// that were only found here.
    pub blob: String,
    /// Its SHA-256, lower-case hexadecimal, where the Hub states it (files in LFS or Xet).
    pub sha256: Option<String>,
}

impl RemoteFile {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The files of a repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The repository.
    pub repo: Repo,
    /// The revision that was asked for.
    pub revision: String,
    /// The commit that it is at.
    pub commit: String,
    /// The files, by path.
    pub files: Vec<RemoteFile>,
    /// Whether these are only the files that are here, because the Hub could not or should not be asked.
    pub local: bool,
}

impl Listing {
    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A file's name in messages.
    pub fn name(&self, file: &RemoteFile) -> String {
        format!("{}/{}", self.repo, file.path)
    }

    /// What to fetch for a file.
    pub fn request(&self, file: &RemoteFile, endpoint: &Url) -> FileRequest {
        FileRequest {
            name: self.name(file),
            url: file_url(endpoint, &self.repo, &self.commit, &file.path),
            size: Some(file.size),
            sha256: file.sha256.clone(),
            limit: file.size,
            unless: None,
        }
    }
}

/// The address of a file in a repository.
pub fn file_url(endpoint: &Url, repo: &Repo, revision: &str, path: &str) -> Url {
    let kind = (repo.kind != RepoKind::Model).then(|| repo.kind.plural());
    let parts = kind.into_iter().chain(repo.id.split('/')).chain(["resolve", revision]).chain(path.split('/'));
    endpoint.with_path(parts)
}

/// Asks the Hub for the files of a repository.
///
/// # Errors
/// [`Problem::Denied`], [`Problem::NotFound`], [`Problem::Busy`] and so on; [`Problem::BadAnswer`] if it is not a Hub.
pub async fn list(link: &Link<'_>, at: &HubAddress, report: &mut Report<'_>) -> Result<Listing, Problem> {
    let parts =
        ["api", at.repo.kind.plural()].into_iter().chain(at.repo.id.split('/')).chain(["revision", &at.revision]);
    let url = link.endpoint.with_path(parts).with_query("blobs=true");
    let what = HubAddress { path: None, ..at.clone() }.to_string();
    let bytes =
        link.read(&what, &url, LONGEST, report).await.map_err(|problem| match (problem, copy_of(&at.repo)) {
            // To whom it does not know, the Hub says of what is not there that it may be private.
            (Problem::NotFound { what, reason } | Problem::Denied { what, reason }, Some(copy)) => {
                let reason = format!("{reason}; it was taken off the Hub, where {copy} is a copy of it");
                Problem::NotFound { what, reason }
            }
            (problem, _) => problem,
        })?;
    parse(&bytes, at).map_err(|reason| Problem::BadAnswer { url: url.shown(), reason })
}

/// Where others keep a copy of a repository that was taken off the Hub, though programs and guides still name it.
fn copy_of(repo: &Repo) -> Option<String> {
    if repo.id == "runwayml/stable-diffusion-v1-5" {
        return Some("stable-diffusion-v1-5/stable-diffusion-v1-5".to_owned());
    }
    let name = repo.id.strip_prefix("stabilityai/").filter(|name| name.starts_with("stable-diffusion-2"))?;
    Some(format!("sd2-community/{name}"))
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Option<Vec<Sibling>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// Reads the Hub's answer. Files whose path or hash could lead anywhere else than into the cache are left out.
fn parse(bytes: &[u8], at: &HubAddress) -> Result<Listing, String> {
    let info: Info = serde_json::from_slice(bytes).map_err(|error| {
        format!("this is not an answer of the Hub's ({error}){}", natively("; is HF_ENDPOINT right?"))
    })?;
    if !is_hash(&info.sha, 40) {
        return Err(format!("it names {} where a commit should be", quoted(&info.sha)));
    }
    let mut files = Vec::new();
    for file in info.siblings.unwrap_or_default() {
        if !is_safe_path(&file.rfilename) {
            continue;
        }
        let about = match (file.lfs, file.size, file.blob_id) {
            (Some(lfs), ..) if is_hash(&lfs.sha256, 64) => (lfs.size, lfs.sha256.clone(), Some(lfs.sha256)),
            (None, Some(size), Some(blob)) if is_hash(&blob, 40) => (size, blob, None),
            _ => {
                return Err(format!(
                    "it states no size or hash of {:?}{}",
                    file.rfilename,
                    natively("; is HF_ENDPOINT a complete mirror?")
                ));
            }
        };
        let (size, blob, sha256) = about;
        files.push(RemoteFile { path: file.rfilename, size, blob, sha256 });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Listing { repo: at.repo.clone(), revision: at.revision.clone(), commit: info.sha, files, local: false })
}

/// Whether a text is this many lower-case hexadecimal digits; such a text is safe as a file's name.
pub(super) fn is_hash(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_hub_is_read() {
        let (commit, blob, sha) = ("c".repeat(40), "b".repeat(40), "5".repeat(64));
        let json = format!(
            r#"{{"id":"a/b","sha":"{commit}","gated":false,"siblings":[
                {{"rfilename":"../evil","size":1,"blobId":"{blob}"}},
                {{"rfilename":"x.bin","size":135,"blobId":"{blob}",
                  "lfs":{{"sha256":"{sha}","size":3819,"pointerSize":135}}}},
                {{"rfilename":"README.md","size":12,"blobId":"{blob}"}}]}}"#
        );
        let listing = parse(json.as_bytes(), &HubAddress::model("a/b")).unwrap();
        let paths: Vec<_> = listing.files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        assert_eq!(paths, [("README.md", 12), ("x.bin", 3819)]);
        assert_eq!(listing.get("x.bin").unwrap().sha256.as_ref(), Some(&sha));
        assert_eq!(listing.get("x.bin").unwrap().blob, sha);
        let url = file_url(&Url::parse("https://hub.example").unwrap(), &listing.repo, &commit, "x y/ü.bin");
        assert_eq!(url.to_string(), format!("https://hub.example/a/b/resolve/{commit}/x%20y/%C3%BC.bin"));
    }

    #[test]
    fn copies_of_what_was_taken_off_the_hub_are_known() {
        let copy = |id: &str| copy_of(&HubAddress::model(id).repo);
        for name in ["2", "2-base", "2-1", "2-1-base", "2-inpainting"] {
            let copied = copy(&format!("stabilityai/stable-diffusion-{name}"));
            assert_eq!(copied, Some(format!("sd2-community/stable-diffusion-{name}")));
        }
        let there = ["stabilityai/stable-diffusion-xl-base-1.0", "stabilityai/sdxl-turbo", "me/stable-diffusion-2"];
        assert!(there.into_iter().all(|id| copy(id).is_none()));
        assert_eq!(copy("runwayml/stable-diffusion-v1-5").unwrap(), "stable-diffusion-v1-5/stable-diffusion-v1-5");
    }

    #[test]
    fn what_is_no_answer_of_the_hub_is_refused() {
        let at = HubAddress::model("a/b");
        let commit = "c".repeat(40);
        for json in [
            "<html>".to_owned(),
            "{}".to_owned(),
            r#"{"sha":"../../x","siblings":[]}"#.to_owned(),
            format!(r#"{{"sha":"{commit}","siblings":[{{"rfilename":"x","size":1,"blobId":"../x"}}]}}"#),
            format!(r#"{{"sha":"{commit}","siblings":[{{"rfilename":"x"}}]}}"#),
        ] {
            assert!(parse(json.as_bytes(), &at).is_err(), "{json}");
        }
    }
}
