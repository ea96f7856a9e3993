//! `pseudoword serve`: the page, for browsers on this machine.
//!
//! A server for one person and a few static files: GET and HEAD, one thread for each connection, nothing outside the
//! folder. Browsers start WebAssembly from a stream only with the right type, and offer the GPU only to `https` and to
//! this machine itself, so it listens on the loopback address and nowhere else.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::args::ServeArgs;
use super::output::Output;
use crate::{Error, Result};

/// The longest head of a request.
const LONGEST_HEAD: u64 = 16 << 10;
/// How long a browser may take to send it, or to take what it asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves until it is interrupted.
pub(super) fn run(args: &ServeArgs, out: &mut Output) -> Result<()> {
    let folder = page(args.dir.as_deref())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AddrInUse { ": give another with --port" } else { "" };
        Error::Usage(format!("port {} cannot be used ({error}){hint}", args.port))
    })?;
    let port = listener.local_addr().map_or(args.port, |address| address.port());
    out.message(&format!("serving {} at http://localhost:{port}/; press Ctrl-C to stop", folder.display()));
    out.line(&format!("http://localhost:{port}/"))?;
    for connection in listener.incoming() {
        let Ok(connection) = connection else { continue };
        let folder = folder.clone();
        // A browser that goes away in the middle is not an error.
        std::thread::spawn(move || answer(&connection, &folder).ok());
    }
    Ok(())
}

/// The folder with the page: the one that is given, `dist` here, or the repository itself.
fn page(given: Option<&Path>) -> Result<PathBuf> {
    let has_page = |folder: &Path| folder.join("index.html").is_file() && folder.join("www/pkg").is_dir();
    let found = match given {
        Some(folder) => Some(folder).filter(|folder| has_page(folder)),
        None => ["dist", "."].map(Path::new).into_iter().find(|folder| has_page(folder)),
    };
    let found = found.ok_or_else(|| {
        let place = given.unwrap_or(Path::new("dist")).display();
        Error::Usage(format!("the page is not in {place}: build it with tools/web/dist in a copy of the repository, or name its folder with --dir"))
    })?;
    found.canonicalize().map_err(|source| Error::Read { path: found.to_owned(), source })
}

/// Answers one request and closes the connection.
fn answer(connection: &TcpStream, folder: &Path) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut head = BufReader::new(connection.take(LONGEST_HEAD)).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    // Closing with something unread would reset the connection.
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let mut parts = request.split(' ');
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut connection = connection;
    if method != "GET" && method != "HEAD" {
        return connection.write_all(
            b"HTTP/1.1 405 Method Not Allowed\r\nallow: GET, HEAD\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
    }
    let opened = place(target, folder).and_then(|path| Some((File::open(&path).ok()?, path)));
    let Some((mut file, path)) = opened else {
        let text = "There is no such file.\n";
        return write!(
            connection,
            "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
    };
    let length = file.metadata()?.len();
    write!(
        connection,
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {length}\r\ncache-control: no-cache\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        kind(&path)
    )?;
    if method == "GET" {
        io::copy(&mut file, &mut connection)?;
    }
    Ok(())
}

/// The file that is meant; none for anything outside the folder.
fn place(target: &str, folder: &Path) -> Option<PathBuf> {
    let path = decode(target.split(['?', '#']).next()?.strip_prefix('/')?)?;
    let path = Path::new(&path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let mut path = folder.join(path);
    if path.is_dir() {
        path = path.join("index.html");
    }
    // Links may lead out of the folder.
    path.canonicalize().ok().filter(|path| path.starts_with(folder) && path.is_file())
}

/// Text with its percent escapes resolved; none if it is not text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(['\0', '\\']))
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "wasm" => "application/wasm",
        "png" => "image/png",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_folder_is_served() {
        let place_of = tempfile::tempdir().unwrap();
        let folder = place_of.path().canonicalize().unwrap().join("site");
        std::fs::create_dir_all(folder.join("a b")).unwrap();
        std::fs::write(folder.join("a b/index.html"), "x").unwrap();
        std::fs::write(folder.join("../secret"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.join("../secret"), folder.join("link")).unwrap();
        let found = |target: &str| place(target, &folder);
        assert_eq!(found("/a%20b/?x=1"), Some(folder.join("a b/index.html")));
        for bad in [
            "/../secret",
            "/%2e%2e/secret",
            "/a%20b/../../secret",
            "//secret",
            "/link",
            "/a%20b%00",
            "/%zz",
            "secret",
            "/none",
        ] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }
}
