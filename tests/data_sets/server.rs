//! A small HTTP server on this machine that answers as a test has written down.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long either side waits before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A body with its length.
    pub(crate) fn new(status: &'static str, body: &[u8]) -> Self {
        Self {
            status,
            headers: vec![format!("Content-Length: {}", body.len())],
            body: body.to_vec(),
        }
    }

    /// The rest of a file from `first` on.
    pub(crate) fn rest(file: &[u8], first: usize) -> Self {
        let mut answer = Self::new("206 Partial Content", &file[first..]);
        let (last, total) = (file.len() - 1, file.len());
        answer
            .headers
            .push(format!("Content-Range: bytes {first}-{last}/{total}"));
        answer
    }

    /// Closes the connection after these many bytes of the body.
    pub(crate) fn cut(mut self, keep: usize) -> Self {
        self.body.truncate(keep);
        self
    }
}

/// Answers one connection after the other, then stops.
pub(crate) struct Server {
    pub(crate) url: String,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let answer = |answer| serve(&listener, answer);
            answers.iter().map(answer).collect()
        });
        Self { url, thread }
    }

    /// The requests, head by head, once all answers are given.
    pub(crate) fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn serve(listener: &TcpListener, answer: &Answer) -> String {
    let mut stream = accept(listener);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let request = head(&stream);
    let headers: String = answer.headers.iter().map(|h| format!("{h}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {}\r\n{headers}Connection: close\r\n\r\n",
        answer.status
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A client may have heard enough.
    let _ = stream.write_all(&answer.body);
    request
}

/// The next connection, unless none comes in time.
fn accept(listener: &TcpListener) -> TcpStream {
    let end = Instant::now() + PATIENCE;
    listener.set_nonblocking(true).unwrap();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                assert!(Instant::now() < end, "no further request came");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn head(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines();
    let mut head = String::new();
    while let Some(line) = lines.next().transpose().unwrap() {
        if line.is_empty() {
            break;
        }
        head.push_str(&line.to_lowercase());
        head.push('\n');
    }
    head
}
