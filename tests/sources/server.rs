//! A web server for tests, which can be as bad as real ones: threads and sockets, one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What to answer, and how badly.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub cut: Option<usize>,
    /// Say nothing more, for so long, after so many bytes of the body.
    pub stall: Option<(usize, Duration)>,
    /// Send pieces of so many bytes, with a pause after each.
    pub slow: Option<(usize, Duration)>,
    /// State no length; the end of the connection is the end of the body.
    pub endless: bool,
    /// State this length instead of the right one.
    pub length: Option<usize>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::new(302, "").header("location", to)
    }

    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }
}

/// A file as a good server gives it: ranges, entity tags, conditions.
pub fn file(request: &Request, bytes: &[u8], tag: &str) -> Reply {
    let tag = format!("\"{tag}\"");
    if request.header("if-none-match") == Some(&tag) {
        return Reply::new(304, "").header("etag", tag);
    }
    let range = request.header("range").filter(|_| request.header("if-range").is_none_or(|condition| condition == tag));
    let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match start {
        None => Reply::new(200, bytes).header("etag", tag),
        Some(start) if start < bytes.len() => Reply::new(206, &bytes[start..])
            .header("etag", tag)
            .header("content-range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())),
        Some(_) => Reply::new(416, "").header("content-range", format!("bytes */{}", bytes.len())),
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server, until the test ends.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let requests = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, requests) = (handler.clone(), requests.clone());
                std::thread::spawn(move || answer(stream, &*handler, &requests));
            }
        });
        Self { url, seen }
    }

    /// The requests so far whose path contains a text.
    pub fn requests(&self, part: &str) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| request.path.contains(part)).cloned().collect()
    }
}

/// A client that went away is no failure of the test.
fn answer(mut stream: TcpStream, handler: &Handler, requests: &Mutex<Vec<Request>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    for line in lines.by_ref() {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let request = Request { path, headers };
    let reply = handler(&request);
    requests.lock().unwrap().push(request);
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply.endless && reply.status != 304 {
        head += &format!("content-length: {}\r\n", reply.length.unwrap_or(reply.body.len()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    let body = &reply.body[..reply.cut.unwrap_or(usize::MAX).min(reply.body.len())];
    let (before, after) = body.split_at(reply.stall.map_or(body.len(), |(at, _)| at.min(body.len())));
    send(&mut stream, before, reply.slow)?;
    if let Some((_, time)) = reply.stall {
        std::thread::sleep(time);
        send(&mut stream, after, reply.slow)?;
    }
    // A socket that is closed with bytes unread resets the connection, which would be another case.
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).ok()?;
    Some(())
}

fn send(stream: &mut TcpStream, bytes: &[u8], slow: Option<(usize, Duration)>) -> Option<()> {
    let (piece, pause) = slow.unwrap_or((usize::MAX, Duration::ZERO));
    for piece in bytes.chunks(piece.max(1).min(bytes.len().max(1))) {
        stream.write_all(piece).ok()?;
        stream.flush().ok()?;
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    Some(())
}
