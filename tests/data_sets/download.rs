//! Downloading, against a server on this machine: whole, resumed, refused and wrong.

use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use nin_wgpu::data::download::{DownloadError, Progress, Remote, fetch};
use nin_wgpu::data::{DataError, Loader};
use tempfile::tempdir;

use crate::assert_says;
use crate::server::{Answer, Server};

/// What `sha256sum` says of [`file`].
const SHA256: &str = "a118c4aa9f3aa3b19fd9369c17325cedc7c8ce33250082ed70fa856d670db8a9";

fn file() -> Vec<u8> {
    (0..200_000_u32)
        .map(|i| (i.wrapping_mul(i) % 251) as u8)
        .collect()
}

fn part_of(path: &Path) -> PathBuf {
    path.with_extension("gz.part")
}

/// Fetches [`file`] from a server to a path and returns what was reported last.
fn get(server: &Server, path: &Path) -> Result<u64, DownloadError> {
    let mut last = 0;
    let url = format!("{}/file.gz", server.url);
    let remote = Remote {
        url: &url,
        bytes: file().len() as u64,
        sha256: SHA256,
    };
    fetch(&remote, path, &mut |progress: &Progress<'_>| {
        assert!(progress.done > 0 && progress.done <= progress.total);
        assert_eq!((progress.url, progress.total), (&*url, 200_000));
        last = progress.done;
    })?;
    Ok(last)
}

#[test]
fn file_arrives_whole_and_reports_its_progress() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("new/folder/file.gz");
    let server = Server::start(vec![Answer::new("200 OK", &file())]);
    assert_eq!(get(&server, &path).unwrap(), 200_000);
    assert_eq!(fs::read(&path).unwrap(), file());
    assert!(!part_of(&path).exists());
    let [request] = &server.requests()[..] else {
        panic!("one request wanted");
    };
    assert!(request.starts_with("get /file.gz http/1.1"), "{request}");
    assert!(!request.contains("range:"), "{request}");
}

#[test]
fn part_of_an_earlier_try_is_completed() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.gz");
    fs::write(part_of(&path), &file()[..70_000]).unwrap();
    let server = Server::start(vec![Answer::rest(&file(), 70_000)]);
    assert_eq!(get(&server, &path).unwrap(), 200_000);
    assert_eq!(fs::read(&path).unwrap(), file());
    let requests = server.requests();
    assert!(requests[0].contains("range: bytes=70000-"), "{requests:?}");
}

#[test]
fn broken_connection_is_taken_up_where_it_broke_off() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.gz");
    let server = Server::start(vec![
        Answer::new("200 OK", &file()).cut(50_000),
        Answer::rest(&file(), 50_000),
    ]);
    get(&server, &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), file());
    let requests = server.requests();
    assert!(requests[1].contains("range: bytes=50000-"), "{requests:?}");
}

#[test]
fn connection_that_keeps_breaking_is_an_error_that_keeps_the_part() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.gz");
    let mut answers = vec![Answer::new("200 OK", &file()).cut(1_000)];
    answers.extend((1..=3).map(|i| Answer::rest(&file(), i * 1_000).cut(1_000)));
    let server = Server::start(answers);
    let error = get(&server, &path).unwrap_err();
    assert_says(&error, &["broke off after 4000 of 200000 bytes", "kept"]);
    assert!(error.source().is_some());
    assert_eq!(fs::read(part_of(&path)).unwrap(), file()[..4_000]);
    assert!(!path.exists());
}

#[test]
fn server_that_cannot_resume_sends_all_again() {
    let dir = tempdir().unwrap();
    for answers in [
        vec![Answer::new("200 OK", &file())],
        vec![
            Answer::new("416 Range Not Satisfiable", b""),
            Answer::new("200 OK", &file()),
        ],
        // The wrong place is not believed.
        vec![Answer::rest(&file(), 10), Answer::new("200 OK", &file())],
    ] {
        let path = dir.path().join("file.gz");
        fs::write(part_of(&path), [9; 300]).unwrap();
        let server = Server::start(answers);
        get(&server, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), file());
    }
}

#[test]
fn part_of_another_file_is_thrown_away_once_the_checksum_tells() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.gz");
    for (len, mut answers) in [
        (300, vec![Answer::rest(&file(), 300)]),
        (200_000, vec![]),
        (200_001, vec![]),
    ] {
        fs::write(part_of(&path), vec![9; len]).unwrap();
        answers.push(Answer::new("200 OK", &file()));
        get(&Server::start(answers), &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), file());
    }
}

#[test]
fn wrong_checksum_names_both_and_leaves_nothing() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.gz");
    let mut other = file();
    other[77] ^= 1;
    let server = Server::start(vec![Answer::new("200 OK", &other)]);
    let error = get(&server, &path).unwrap_err();
    assert!(matches!(error, DownloadError::Checksum { .. }), "{error:?}");
    assert_says(&error, &[&server.url, "SHA-256", SHA256]);
    assert!(!path.exists() && !part_of(&path).exists());
}

#[test]
fn wrong_length_names_both_whether_announced_or_not() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.gz");
    let long = [file(), vec![0; 5_000]].concat();
    let mut unannounced = Answer::new("200 OK", &long);
    unannounced.headers.clear();
    for (answer, got) in [
        (Answer::new("200 OK", b"<html>sign in"), "has 13 bytes"),
        (Answer::new("200 OK", &long), "has 205000 bytes"),
        (unannounced, "has 20"),
    ] {
        let server = Server::start(vec![answer]);
        let error = get(&server, &path).unwrap_err();
        assert_says(&error, &[&server.url, got, "want 200000"]);
        assert!(!path.exists());
    }
}

#[test]
fn refusal_names_address_and_status() {
    let dir = tempdir().unwrap();
    for status in [
        "404 Not Found",
        "403 Forbidden",
        "503 Service Unavailable",
        // Of a range, which was not asked for.
        "416 Range Not Satisfiable",
        "206 Partial Content",
    ] {
        let server = Server::start(vec![Answer::new(status, b"no")]);
        let error = get(&server, &dir.path().join("file.gz")).unwrap_err();
        assert_says(&error, &[&server.url, status]);
    }
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn refused_connection_names_the_address_and_has_a_cause() {
    let dir = tempdir().unwrap();
    let url = nobody();
    let remote = Remote {
        url: &url,
        bytes: 1,
        sha256: SHA256,
    };
    let error = fetch(&remote, &dir.path().join("file"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, DownloadError::Connect { .. }), "{error:?}");
    assert_says(&error, &[&url, "network"]);
    assert!(error.source().is_some());
}

#[test]
fn file_that_cannot_be_written_is_named() {
    let dir = tempdir().unwrap();
    let taken = dir.path().join("taken");
    fs::write(&taken, b"a file, not a folder").unwrap();
    let remote = Remote {
        url: "http://127.0.0.1:9/",
        bytes: 1,
        sha256: SHA256,
    };
    let error = fetch(&remote, &taken.join("file"), &mut |_| {}).unwrap_err();
    assert_says(&error, &[taken.to_str().unwrap(), "cannot write"]);
}

#[test]
fn set_that_cannot_be_downloaded_says_which_files_to_put_where() {
    let dir = tempdir().unwrap();
    let load = |name: &str, mirror: &str| {
        let loader = Loader::new(name).system_dir(dir.path().join("none"));
        let loader = loader.cache_dir(dir.path()).mirror(mirror);
        loader.on_download(|_| {}).load().unwrap_err()
    };
    let server = Server::start(vec![Answer::new("404 Not Found", b"")]);
    let error = load("cifar10", &format!("{}/data/", server.url));
    let folder = dir.path().join("cifar10");
    assert_says(
        &error,
        &[
            "`cifar10`",
            "data_batch_1.bin",
            "https://www.cs.toronto.edu/~kriz",
            folder.to_str().unwrap(),
            "--data-dir",
        ],
    );
    assert_says(error.source().unwrap(), &["404 Not Found"]);
    let requests = server.requests();
    let want = "get /data/cifar-10-binary.tar.gz ";
    assert!(requests[0].starts_with(want), "{requests:?}");

    let error = load("fashion-mnist", &nobody());
    assert!(matches!(error, DataError::Download { .. }), "{error:?}");
    assert_says(&error, &["apt-get install dataset-fashion-mnist"]);
}

#[test]
fn mirror_with_other_files_than_the_published_ones_is_refused() {
    let dir = tempdir().unwrap();
    // Of the right length, so that only the checksum tells.
    let server = Server::start(vec![Answer::new("200 OK", &[0; 4_542])]);
    let mnist = dir.path().join("mnist");
    fs::create_dir(&mnist).unwrap();
    for name in [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
    ] {
        fs::write(mnist.join(name), b"there already").unwrap();
    }
    let loader = Loader::new("mnist").system_dir(dir.path().join("none"));
    let loader = loader.cache_dir(dir.path()).mirror(&server.url);
    let error = loader.on_download(|_| {}).load().unwrap_err();
    assert_says(&error, &["cannot download", "t10k-labels-idx1-ubyte"]);
    assert_says(error.source().unwrap(), &["SHA-256", "f7ae60f9"]);
    let requests = server.requests();
    let want = "get /t10k-labels-idx1-ubyte.gz ";
    assert!(requests[0].starts_with(want), "{requests:?}");
}

#[test]
fn a_server_that_sends_on_in_a_circle_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.gz");
    let mut on = Answer::new("302 Found", b"");
    on.headers.push("Location: /file.gz".into());
    let server = Server::start(vec![on; 11]);
    let error = get(&server, &path).expect_err("a circle");
    assert!(matches!(error, DownloadError::Connect { .. }), "{error:?}");
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("redirect"), "{cause}");
    assert!(!path.exists() && !part_of(&path).exists());
}
