//! Downloads through a proxy that the environment names.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use crate::programs::{assert_says, example, new_folder, refused};

/// The first line of a request, whose head is read to its end.
fn request(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    head.first().cloned().unwrap_or_default()
}

/// A proxy of one connection, which finds nothing behind it: its address, and what it was asked.
fn proxy() -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = vec![request(&stream)];
        if asked[0].starts_with("CONNECT ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("heard");
            asked.push(request(&stream));
        }
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).expect("heard");
        asked
    });
    (address, asked)
}

#[test]
fn a_download_goes_through_the_proxy_that_the_environment_names_in_every_program() {
    let folder = new_folder();
    let set: [(&str, &[&str]); 3] = [
        ("data", &["cifar10"]),
        ("compare", &["--dataset", "cifar10", "--device", "cpu"]),
        ("train", &["--dataset", "cifar10", "--device", "cpu"]),
    ];
    for (program, flags) in set {
        for variable in ["HTTP_PROXY", "ALL_PROXY"] {
            let (address, asked) = proxy();
            let mut command = example(program);
            command
                .args(flags)
                .args(["--mirror", "http://mirror.invalid/sets"])
                .env("XDG_CACHE_HOME", folder.path())
                .env("HOME", folder.path());
            for other in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
                command.env_remove(other).env_remove(other.to_uppercase());
            }
            let error = refused(command.env(variable, address));
            assert_says(&error, &["http://mirror.invalid/sets/", "404"]);
            let asked = asked.join().expect("no panic");
            let which = format!("{program}, {variable}: {asked:?}");
            assert!(asked[0].contains("mirror.invalid"), "{which}");
            assert!(asked[asked.len() - 1].starts_with("GET "), "{which}");
        }
    }
}
