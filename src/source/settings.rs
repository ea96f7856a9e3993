//! Where downloads go and what may be used for them: the environment variables that Hugging Face's Python library
//! reads, so that files are shared with it (`huggingface_hub/constants.py`, `utils/_auth.py` @ee0a451).

use std::fmt;
use std::path::{Path, PathBuf};

use super::Problem;
use super::url::Url;

/// The Hub, unless `HF_ENDPOINT` names another.
pub const HUB: &str = "https://huggingface.co";

/// A secret that identifies the user to the Hub; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token from the text of a variable or a file. None if it cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// How sources are reached and where their files are stored.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Hub: `HF_ENDPOINT`. Only here is plain `http` to another machine allowed, and only here the token is sent.
    pub endpoint: Url,
    /// `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, or the file that `hf auth login` writes (`HF_TOKEN_PATH`).
    pub token: Option<Token>,
    /// The Hub's cache: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub hub: PathBuf,
    /// Files from other web addresses: `pseudoword` in the user's cache folder.
    pub web: PathBuf,
    /// Certificates to trust instead of Mozilla's roots, where a network has its own authority: `SSL_CERT_FILE`,
    /// `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`, a PEM file.
    pub roots: Option<PathBuf>,
    /// No network: `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`, or `--offline`.
    pub offline: bool,
    /// Whether the cache links files where the system can; `HF_HUB_DISABLE_SYMLINKS` says no.
    pub links: bool,
    /// Whether cached files are hashed again before use. No front end offers it; the tests do.
    pub verify: bool,
}

impl Settings {
    /// Reads the settings. `variable` gives an environment variable's value, `home` is the user's folder and `read`
    /// gives a small text file's content.
    ///
    /// # Errors
    /// [`Problem::BadSetting`] for an `HF_ENDPOINT` that is not a web address, or without any folder for a cache.
    pub fn from_variables(
        variable: &dyn Fn(&str) -> Option<String>,
        home: Option<&Path>,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> Result<Self, Problem> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let is_true = |name: &str| {
            set(name).is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()))
        };
        let path = |name: &str| set(name).map(|value| expand(&value, home));
        let no_home = || Problem::BadSetting {
            name: "HOME".to_owned(),
            value: String::new(),
            reason: "there is no folder for downloads: set HF_HOME to one".to_owned(),
        };
        let cache = || path("XDG_CACHE_HOME").or_else(|| Some(home?.join(".cache")));
        let hf_home = path("HF_HOME").or_else(|| Some(cache()?.join("huggingface")));
        let hub = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let hub = hub.or_else(|| Some(hf_home.as_ref()?.join("hub"))).ok_or_else(no_home)?;
        let web = path("PSEUDOWORD_CACHE").or_else(|| Some(cache()?.join("pseudoword")));
        let web = web.or_else(|| Some(hf_home.as_ref()?.join("pseudoword"))).ok_or_else(no_home)?;
        let given = set("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let endpoint = Url::parse(given.trim().trim_end_matches('/')).map_err(|reason| Problem::BadSetting {
            name: "HF_ENDPOINT".to_owned(),
            value: given,
            reason: format!("it {reason}; it should be like {HUB}"),
        })?;
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).and_then(|text| Token::new(&text));
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(hf_home?.join("token")));
        let stored = || {
            if is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
                None
            } else {
                token_file.and_then(|file| read(&file)).and_then(|text| Token::new(&text))
            }
        };
        Ok(Self {
            endpoint,
            token: token.or_else(stored),
            hub,
            web,
            roots: ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().find_map(path),
            offline: is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"),
            links: !is_true("HF_HUB_DISABLE_SYMLINKS"),
            verify: false,
        })
    }

    /// The settings of this process.
    ///
    /// # Errors
    /// As for [`Settings::from_variables`].
    #[cfg(not(target_family = "wasm"))]
    pub fn from_environment() -> Result<Self, Problem> {
        let variable = |name: &str| std::env::var(name).ok();
        Self::from_variables(&variable, std::env::home_dir().as_deref(), &|path| std::fs::read_to_string(path).ok())
    }
}

/// `~/x` as a path; variables inside variables, which Python expands too, are left alone.
fn expand(value: &str, home: Option<&Path>) -> PathBuf {
    match (value.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Problem> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let read = |path: &Path| (path == Path::new("/home/me/hf/token")).then(|| "hf_stored\n".to_owned());
        Settings::from_variables(&find, Some(Path::new("/home/me")), &read)
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let hub = |variables: &[(&str, &str)]| settings(variables).unwrap().hub.display().to_string();
        assert_eq!(hub(&[]), "/home/me/.cache/huggingface/hub");
        assert_eq!(hub(&[("XDG_CACHE_HOME", "/c")]), "/c/huggingface/hub");
        assert_eq!(hub(&[("XDG_CACHE_HOME", "/c"), ("HF_HOME", "~/hf")]), "/home/me/hf/hub");
        assert_eq!(hub(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")]), "/new");
        assert_eq!(settings(&[]).unwrap().web, Path::new("/home/me/.cache/pseudoword"));
    }

    #[test]
    fn the_token_comes_from_a_variable_or_the_file_and_is_not_shown() {
        let token = |variables: &[(&str, &str)]| settings(variables).unwrap().token.map(|token| token.header());
        assert_eq!(token(&[("HF_HOME", "~/hf")]).unwrap(), "Bearer hf_stored");
        assert_eq!(token(&[("HF_HOME", "~/hf"), ("HF_TOKEN", " hf_1\n")]).unwrap(), "Bearer hf_1");
        assert_eq!(token(&[("HF_HOME", "~/hf"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HF_TOKEN", "two\nlines")]), None);
        assert!(!format!("{:?}", settings(&[("HF_TOKEN", "hf_1")]).unwrap()).contains("hf_1"));
    }

    #[test]
    fn switches_and_endpoints() {
        let all = settings(&[
            ("HF_HUB_OFFLINE", "yes"),
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_HUB_DISABLE_SYMLINKS", "1"),
        ]);
        let all = all.unwrap();
        assert!(all.offline && !all.links && all.endpoint.to_string() == "https://mirror.example/");
        assert!(!settings(&[("HF_HUB_OFFLINE", "0")]).unwrap().offline);
        assert!(matches!(settings(&[("HF_ENDPOINT", "mirror")]), Err(Problem::BadSetting { .. })));
    }
}
