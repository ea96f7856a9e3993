//! Web addresses, strictly: `https` or `http`, a host, a path. Anything that could be read in two ways is refused.

use std::fmt::{self, Display, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address on the web. Its text form can be sent as it is: everything unusual is percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    https: bool,
    /// Lower case; IPv6 in brackets.
    host: String,
    port: Option<u16>,
    /// Begins with `/`.
    path: String,
    query: Option<String>,
}

impl Url {
    /// Reads an address. A fragment (`#...`) is dropped: servers never see it.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("is not a web address")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            other => return Err(format!("begins with {other}://, but only https:// is supported")),
        };
        if text.chars().any(char::is_control) {
            return Err("holds control characters".to_owned());
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err("holds a user name or password: leave it out".to_owned());
        }
        let (host, port) = host_and_port(authority)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(escape(query, true))),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/".to_owned() } else { escape(path, true) };
        Ok(Self { https, host, port, path, query })
    }

    /// The address that a `Location` header of an answer from here means.
    ///
    /// # Errors
    /// As for [`Url::parse`].
    pub fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.https { "https" } else { "http" };
        let place = location.split(['?', '#']).next().unwrap_or_default();
        if place.contains("://") {
            Self::parse(location)
        } else if location.starts_with("//") {
            Self::parse(&format!("{scheme}:{location}"))
        } else if location.starts_with('/') {
            Self::parse(&format!("{}{location}", self.origin()))
        } else {
            let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            Self::parse(&format!("{}{folder}/{location}", self.origin()))
        }
    }

    /// The same host with another path; every segment is encoded.
    pub fn with_path<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut path = self.path.trim_end_matches('/').to_owned();
        for segment in segments {
            path.push('/');
            path.push_str(&escape(segment, false));
        }
        Self { path, query: None, ..self.clone() }
    }

    /// The same address with a query.
    pub fn with_query(&self, query: &str) -> Self {
        Self { query: Some(escape(query, true)), ..self.clone() }
    }

    /// The address without its query, for messages: queries hold signatures and tokens.
    pub fn shown(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    /// The address without those fields of its query that look like secrets: to be kept, and to be typed again.
    pub fn without_secrets(&self) -> Self {
        let secret = |field: &&str| {
            let name = field.split('=').next().unwrap_or_default().to_ascii_lowercase();
            ["token", "key", "auth", "secret", "sig", "password", "credential"].iter().any(|word| name.contains(word))
        };
        let fields = self.query.as_deref().unwrap_or_default().split('&').filter(|field| !secret(field));
        let query = fields.collect::<Vec<_>>().join("&");
        Self { query: (!query.is_empty()).then_some(query), ..self.clone() }
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host's name, lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path, percent-encoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the path, decoded. None if one is not UTF-8.
    pub fn segments(&self) -> Option<Vec<String>> {
        self.path.split('/').filter(|segment| !segment.is_empty()).map(unescape).collect()
    }

    /// Scheme, host and port: who is at the other end.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let port = self.port.filter(|port| *port != if self.https { 443 } else { 80 });
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{scheme}://{}{port}", self.host)
    }

    /// Whether both are the same server, reached in the same way.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }

    /// Whether the host is this machine, by its name or number.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.ends_with(".localhost") || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// Whether the host is this machine or one in a private network, by its name or number. Names are not looked up.
    pub fn is_private(&self) -> bool {
        self.is_loopback()
            || match self.ip() {
                Some(IpAddr::V4(ip)) => private_v4(ip),
                Some(IpAddr::V6(ip)) => private_v6(ip),
                None => [".local", ".internal", ".lan", ".home.arpa"].iter().any(|end| self.host.ends_with(end)),
            }
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

fn private_v4(ip: Ipv4Addr) -> bool {
    let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64;
    ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast() || shared
}

fn private_v6(ip: Ipv6Addr) -> bool {
    let embedded = ip.to_ipv4_mapped().is_some_and(private_v4);
    ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local() || embedded
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (ip, rest) = rest.split_once(']').ok_or("has a bracket that is not closed")?;
            let ip: Ipv6Addr =
                ip.parse().map_err(|_| format!("has something in brackets that is not an IPv6 address: {ip}"))?;
            (format!("[{ip}]"), rest.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
            None => (authority.to_ascii_lowercase(), None),
        },
    };
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    if !host.starts_with('[') {
        if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) || host.starts_with('.') {
            return Err(format!("has an invalid host name: {host}"));
        }
        // `127.1` and `2130706433` are this machine to the system's resolver: only the plain form is let through.
        let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        let number = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
        if number && host.parse::<Ipv4Addr>().is_err() {
            return Err(format!("has an unusual number as its host: {host}"));
        }
    }
    let port = port.filter(|port| !port.is_empty());
    let port = port.map(|port| port.parse().map_err(|_| format!("has an invalid port: {port}"))).transpose()?;
    Ok((host, port))
}

/// Percent-encodes what may not stand in an address; with `whole`, text that may hold separators and escapes already.
pub(crate) fn escape(text: &str, whole: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || (whole && b"/%?&=+:@!$'()*,;".contains(&byte)) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Undoes [`escape`]. None if it is not UTF-8 or an escape is cut off.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let url = Url::parse("HTTPS://Example.ORG:443/a b/ü?x=1&y=2#top").unwrap();
        assert_eq!(url.to_string(), "https://example.org/a%20b/%C3%BC?x=1&y=2");
        assert_eq!(url.segments().unwrap(), ["a b", "ü"]);
        assert_eq!(Url::parse("http://localhost:8080").unwrap().to_string(), "http://localhost:8080/");
        assert_eq!(Url::parse("https://[::1]:8/x").unwrap().origin(), "https://[::1]:8");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            "ftp://a/b",
            "javascript:alert(1)",
            "https://",
            "https://user@evil.example/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://a\nb/",
            "https://ex ample.org/",
            "https://a:99999/",
            "https://[::1/",
            "a/b",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn locations_are_relative_to_where_they_were_given() {
        let url = Url::parse("https://hub.example/a/b?c=d").unwrap();
        let to = |location| url.join(location).unwrap().to_string();
        assert_eq!(to("/x?y"), "https://hub.example/x?y");
        assert_eq!(to("x"), "https://hub.example/a/x");
        assert_eq!(to("//cdn.example/x"), "https://cdn.example/x");
        assert_eq!(to("https://cdn.example/?u=http://z"), "https://cdn.example/?u=http://z");
        assert_eq!(to("/go?to=https://z"), "https://hub.example/go?to=https://z");
    }

    #[test]
    fn private_hosts_are_known() {
        let private = |host: &str| Url::parse(&format!("https://{host}/")).unwrap().is_private();
        for host in [
            "localhost",
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "[::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(private(host), "{host}");
        }
        assert!(!private("huggingface.co") && !private("8.8.8.8") && !private("[2606:4700::1]"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = Url::parse("https://a.example/x?type=Model&token=hf_1&X-Amz-Signature=2").unwrap();
        assert_eq!(url.shown(), "https://a.example/x");
        assert_eq!(url.without_secrets().to_string(), "https://a.example/x?type=Model");
        assert_eq!(
            Url::parse("https://a.example/x?key=1").unwrap().without_secrets().to_string(),
            "https://a.example/x"
        );
    }

    #[test]
    fn escapes_come_back() {
        assert_eq!(escape("a/b c", false), "a%2Fb%20c");
        assert_eq!(unescape("a%2Fb%20c").unwrap(), "a/b c");
        assert_eq!((unescape("%f"), unescape("%ff")), (None, None));
    }
}
