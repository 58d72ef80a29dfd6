//! Addresses and unix sockets.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt};

use tokio::net::{UnixListener, UnixStream};

use super::*;

#[test]
fn bind_addresses() {
    for (text, local) in [
        ("127.0.0.1:3000", true),
        ("[::1]:0", true),
        ("0.0.0.0:80", false),
        ("[::]:80", false),
        ("[::ffff:127.0.0.1]:80", true),
        ("unix:/run/claude-ws.sock", true),
    ] {
        let address: BindAddr = text.parse().unwrap();
        assert_eq!((address.to_string().as_str(), address.is_local()), (text, local));
    }
    assert_eq!("localhost:1".parse::<BindAddr>().unwrap().to_string(), "127.0.0.1:1");
    for bad in
        ["", "3000", "127.0.0.1", "::1:80", "example.com:80", "unix:", "unix:relative", "127.0.0.1:99999"]
    {
        assert!(bad.parse::<BindAddr>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn ipv6_is_served() {
    let Ok(listener) = Listener::bind(&"[::1]:0".parse().unwrap()).await else { return };
    let BindAddr::Tcp(address) = *listener.local_addr() else { unreachable!() };
    let shutdown = Shutdown::default();
    let app = Arc::new(Echo::default());
    let task = TaskTracker::new().spawn(serve(listener, app, Settings::default(), shutdown.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let lines = format!("Host: {address}\r\nOrigin: http://{address}\r\n{HANDSHAKE}");
    assert_eq!(ask_on(&mut stream, "GET", "/ws", &lines).await.unwrap().status, 101);
    drop(stream);
    shutdown.closing.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn unix_sockets_are_served_and_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ws.sock");
    let address = BindAddr::Unix(path.clone());
    // A stale file, as a killed process leaves it.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&address).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(Listener::bind(&address).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    let proxies = TrustedProxies::parse(["unix"]).unwrap();
    let (app, shutdown) = (Arc::new(Echo::default()), Shutdown::default());
    let settings = Settings { proxies, ..Settings::default() };
    let task = TaskTracker::new().spawn(serve(listener, Arc::clone(&app), settings, shutdown.clone()));
    for (host, forwarded) in [("", ""), ("Host: app.example\r\n", "X-Forwarded-For: 192.0.2.7\r\n")] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let lines = format!("{host}{HANDSHAKE}{forwarded}");
        assert_eq!(ask_on(&mut stream, "GET", "/ws", &lines).await.unwrap().status, 101);
        echo(&mut stream).await;
    }
    let addresses: Vec<_> = app.owners.lock().iter().map(|(_, address)| *address).collect();
    assert_eq!(addresses, [None, Some("192.0.2.7".parse().unwrap())]);
    shutdown.closing.cancel();
    task.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn only_sockets_are_replaced_and_only_own_ones_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ws.sock");
    fs::write(&path, "precious").unwrap();
    let error = Listener::bind(&BindAddr::Unix(path.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    fs::remove_file(&path).unwrap();
    let listener = Listener::bind(&BindAddr::Unix(path.clone())).await.unwrap();
    // Keeps the first file's inode from being used again.
    fs::hard_link(&path, dir.path().join("old")).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists(), "it is another's by now");
}

#[tokio::test]
async fn inherited_sockets_are_taken_over() {
    let inherited = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let expected = BindAddr::Tcp(inherited.local_addr().unwrap());
    assert_eq!(*Listener::from_tcp(inherited).unwrap().local_addr(), expected);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ws.sock");
    let inherited = UnixListener::bind(&path).unwrap();
    let listener = Listener::from_unix(inherited).unwrap();
    assert_eq!(*listener.local_addr(), BindAddr::Unix(path.clone()));
    drop(listener);
    assert!(path.exists());
}
