//! A server on this machine that plays the hub, with faults or without.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::files::{COMMIT, Files};

/// What a server does with the next requests for the training file, before it serves it as it should.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    /// The status, of any request.
    Status(u16),
    /// The body ends early, though its length was promised.
    Cut,
    /// The body ends early, and so does the promise.
    Short,
    /// Bytes in the middle are others.
    Corrupt,
}

/// The name, or a part of it, of files that faults are about.
const FAULTY: &str = "/train/";

pub struct Server {
    pub endpoint: String,
    pub faults: Arc<Mutex<Vec<Fault>>>,
    /// What was asked for, the first line of each request.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// A server with `files` in every repository's `revision`.
    pub fn start(revision: &'static str, files: Files, faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let faults = Arc::new(Mutex::new(faults.to_vec()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (shared, asked) = (faults.clone(), requests.clone());
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, revision, &files, &shared, &asked);
            }
        });
        Self { endpoint, faults, requests }
    }
}

fn answer(
    mut stream: TcpStream,
    revision: &str,
    files: &Files,
    faults: &Mutex<Vec<Fault>>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    asked.lock().unwrap().push(request.clone());
    if request.contains("/tree/") {
        return list(&mut stream, &request, revision, files);
    }
    let (is_head, found) =
        (request.starts_with("HEAD"), files.iter().find(|(name, _)| request.contains(&format!("/{name} "))));
    let Some((name, body)) = found else { return refuse(&mut stream, 404) };
    let mut body = body.clone();
    let mut faults = faults.lock().unwrap();
    let fault = faults.first().copied().filter(|fault| {
        name.contains(FAULTY) && (!is_head || matches!(fault, Fault::Status(_) | Fault::Short))
    });
    if fault.is_some() && (!is_head || matches!(fault, Some(Fault::Status(_)))) {
        faults.remove(0);
    }
    let mut length = body.len();
    match fault {
        Some(Fault::Status(status)) => return refuse(&mut stream, status),
        Some(Fault::Cut) => body.truncate(length / 2),
        Some(Fault::Short) => {
            body.truncate(length / 2);
            length = body.len();
        }
        Some(Fault::Corrupt) => body[40..80].fill(0xff),
        None => {}
    }
    let etag = name.replace('/', "-");
    write!(stream, "HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n")?;
    write!(stream, "Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
    if !is_head {
        stream.write_all(&body)?;
    }
    Ok(())
}

fn refuse(stream: &mut TcpStream, status: u16) -> std::io::Result<()> {
    let code = if status == 404 { "X-Error-Code: EntryNotFound\r\n" } else { "" };
    write!(stream, "HTTP/1.1 {status} no\r\n{code}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

/// The names of all files, if the request is for the right revision.
fn list(stream: &mut TcpStream, request: &str, revision: &str, files: &Files) -> std::io::Result<()> {
    if !request.replace("%2F", "/").contains(&format!("/tree/{revision}")) {
        return refuse(stream, 404);
    }
    let entry = |(path, bytes): (&String, &Vec<u8>)| serde_json::json!({ "type": "file", "oid": "0", "size": bytes.len(), "path": path });
    let body = serde_json::Value::from_iter(files.iter().map(entry)).to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n")?;
    write!(stream, "Connection: close\r\n\r\n{body}")
}
