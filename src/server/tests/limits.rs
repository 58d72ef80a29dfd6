//! Too many, too slow, too large.

use std::{io, net::IpAddr, time::Duration};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{accept, admission::Admission, router::Site};

#[tokio::test]
async fn sockets_over_the_limits_are_told_so() {
    let server = server(Settings { max_connections: 3, max_per_address: 2, ..Settings::default() }).await;
    let (mut one, _) = server.upgrade("").await;
    let (mut two, _) = server.upgrade("").await;
    let (_, answered) = server.upgrade("").await;
    assert_eq!((answered.status, answered.code().as_str()), (503, "capacity"));
    assert_eq!(answered.header("connection"), Some("close"));
    assert_eq!(server.ask("GET", "/", "").await.status, 503);
    assert_eq!(server.ask("GET", "/healthz", "").await.status, 200, "being full is not being dead");
    echo(&mut one).await;
    drop(one);
    // The place is free when the server has seen the end.
    loop {
        let (stream, answered) = server.upgrade("").await;
        if answered.status == 101 {
            drop(stream);
            break;
        }
    }
    echo(&mut two).await;
    drop(two);
    server.stop().await;
}

#[tokio::test]
async fn a_half_sent_head_is_given_up() {
    let settings = Settings { header_timeout: Duration::from_millis(50), ..Settings::default() };
    let server = server(settings).await;
    for head in ["", "GET /ws HTTP/1.1\r\nHost: loc"] {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    }
    // So is a connection that idles between requests.
    let mut stream = server.connect().await;
    assert!(ask_on(&mut stream, "GET", "/healthz", "Host: x\r\n").await.is_some());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_large_head_is_431() {
    let server = server(Settings::default()).await;
    let mut stream = server.connect().await;
    let filler = format!("X-Filler: {}\r\n", "x".repeat(20_000));
    let answered = ask_on(&mut stream, "GET", "/healthz", &format!("Host: x\r\n{filler}")).await;
    assert_eq!(answered.unwrap().status, 431);
    server.stop().await;
}

/// Has an error for each of the first calls, then one socket.
struct Failing {
    errors: parking_lot::Mutex<Vec<io::Error>>,
    listener: Listener,
}

impl accept::Source for Failing {
    async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        let error = self.errors.lock().pop();
        match error {
            Some(error) => Err(error),
            None => self.listener.accept().await,
        }
    }
}

#[tokio::test]
async fn the_accept_loop_outlives_errors() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let BindAddr::Tcp(address) = *listener.local_addr() else { unreachable!() };
    let emfile = || io::Error::from_raw_os_error(24);
    let aborted = || io::Error::from(io::ErrorKind::ConnectionAborted);
    let source = Failing { errors: parking_lot::Mutex::new(vec![emfile(), aborted(), emfile()]), listener };
    let settings = Settings::default();
    let stats = Arc::clone(&settings.stats);
    let site = Arc::new(Site {
        app: Arc::new(Echo::default()),
        admission: Admission::new(10, 10),
        settings,
        on_loopback: true,
        shutdown: Shutdown::default(),
        refusals: crate::server::refusals::Refusals::default(),
    });
    let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
    tokio::select! {
        never = accept::accept_all(&source, &site, &tasks, &cut) => match never {},
        () = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert_eq!(ask_on(&mut stream, "GET", "/healthz", "Host: x\r\n").await.unwrap().status, 200);
        } => {}
    }
    assert_eq!(stats.snapshot().accept_errors, 2);
}

/// Marks the process that the test below starts.
const CHILD: &str = "CLAUDE_WS_TEST_FEW_DESCRIPTORS";

/// Runs itself in a process of its own, whose descriptors it may use up.
#[test]
fn the_accept_loop_recovers_when_descriptors_ran_out() {
    if std::env::var_os(CHILD).is_some() {
        return few_descriptors();
    }
    let name = "server::tests::limits::the_accept_loop_recovers_when_descriptors_ran_out";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("recovered"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::main(flavor = "current_thread")]
async fn few_descriptors() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let server = server(Settings::default()).await;
    let limit = Rlimit { current: Some(48), maximum: Some(48) };
    setrlimit(Resource::Nofile, limit).unwrap();
    // One descriptor is put by, so that this side can make its last connection while the server has none for its end of it.
    let mut spare = std::fs::File::open("/dev/null").ok();
    let mut clients = Vec::new();
    while server.stats.snapshot().accept_errors == 0 {
        if let Ok(stream) = TcpStream::connect(server.address).await {
            clients.push(stream);
        } else {
            spare = None;
            tokio::task::yield_now().await;
        }
        assert!(clients.len() < 100);
    }
    drop((clients, spare));
    assert_eq!(server.ask("GET", "/healthz", "").await.status, 200);
    let (mut stream, _) = server.upgrade("").await;
    echo(&mut stream).await;
    drop(stream);
    server.stop().await;
    println!("recovered");
}
