//! Files from web addresses other than the Hub's, cached so that they are fetched once.
//!
//! A folder for each address, named by its hash, holds the file and `about.json`, which is written last: without it, or
//! if it does not describe the file that is there, there is no copy. The server's file name is never used.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Problem;
use super::address::is_safe_path;
use super::cache::sha256_of;
use super::download::{Outcome, download};
use super::link::Link;
use super::part::{FilePart, Lock};
use super::progress::{Meter, Notice, Report};
use super::retry::notify;
use super::url::{Url, unescape};
use super::verify::FileRequest;
use crate::base::bytes::sha256;
use crate::base::files::write_with_folder;
use crate::event::WarningCode;

/// What is known about a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    /// Where it is from, without secrets.
    url: String,
    /// The server's entity tag, with which it is asked whether there is a newer one.
    etag: Option<String>,
    /// Its length in bytes.
    length: u64,
    /// Its SHA-256 when it came.
    sha256: String,
}

/// The place of a copy.
struct Place {
    folder: PathBuf,
    file: PathBuf,
}

impl Place {
    fn of(root: &Path, url: &Url) -> Self {
        let hash = sha256(url.to_string());
        let folder = root.join("web").join(&hash[..32]);
        let name =
            url.path().rsplit('/').next().and_then(unescape).filter(|name| is_safe_path(name) && !name.contains('/'));
        let name = name.filter(|name| name.len() <= 100 && name != "about.json").unwrap_or_else(|| "file".to_owned());
        Self { file: folder.join(name), folder }
    }

    fn about(&self) -> PathBuf {
        self.folder.join("about.json")
    }

    /// The copy, if it is unchanged.
    fn copy(&self) -> Result<Option<About>, Problem> {
        let text = fs::read_to_string(self.about()).unwrap_or_default();
        let Ok(about) = serde_json::from_str::<About>(&text) else { return Ok(None) };
        let there = fs::metadata(&self.file).is_ok_and(|there| there.is_file() && there.len() == about.length);
        let same = there && sha256_of(&self.file)? == about.sha256;
        Ok(same.then_some(about))
    }
}

/// Brings the file at an address, or the copy of it that is here if the server has nothing newer or cannot be asked.
/// At most `limit` bytes are accepted.
///
/// # Errors
/// A [`Problem`]; what was downloaded is kept where it can be resumed.
pub(super) async fn bring(
    link: Option<&Link<'_>>,
    root: &Path,
    url: &Url,
    limit: u64,
    report: &mut Report<'_>,
) -> Result<PathBuf, Problem> {
    let place = Place::of(root, url);
    let Some(link) = link else {
        return match place.copy()? {
            Some(_) => Ok(place.file),
            None => Err(Problem::Offline { what: url.shown() }),
        };
    };
    let _lock = Lock::take(&place.folder.join("lock"), &url.shown(), report)?;
    let copy = place.copy()?;
    let unless = copy.as_ref().and_then(|about| about.etag.clone());
    let request = FileRequest { name: url.shown(), url: url.clone(), size: None, sha256: None, limit, unless };
    let mut part = FilePart::open(&place.file)?;
    match download(link, &request, &mut part, &mut Meter::new(1, None), report).await {
        Ok(Outcome::Unchanged) => Ok(place.file),
        Ok(Outcome::Whole { length, sha256, validator }) => {
            let about = About { url: url.without_secrets().to_string(), etag: validator, length, sha256 };
            let json = serde_json::to_vec_pretty(&about)
                .map_err(|error| Problem::BadAnswer { url: url.shown(), reason: error.to_string() })?;
            write_with_folder(&place.about(), &json)?;
            Ok(place.file)
        }
        Err(problem) if copy.is_some() && problem.is_absence() => {
            notify(
                report,
                Notice::Warning { code: WarningCode::KeptCopy, text: format!("{problem}; using the cached copy") },
            )?;
            Ok(place.file)
        }
        Err(problem) => Err(problem),
    }
}
