//! What the user typed, parsed: a path, an `https` address, or a repository on the Hugging Face Hub.
//!
//! The rules, in this order:
//! 1. A file or folder that exists is meant, whatever its name looks like.
//! 2. `https://...` is an address. One of the Hub's pages (`/blob/`, `/raw/`, `/resolve/`, `/tree/` or none of these)
//!    means the repository, or the file in it; `hf://...` likewise.
//! 3. Anything that looks like a path (`/x`, `./x`, `~/x`, a backslash, `folder/word.pt`) is a file that is not there.
//! 4. `owner/name`, `owner/name@revision` and `owner/name/folder/file` are on the Hub, `datasets/owner/name` too.
//! 5. A single word is none of these; callers look among the stored embeddings first.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use super::Problem;
use super::url::Url;
use crate::base::text::quoted;
use crate::formats;

/// Names that no owner can have, because the Hub's own addresses begin with them.
const RESERVED: [&str; 9] = ["models", "datasets", "spaces", "api", "docs", "blog", "settings", "join", "login"];

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A file or folder on this machine, which exists.
    Path(PathBuf),
    /// A file on the web.
    Url(Url),
    /// A repository on the Hub, or something in it.
    Hub(HubAddress),
}

/// What kind of repository. Models are the rule; some well-known embeddings are kept as datasets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum RepoKind {
    /// `huggingface.co/owner/name`.
    #[default]
    Model,
    /// `huggingface.co/datasets/owner/name`.
    Dataset,
    /// `huggingface.co/spaces/owner/name`.
    Space,
}

impl RepoKind {
    /// As in addresses of the API and folders of the cache: `models`, `datasets`, `spaces`.
    pub fn plural(self) -> &'static str {
        match self {
            RepoKind::Model => "models",
            RepoKind::Dataset => "datasets",
            RepoKind::Space => "spaces",
        }
    }
}

/// A repository on the Hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repo {
    /// What kind.
    pub kind: RepoKind,
    /// `owner/name`.
    pub id: String,
}

impl Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RepoKind::Model => f.write_str(&self.id),
            kind => write!(f, "{}/{}", kind.plural(), self.id),
        }
    }
}

/// A place in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubAddress {
    /// The repository.
    pub repo: Repo,
    /// A branch, a tag, a commit or `refs/pr/N`.
    pub revision: String,
    /// A file or a folder in it; none for all of it.
    pub path: Option<String>,
}

impl HubAddress {
    /// The newest state of a model repository.
    pub fn model(id: impl Into<String>) -> Self {
        Self { repo: Repo { kind: RepoKind::Model, id: id.into() }, revision: MAIN.to_owned(), path: None }
    }
}

impl Display for HubAddress {
    /// In the form that can be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repo)?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        self.path.as_ref().map_or(Ok(()), |path| write!(f, "/{path}"))
    }
}

/// The branch that is used where none is named.
pub const MAIN: &str = "main";

impl Address {
    /// Parses what was typed. `endpoint` is the Hub in use, `exists` whether there is such a file or folder.
    ///
    /// # Errors
    /// [`Problem::BadAddress`] or [`Problem::NoSuchFile`], with what may have been meant.
    pub fn parse(typed: &str, endpoint: &Url, exists: &dyn Fn(&Path) -> bool) -> Result<Self, Problem> {
        let bad = |reason: String| Problem::BadAddress { typed: typed.to_owned(), reason };
        if typed.trim().is_empty() {
            return Err(bad(
                "is empty: give a file, an https address or a Hugging Face repository (owner/name)".to_owned()
            ));
        }
        let path = Path::new(typed);
        if exists(path) {
            return Ok(Address::Path(path.to_owned()));
        }
        if let Some(rest) = typed.strip_prefix("hf://") {
            return hub(rest).map(Address::Hub).map_err(bad);
        }
        if let Some((scheme, _)) = typed.split_once("://") {
            if !["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
                return Err(bad(format!("begins with {scheme}://, but only https:// and hf:// are supported")));
            }
            let url = Url::parse(typed).map_err(bad)?;
            return if url.host() == "huggingface.co" || url.host() == "hf.co" || url.same_origin(endpoint) {
                of_the_hub(&url, endpoint).map_err(bad)
            } else {
                Ok(Address::Url(raw(url)))
            };
        }
        if let Some((scheme, _)) = typed.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
            return Err(bad(format!("begins with {scheme}:, but only files, https:// and owner/name are supported")));
        }
        if looks_like_a_path(typed) {
            return Err(Problem::NoSuchFile { typed: typed.to_owned(), hint: String::new() });
        }
        if !typed.contains('/') {
            let hint = ": a Hugging Face repository is written owner/name".to_owned();
            return Err(Problem::NoSuchFile { typed: typed.to_owned(), hint });
        }
        hub(typed).map(Address::Hub).map_err(|reason| Problem::NoSuchFile {
            typed: typed.to_owned(),
            hint: format!(", and as a Hugging Face repository it {reason}"),
        })
    }
}

/// `C:` is a drive, not a scheme.
fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|b| b.is_ascii_alphabetic()) && !text.contains('/')
}

fn looks_like_a_path(typed: &str) -> bool {
    let drive = typed.as_bytes().get(1) == Some(&b':');
    let start = ["/", "./", "../", "~"].iter().any(|start| typed.starts_with(start));
    // With the ending of a file, two segments are a path and not a repository.
    let ending = formats::is_known(typed);
    let reserved =
        typed.split('/').count() == 2 && typed.split('/').next().is_some_and(|first| RESERVED.contains(&first));
    drive || start || typed.contains('\\') || reserved || (ending && typed.split('/').count() < 3)
}

/// `[datasets/]owner/name[@revision][/path]`.
fn hub(text: &str) -> Result<HubAddress, String> {
    let (kind, rest) = kind(text);
    let (owner, rest) = rest.split_once('/').ok_or("needs an owner and a name: owner/name")?;
    let end = rest.find(['/', '@']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let (revision, path) = match rest.strip_prefix('@') {
        Some(rest) => split_revision(rest),
        None => (MAIN.to_owned(), rest.trim_start_matches('/')),
    };
    address(kind, owner, name, revision, path)
}

/// A page of the Hub's, as copied from a browser.
fn of_the_hub(url: &Url, endpoint: &Url) -> Result<Address, String> {
    let path = url.path();
    let base = endpoint.path().trim_end_matches('/');
    let path = if url.same_origin(endpoint) { path.strip_prefix(base).unwrap_or(path) } else { path };
    let text = super::url::unescape(path.trim_matches('/')).ok_or("has an invalid escape (%..)")?;
    let (kind, rest) = kind(&text);
    let mut parts = rest.splitn(4, '/');
    let (Some(owner), Some(name)) = (parts.next(), parts.next()) else {
        return Err("is not a page of a repository: https://huggingface.co/owner/name".to_owned());
    };
    let (revision, path) = match (parts.next(), parts.next()) {
        (None, _) => (MAIN.to_owned(), ""),
        (Some("blob" | "resolve" | "raw" | "tree" | "blame"), Some(rest)) => split_revision(rest),
        (Some(page), _) => {
            return Err(format!(
                "is the page {shown} of a repository: give the address of a file, or owner/name",
                shown = quoted(page)
            ));
        }
    };
    address(kind, owner, name, revision, path).map(Address::Hub)
}

fn kind(text: &str) -> (RepoKind, &str) {
    let kinds = [RepoKind::Model, RepoKind::Dataset, RepoKind::Space];
    let named = |kind: &RepoKind| text.strip_prefix(kind.plural())?.strip_prefix('/').map(|rest| (*kind, rest));
    kinds.iter().find_map(named).unwrap_or((RepoKind::Model, text))
}

/// The revision and what follows it. Only two families of revisions hold a slash.
fn split_revision(text: &str) -> (String, &str) {
    let segments = if text.starts_with("refs/pr/") || text.starts_with("refs/convert/") { 3 } else { 1 };
    let end = text.match_indices('/').nth(segments - 1).map_or(text.len(), |(at, _)| at);
    let (revision, path) = text.split_at(end);
    (super::url::unescape(revision).unwrap_or_else(|| revision.to_owned()), path.trim_matches('/'))
}

fn address(kind: RepoKind, owner: &str, name: &str, revision: String, path: &str) -> Result<HubAddress, String> {
    for part in [owner, name] {
        // The rules of `huggingface_hub/utils/_validators.py`; they also keep the names of folders in the cache apart.
        let known = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let edges = !part.starts_with(['-', '.']) && !part.ends_with(['-', '.']) && !part.ends_with(".git");
        if part.is_empty() || part.len() > 96 || !known || !edges || part.contains("--") || part.contains("..") {
            return Err(format!("has an invalid part: {shown}", shown = quoted(part)));
        }
    }
    if !is_safe_path(&revision) || revision.len() > 200 {
        return Err(format!("has an invalid revision: {shown}", shown = quoted(&revision)));
    }
    if !path.is_empty() && !is_safe_path(path) {
        return Err(format!("has an invalid path: {shown}", shown = quoted(path)));
    }
    let path = (!path.is_empty()).then(|| path.to_owned());
    Ok(HubAddress { repo: Repo { kind, id: format!("{owner}/{name}") }, revision, path })
}

/// Whether a relative path with slashes stays inside its folder, on every system: no path from a server may lead
/// anywhere else.
pub fn is_safe_path(path: &str) -> bool {
    let odd = |c: char| c.is_control() || "\\:*?\"<>|".contains(c);
    let safe = |segment: &str| {
        !segment.is_empty()
            && segment.len() <= 200
            && segment != "."
            && segment != ".."
            && !segment.ends_with([' ', '.'])
            && !formats::is_windows_device(&segment.to_ascii_lowercase())
    };
    path.len() <= 1000 && !path.contains(odd) && path.split('/').all(safe)
}

/// GitHub shows a file at `/blob/`, and gives it at `/raw/`.
fn raw(url: Url) -> Url {
    match (url.host(), url.segments()) {
        ("github.com", Some(mut segments)) if segments.len() > 4 && segments[2] == "blob" => {
            segments[2] = "raw".to_owned();
            Url::parse("https://github.com").map_or(url, |host| host.with_path(segments.iter().map(String::as_str)))
        }
        _ => url,
    }
}

/// Takes `SOURCE=NAME` apart. A file of that whole name comes first, and in a web address the `=` of its query is not
/// taken for it: `https://x/y?download=true` has no name, `https://x/y?download=true=<cat>` has.
pub fn split_name<'a>(argument: &'a str, exists: &dyn Fn(&Path) -> bool) -> (&'a str, Option<&'a str>) {
    if exists(Path::new(argument)) {
        return (argument, None);
    }
    // A file comes before the rest of the name, which may hold an `=` itself.
    let splits = argument.match_indices('=').map(|(at, _)| (&argument[..at], &argument[at + 1..]));
    if let Some((source, name)) = splits.filter(|(source, _)| exists(Path::new(source))).last() {
        return (source, Some(name));
    }
    let Some((source, name)) = argument.rsplit_once('=') else { return (argument, None) };
    let query = argument.split_once("://").and_then(|(_, rest)| rest.split_once('?')).map(|(_, query)| query);
    let last = query.and_then(|query| query.rsplit('&').next());
    match last {
        Some(last) if last.matches('=').count() < 2 => (argument, None),
        _ => (source, Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str) -> Result<Address, Problem> {
        Address::parse(typed, &Url::parse("https://huggingface.co").unwrap(), &|_| false)
    }

    fn on_the_hub(typed: &str) -> (String, String, Option<String>) {
        match parse(typed).unwrap() {
            Address::Hub(address) => (address.repo.to_string(), address.revision, address.path),
            other => panic!("{typed}: {other:?}"),
        }
    }

    fn is(repo: &str, revision: &str, path: &str) -> (String, String, Option<String>) {
        (repo.to_owned(), revision.to_owned(), (!path.is_empty()).then(|| path.to_owned()))
    }

    #[test]
    fn repositories_are_understood_in_every_form() {
        let midjourney = is("sd-concepts-library/midjourney-style", "main", "");
        for typed in [
            "sd-concepts-library/midjourney-style",
            "hf://sd-concepts-library/midjourney-style",
            "https://huggingface.co/sd-concepts-library/midjourney-style",
            "https://hf.co/sd-concepts-library/midjourney-style/",
            "https://huggingface.co/sd-concepts-library/midjourney-style/tree/main",
            "models/sd-concepts-library/midjourney-style",
        ] {
            assert_eq!(on_the_hub(typed), midjourney, "{typed}");
        }
        assert_eq!(on_the_hub("a/b@v1.5"), is("a/b", "v1.5", ""));
        assert_eq!(on_the_hub("a/b@refs/pr/3"), is("a/b", "refs/pr/3", ""));
        assert_eq!(on_the_hub("a/b@v1/x/y.bin"), is("a/b", "v1", "x/y.bin"));
        assert_eq!(on_the_hub("a/b/x/y.bin"), is("a/b", "main", "x/y.bin"));
        assert_eq!(on_the_hub("datasets/gsdf/EasyNegative"), is("datasets/gsdf/EasyNegative", "main", ""));
    }

    #[test]
    fn pages_that_show_a_file_mean_the_file() {
        let file = is("a/b", "main", "learned_embeds.bin");
        for page in ["blob", "raw", "resolve", "blame"] {
            assert_eq!(
                on_the_hub(&format!("https://huggingface.co/a/b/{page}/main/learned_embeds.bin?download=true")),
                file
            );
        }
        let pr = on_the_hub("https://huggingface.co/a/b/blob/refs%2Fpr%2F1/x/a%20b.pt");
        assert_eq!(pr, is("a/b", "refs/pr/1", "x/a b.pt"));
        assert!(parse("https://huggingface.co/a/b/discussions/1").is_err());
        let Address::Url(github) = parse("https://github.com/o/r/blob/main/x.bin").unwrap() else { panic!() };
        assert_eq!(github.to_string(), "https://github.com/o/r/raw/main/x.bin");
    }

    #[test]
    fn what_exists_is_meant_whatever_it_looks_like() {
        let endpoint = Url::parse("https://huggingface.co").unwrap();
        let here = Address::parse("a/b", &endpoint, &|path| path == Path::new("a/b")).unwrap();
        assert_eq!(here, Address::Path("a/b".into()));
    }

    #[test]
    fn paths_that_are_not_there_are_not_taken_for_repositories() {
        for typed in
            ["./a/b", "/a/b", "~/a", "words/cat.pt", "a\\b", "C:/x/y", "models/mini", "cat", "cat.bin", "a/b/../c"]
        {
            assert!(matches!(parse(typed), Err(Problem::NoSuchFile { .. })), "{typed}: {:?}", parse(typed));
        }
        for typed in [
            "",
            "file:///etc/passwd",
            "ftp://a/b",
            "javascript:x",
            "data:text/html,x",
            "https://u@h/",
            "https://huggingface.co",
        ] {
            assert!(matches!(parse(typed), Err(Problem::BadAddress { .. })), "{typed}: {:?}", parse(typed));
        }
    }

    #[test]
    fn a_mirror_is_the_hub() {
        let endpoint = Url::parse("http://localhost:90/hub").unwrap();
        let Address::Hub(address) =
            Address::parse("http://localhost:90/hub/a/b/blob/main/x.pt", &endpoint, &|_| false).unwrap()
        else {
            panic!()
        };
        assert_eq!(address.to_string(), "a/b/x.pt");
    }

    #[test]
    fn unsafe_paths_are_known() {
        for path in ["../x", "a/../b", "/a", "a//b", "a\\b", "a/", "", "CON", "a/nul.txt", "x\0", "a:b", "a. "] {
            assert!(!is_safe_path(path), "{path:?}");
        }
        assert!(
            is_safe_path("unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors")
                && is_safe_path(".gitattributes")
        );
    }

    #[test]
    fn names_are_split_off() {
        let split = |argument| split_name(argument, &|path| path == Path::new("a=b"));
        assert_eq!(split("a=b"), ("a=b", None));
        assert_eq!(split("x.pt=<cat>"), ("x.pt", Some("<cat>")));
        assert_eq!(split("a=b=<c=d>"), ("a=b", Some("<c=d>")), "what exists decides");
        assert_eq!(split("a/b@main=<cat>"), ("a/b@main", Some("<cat>")));
        assert_eq!(split("https://x/y?download=true"), ("https://x/y?download=true", None));
        assert_eq!(split("https://x/y?a=1&b=true=<cat>"), ("https://x/y?a=1&b=true", Some("<cat>")));
        assert_eq!(split("https://x/y.pt=cat"), ("https://x/y.pt", Some("cat")));
    }
}
