//! The page, served.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use crate::place::{Place, text};

/// Sends a request as it is and gives the whole answer.
fn ask(port: u16, request: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    text(&answer).to_owned()
}

#[test]
fn the_page_is_served_with_the_types_that_browsers_insist_on() {
    let place = Place::new();
    let site = place.path("site");
    std::fs::create_dir_all(site.join("www/pkg")).unwrap();
    std::fs::write(site.join("index.html"), "<p>the page</p>").unwrap();
    std::fs::write(site.join("www/pkg/engine.wasm"), b"\0asm").unwrap();
    std::fs::write(site.join("www/main.js"), "export {};").unwrap();
    std::fs::write(place.path("secret"), "s3cret").unwrap();
    let mut server = place
        .command(&["serve", "--dir", site.to_str().unwrap(), "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().strip_prefix("http://localhost:").unwrap().trim_end_matches('/').parse().unwrap();

    let get = |path: &str| ask(port, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    let page = get("/?x=1");
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.ends_with("<p>the page</p>"), "{page}");
    assert!(page.contains("content-type: text/html"), "{page}");
    assert!(get("/www/pkg/engine.wasm").contains("content-type: application/wasm\r\ncontent-length: 4\r\n"));
    assert!(get("/www/main.js").contains("content-type: text/javascript"));
    for outside in ["/../secret", "/%2e%2e/secret", "/www/../../secret", "/none", ""] {
        let answer = get(outside);
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("s3cret"), "{outside}: {answer}");
    }
    let head = ask(port, "HEAD / HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("the page"), "{head}");
    assert!(ask(port, "POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    // Nonsense does no harm to the next one.
    ask(port, "\r\n\r\n");
    assert!(get("/").starts_with("HTTP/1.1 200"));
    server.kill().unwrap();
    server.wait().unwrap();

    let nothing = place.run(&["serve", "--dir", place.path("none").to_str().unwrap()]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("build it with tools/web/dist"), "{}", text(&nothing.stderr));
}
