//! Fetching a published file: in one piece or none, resumed where it broke off, and checked.
//!
//! The bytes go to a file beside the wanted one, with `.part` added to its name. Only when length and
//! SHA-256 are right is it given its name, so a file of that name is always whole. What came before
//! a connection broke is kept for the next try.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// How often a broken connection is taken up again within one [`fetch`].
const RETRIES: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest silence of a server.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Addresses that a server may send on to, one after the other.
const REDIRECTS: u32 = 10;
/// Fewest bytes in so long a time: who sends a few now and then is not silent, and would never end.
const LEAST: u64 = 60 << 10;
const CHUNK: usize = 64 * 1024;

/// A file on the net and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote<'a> {
    /// Its address. If that is `https`, no redirect leads away from `https`.
    pub url: &'a str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: &'a str,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The address of the file.
    pub url: &'a str,
    /// Bytes there are, those of an earlier try included.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The server was not reached, or did not speak HTTP.
    #[error("cannot reach {url}, check the network")]
    Connect {
        /// The address.
        url: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server refused.
    #[error("{url} answers {status}, want 200 OK")]
    Status {
        /// The address.
        url: String,
        /// The answer, such as `404 Not Found`.
        status: String,
    },
    /// The connection broke, again and again.
    #[error(
        "{url} broke off after {got} of {want} bytes, which are kept: the next try goes on there"
    )]
    BrokeOff {
        /// The address.
        url: String,
        /// Bytes there are.
        got: u64,
        /// Bytes wanted.
        want: u64,
        /// The cause.
        source: io::Error,
    },
    /// The server has a file of another length.
    #[error("{url} has {got} bytes or more, want {want}: it is another file")]
    Length {
        /// The address.
        url: String,
        /// Bytes announced or received.
        got: u64,
        /// Bytes wanted.
        want: u64,
    },
    /// The bytes are others than published.
    #[error("{url} has SHA-256 {got}, want {want}: it is another file, or was changed on its way")]
    Checksum {
        /// The address.
        url: String,
        /// The checksum found.
        got: String,
        /// The checksum wanted.
        want: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}, check the folder and the space left", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Downloads a file to `path`, making its folder if need be, and reports after every piece.
///
/// Blocks until the file is there or cannot be had. Two at a time must not write the same file.
/// A proxy is used if the environment names one (`HTTPS_PROXY`, `ALL_PROXY`), and the system's certificates, or those that
/// `SSL_CERT_FILE` names.
///
/// # Errors
///
/// A [`DownloadError`]; then there is no file at `path` that was not there before.
pub fn fetch(
    remote: &Remote<'_>,
    path: &Path,
    report: &mut dyn FnMut(&Progress<'_>),
) -> Result<(), DownloadError> {
    fetch_within(READ_TIMEOUT, remote, path, report)
}

/// The same from a server that is silent no longer than this.
fn fetch_within(
    silence: Duration,
    remote: &Remote<'_>,
    path: &Path,
    report: &mut dyn FnMut(&Progress<'_>),
) -> Result<(), DownloadError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(write_error(folder))?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let agent = agent(remote.url, silence);

    let mut retries = RETRIES;
    loop {
        let resumed = length(&part)? > 0;
        match receive(&agent, silence, remote, &part, report).and_then(|()| check(remote, &part)) {
            Ok(()) => return fs::rename(&part, path).map_err(write_error(path)),
            Err(DownloadError::BrokeOff { .. }) if retries > 0 => retries -= 1,
            // What was there may have been of another file. It is removed, so this happens once.
            Err(DownloadError::Checksum { .. }) if resumed => {}
            Err(error) => return Err(error),
        }
    }
}

fn agent(url: &str, silence: Duration) -> Agent {
    let config = Agent::config_builder()
        .user_agent(concat!("nin-wgpu/", env!("CARGO_PKG_VERSION")))
        .https_only(!url.starts_with("http://"))
        .http_status_as_error(false)
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence))
        .max_redirects(REDIRECTS)
        .tls_config(tls(url));
    // A proxy cannot reach this machine under that name.
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    if local.iter().any(|host| url.starts_with(host)) {
        config.proxy(None).build().into()
    } else {
        config.build().into()
    }
}

/// Trusts whom the system trusts, and where it has no certificates, as in a small container, whom Mozilla does.
///
/// So a proxy that a company or a university reads traffic by works as in a browser; `SSL_CERT_FILE` and `SSL_CERT_DIR` name
/// others.
fn tls(url: &str) -> TlsConfig {
    let own = match url.starts_with("https://") {
        true => rustls_native_certs::load_native_certs().certs,
        false => Vec::new(),
    };
    let roots = match own.as_slice() {
        [] => RootCerts::WebPki,
        own => {
            let own = own
                .iter()
                .map(|each| Certificate::from_der(each).to_owned());
            RootCerts::Specific(Arc::new(own.collect()))
        }
    };
    TlsConfig::builder().root_certs(roots).build()
}

/// Adds to the part what it lacks.
fn receive(
    agent: &Agent,
    silence: Duration,
    remote: &Remote<'_>,
    part: &Path,
    report: &mut dyn FnMut(&Progress<'_>),
) -> Result<(), DownloadError> {
    let mut have = length(part)?;
    if have == remote.bytes {
        return Ok(());
    }
    if have > remote.bytes {
        fs::remove_file(part).map_err(write_error(part))?;
        have = 0;
    }
    let mut request = agent.get(remote.url);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = request.call().map_err(|source| DownloadError::Connect {
        url: remote.url.into(),
        source: source.into(),
    })?;
    let mut done = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if have > 0 && first_byte(&response) == Some(have) => have,
        // The server's file is shorter than the part, or the server counts in its own way.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            fs::remove_file(part).map_err(write_error(part))?;
            return receive(agent, silence, remote, part, report);
        }
        status => {
            return Err(DownloadError::Status {
                url: remote.url.into(),
                status: status.to_string(),
            });
        }
    };
    let length_error = |got| DownloadError::Length {
        url: remote.url.into(),
        got,
        want: remote.bytes,
    };
    // Before anything is written: a page of a captive portal does not cost what is there.
    match response.body().content_length() {
        Some(more) if done + more != remote.bytes => return Err(length_error(done + more)),
        _ => {}
    }

    let mut file = match done {
        0 => File::create(part),
        _ => OpenOptions::new().append(true).open(part),
    }
    .map_err(write_error(part))?;
    let mut body = response.into_body().into_reader();
    let mut chunk = vec![0; CHUNK];
    let (mut since, mut had) = (Instant::now(), done);
    while done < remote.bytes {
        let broke_off = |source| DownloadError::BrokeOff {
            url: remote.url.into(),
            got: done,
            want: remote.bytes,
            source,
        };
        let len = match body.read(&mut chunk) {
            Ok(0) => return Err(broke_off(io::ErrorKind::UnexpectedEof.into())),
            Ok(len) => len,
            Err(source) => return Err(broke_off(source)),
        };
        if since.elapsed() >= silence {
            let slow = done - had;
            if slow < LEAST {
                let text = format!("{slow} bytes in {} seconds are too few", silence.as_secs());
                return Err(broke_off(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
            (since, had) = (Instant::now(), done);
        }
        if len as u64 > remote.bytes - done {
            drop(file);
            fs::remove_file(part).map_err(write_error(part))?;
            return Err(length_error(done + len as u64));
        }
        file.write_all(&chunk[..len]).map_err(write_error(part))?;
        done += len as u64;
        report(&Progress {
            url: remote.url,
            done,
            total: remote.bytes,
        });
    }
    file.sync_all().map_err(write_error(part))
}

/// Where a partial answer starts, by its `Content-Range: bytes FIRST-LAST/TOTAL`.
fn first_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?;
    let (first, _) = range
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('-')?;
    first.parse().ok()
}

/// The length of the part, 0 if there is none.
fn length(part: &Path) -> Result<u64, DownloadError> {
    match fs::metadata(part) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(write_error(part)(source)),
    }
}

/// Compares checksums and removes what is wrong.
fn check(remote: &Remote<'_>, part: &Path) -> Result<(), DownloadError> {
    let got = sha256(part).map_err(write_error(part))?;
    if got == remote.sha256 {
        return Ok(());
    }
    fs::remove_file(part).map_err(write_error(part))?;
    Err(DownloadError::Checksum {
        url: remote.url.into(),
        got,
        want: remote.sha256.into(),
    })
}

/// SHA-256 of a file in lower-case hexadecimal.
fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            len => context.update(&chunk[..len]),
        }
    }
    let digest = context.finish();
    Ok(digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> DownloadError {
    let path = path.to_path_buf();
    move |source| DownloadError::Write {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A server that says nothing, or sends a part and then nothing more, or a byte now and then, but never hangs up.
    fn stalls(says: &'static [u8], drips: bool) -> DownloadError {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/file", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            let mut open: Vec<TcpStream> = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let _ = stream.write_all(says);
                while drips && stream.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
                open.push(stream);
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let remote = Remote {
            url: &url,
            bytes: 1000,
            sha256: "",
        };
        let path = folder.path().join("file");
        let silence = Duration::from_millis(300);
        let error = fetch_within(silence, &remote, &path, &mut |_| {}).expect_err("stalled");
        assert!(!path.exists());
        error
    }

    #[test]
    fn a_server_that_stalls_is_given_up() {
        let error = stalls(b"", false);
        assert!(matches!(error, DownloadError::Connect { .. }), "{error:?}");
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";
        let error = stalls(half, false);
        assert!(matches!(error, DownloadError::BrokeOff { .. }), "{error:?}");
        // It would send all of the file, were it waited for.
        let error = stalls(half, true);
        let DownloadError::BrokeOff { got, source, .. } = error else {
            panic!("{error:?}")
        };
        assert!(got < 1000, "{got}");
        assert!(source.to_string().contains("too few"), "{source}");
    }
}
