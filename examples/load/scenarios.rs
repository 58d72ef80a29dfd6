//! What is measured: each scenario runs its servers in turn, several times, and prints one table.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tokio::task::{AbortHandle, JoinSet};

use crate::client::{ARRIVED, Client, Seen};
use crate::process::{Aside, Server, Store};
use crate::report::{Figures, Table, median};

/// Measures the gateway on loopback beside a bare relay, and prints Markdown tables.
#[derive(Parser)]
#[command(name = "load", max_term_width = 120)]
struct Arguments {
    /// What to measure [default: all]
    scenarios: Vec<Scenario>,
    /// Runs of each server; the tables show medians
    #[arg(long, default_value = "3")]
    runs: usize,
    /// Seconds of paced load in each run
    #[arg(long, default_value = "4")]
    seconds: u64,
    /// Deltas of each session, flat out
    #[arg(long, default_value = "60000")]
    deltas: u64,
    /// Another build of the gateway, to be measured beside this one
    #[arg(long, value_name = "PATH")]
    against: Vec<PathBuf>,
    /// The real Claude Code, for "start"
    #[arg(long, value_name = "PATH")]
    claude: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// One session, 667 deltas a second, beside the relay
    One,
    /// 100 sessions, 10,000 deltas a second together, beside the relay
    Hundred,
    /// 20 sessions as fast as they go, the server on one core, beside the relay
    Flat,
    /// One session to 100 clients, beside a bare broadcast
    Fanout,
    /// Stored sessions beside ephemeral ones
    Store,
    /// 1, 10, 100, 1,000 sessions with 4,000 deltas a second together
    Size,
    /// Deltas of ten sessions while another has tool results of 20 MB
    Big,
    /// Memory of 10,000 idle attached connections
    Idle,
    /// Memory of sessions without an agent
    Sessions,
    /// First text of a new session, cold and warm, with the real Claude Code (--claude)
    Start,
}

/// One load: so many sessions, each with so many clients, told the same.
#[derive(Clone)]
struct Load {
    sessions: usize,
    clients: usize,
    order: String,
    /// Deltas that all clients together should see.
    expected: u64,
    /// How long they come; `None`: as fast as they go.
    lasts: Option<Duration>,
}

impl Load {
    fn deltas(sessions: usize, count: u64, rate: u64) -> Self {
        let order = format!("load:deltas:{count}:{rate}");
        let lasts = count.checked_div(rate).map(Duration::from_secs);
        Self { sessions, clients: 1, order, expected: count * sessions as u64, lasts }
    }
}

pub(crate) fn main(arguments: &[String]) -> Result<(), String> {
    let name = std::iter::once("load".to_owned());
    let arguments = Arguments::parse_from(name.chain(arguments.iter().cloned()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|problem| problem.to_string())?;
    let all = Scenario::value_variants();
    let chosen = if arguments.scenarios.is_empty() { all } else { &arguments.scenarios };
    for scenario in chosen {
        runtime.block_on(scenario.run(&arguments))?;
    }
    Ok(())
}

impl Scenario {
    async fn run(self, arguments: &Arguments) -> Result<(), String> {
        let (runs, seconds) = (arguments.runs, arguments.seconds);
        match self {
            Self::One => {
                let load = Load::deltas(1, 667 * seconds, 667);
                beside_relay("One session, 667 deltas a second", &load, arguments, false).await
            }
            Self::Hundred => {
                let load = Load::deltas(100, 100 * seconds, 100);
                beside_relay("100 sessions, 10,000 deltas a second", &load, arguments, false).await
            }
            Self::Flat => {
                let load = Load::deltas(20, arguments.deltas, 0);
                beside_relay("20 sessions flat out, one core", &load, arguments, true).await
            }
            Self::Fanout => fanout(runs).await,
            Self::Store => store(arguments).await,
            Self::Size => size(runs, seconds).await,
            Self::Big => big(runs, seconds).await,
            Self::Idle => idle(10_000).await,
            Self::Sessions => sessions(2_000).await,
            Self::Start => match &arguments.claude {
                Some(claude) => first_text(claude, arguments.runs).await,
                None => Ok(()),
            },
        }
    }
}

async fn beside_relay(title: &str, load: &Load, arguments: &Arguments, one_core: bool) -> Result<(), String> {
    let _aside = one_core.then(Aside::step).transpose()?;
    let others: Vec<String> = arguments.against.iter().map(|path| path.display().to_string()).collect();
    let names: Vec<&str> =
        ["bare relay", "claude-ws"].into_iter().chain(others.iter().map(String::as_str)).collect();
    let mut table = Table::new(&names);
    for _ in 0..arguments.runs {
        table.add("bare relay", measure(&Server::relay(None, one_core)?, load).await?);
        let gateway = Server::gateway(Store::Ephemeral, one_core, &[])?;
        table.add("claude-ws", measure(&gateway, load).await?);
        drop(gateway);
        for (path, name) in arguments.against.iter().zip(&others) {
            let other = Server::build(path, Store::Ephemeral, one_core, &[])?;
            table.add(name, measure(&other, load).await?);
        }
    }
    table.print(title);
    Ok(())
}

async fn fanout(runs: usize) -> Result<(), String> {
    let mut load = Load::deltas(1, 20_000, 0);
    load.clients = 100;
    load.expected *= 100;
    let mut table = Table::new(&["bare broadcast", "claude-ws"]);
    for _ in 0..runs {
        let broadcast = Server::relay(Some(load.clients), false)?;
        table.add("bare broadcast", measure(&broadcast, &load).await?);
        // A window that holds the run: nothing is skipped, so the work is the same.
        let gateway = Server::gateway(Store::Ephemeral, false, &["--log-window=67108864"])?;
        table.add("claude-ws", measure(&gateway, &load).await?);
    }
    table.print("One session to 100 clients, flat out");
    Ok(())
}

async fn store(arguments: &Arguments) -> Result<(), String> {
    let seconds = arguments.seconds;
    let others: Vec<String> =
        arguments.against.iter().map(|path| format!("stored, {}", path.display())).collect();
    let names: Vec<&str> =
        ["ephemeral", "stored"].into_iter().chain(others.iter().map(String::as_str)).collect();
    for (title, load) in [
        ("Stored, 100 sessions, 10,000 deltas a second", Load::deltas(100, 100 * seconds, 100)),
        ("Stored, 20 sessions flat out", Load::deltas(20, arguments.deltas, 0)),
    ] {
        let mut table = Table::new(&names);
        for _ in 0..arguments.runs {
            for (name, store) in [("ephemeral", Store::Ephemeral), ("stored", Store::Disk)] {
                table.add(name, measure(&Server::gateway(store, false, &[])?, &load).await?);
            }
            for (path, name) in arguments.against.iter().zip(&others) {
                table.add(name, measure(&Server::build(path, Store::Disk, false, &[])?, &load).await?);
            }
        }
        table.print(title);
    }
    Ok(())
}

async fn size(runs: usize, seconds: u64) -> Result<(), String> {
    let names = ["1 session", "10 sessions", "100 sessions", "1000 sessions"];
    let mut table = Table::new(&names);
    for _ in 0..runs {
        for (name, sessions) in names.iter().zip([1, 10, 100, 1000_u64]) {
            let rate = 4000 / sessions;
            let load = Load::deltas(usize::try_from(sessions).unwrap_or(1), rate * seconds, rate);
            table.add(name, measure(&Server::gateway(Store::Ephemeral, false, &[])?, &load).await?);
        }
    }
    table.print("Cost over size: 4,000 deltas a second together");
    Ok(())
}

/// One more session beside the ten; its frames are read by a thread of its own, so that the client is not what is measured.
async fn big(runs: usize, seconds: u64) -> Result<(), String> {
    let load = Load::deltas(10, 100 * seconds, 100);
    let mut table = Table::new(&["deltas alone", "beside 20 MB results"]);
    for _ in 0..runs {
        let gateway = Server::gateway(Store::Ephemeral, false, &[])?;
        table.add("deltas alone", measure(&gateway, &load).await?);
        let gateway = Server::gateway(Store::Ephemeral, false, &[])?;
        let address = gateway.address.clone();
        let order = format!("load:big:20000000:{}:400", seconds * 1000 / 400);
        let reader = std::thread::spawn(move || -> io::Result<u64> {
            crate::process::step_back();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut client = Client::connect(&address, 1 << 20).await?;
                start(&mut client, "big").await?;
                client.send(&message("big", &order)).await?;
                Ok(client.turn().await?.big)
            })
        });
        table.add("beside 20 MB results", measure(&gateway, &load).await?);
        let results =
            reader.join().map_err(|_| "the reader panicked")?.map_err(|problem| problem.to_string())?;
        if results == 0 {
            return Err("no large result came".to_owned());
        }
    }
    table.print("Ten sessions, 1,000 deltas a second, alone and beside 20 MB tool results");
    Ok(())
}

async fn idle(count: usize) -> Result<(), String> {
    println!("\n### {count} idle connections\n\n| | resident KiB each |\n| --- | --: |");
    for (name, server) in [
        ("bare relay, upgraded only", Server::relay(None, false)?),
        ("claude-ws, attached", Server::gateway(Store::Ephemeral, false, &["--heartbeat=5s"])?),
    ] {
        let (each, _clients) =
            idle_connections(&server, count).await.map_err(|problem| problem.to_string())?;
        println!("| {name} | {each:.1} |");
    }
    Ok(())
}

/// Memory of `count` connections, attached where there is something to attach to, after three heartbeats.
async fn idle_connections(server: &Server, count: usize) -> io::Result<(f64, JoinSet<()>)> {
    let mut clients = JoinSet::new();
    let sessions = 100;
    let mut before = 0;
    for number in 0..count + sessions {
        if number == sessions {
            before = server.resident();
        }
        let mut client = Client::connect(&server.address, 2048).await?;
        if server.is_gateway {
            start(&mut client, &format!("load-{}", number % sessions)).await?;
        }
        let _: AbortHandle = clients.spawn(async move {
            let _ = client.idle().await;
        });
    }
    tokio::time::sleep(Duration::from_secs(16)).await;
    let grown = server.resident().saturating_sub(before);
    Ok((grown as f64 / 1024.0 / count as f64, clients))
}

/// Sessions that ran one turn and whose agents were put to sleep for those of others.
async fn sessions(count: usize) -> Result<(), String> {
    let run = async {
        let gateway =
            Server::gateway(Store::Ephemeral, false, &["--max-agents=4", "--max-sessions-per-owner=100000"])
                .map_err(io::Error::other)?;
        let mut client = Client::connect(&gateway.address, 1 << 16).await?;
        let (mut before, mut bytes) = (0, 0);
        let warm = 100;
        for number in 0..warm + count {
            if number == warm {
                tokio::time::sleep(Duration::from_secs(1)).await;
                before = gateway.resident();
                bytes = 0;
            }
            let id = format!("load-{number}");
            let options = format!("{{\"type\":\"session_start\",\"id\":\"s\",\"session_id\":\"{id}\"}}");
            client.send(&options).await?;
            client.wait_for(br#"{"type":"session_info""#, id.as_bytes()).await?;
            client.send(&message(&id, "load:deltas:10:0")).await?;
            let seen = client.turn().await?;
            // The window's own count: 96 bytes an event besides its text.
            bytes += seen.bytes + seen.frames * 96;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let grown = gateway.resident().saturating_sub(before);
        Ok::<_, io::Error>((grown as f64 / count as f64, bytes as f64 / count as f64))
    };
    let (grown, window) = run.await.map_err(|problem| problem.to_string())?;
    println!("\n### {count} sessions without an agent, each after a turn of ten deltas\n");
    println!("| resident bytes each | of these, its log window | the rest |\n| --: | --: | --: |");
    println!("| {grown:.0} | {window:.0} | {:.0} |", grown - window);
    Ok(())
}

/// From `session_start` to the first delta of the answer to a message that is sent right behind it; the model is scripted.
async fn first_text(claude: &Path, runs: usize) -> Result<(), String> {
    let flag = format!("--claude-bin={}", claude.display());
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for (times, agents) in [(&mut cold, "--warm-agents=0"), (&mut warm, "--warm-agents=1")] {
            let gateway = Server::gateway(Store::Ephemeral, false, &["--demo", &flag, agents])?;
            // Until a warm agent is ready. Nothing outside tells when; cold starts get the same time.
            tokio::time::sleep(Duration::from_secs(6)).await;
            times.push(say_hello(&gateway.address).await.map_err(|problem| problem.to_string())?);
        }
    }
    println!("\n### First text of a new session\n\n| | ms (median) | each |\n| --- | --: | --- |");
    for (name, times) in [("cold start", &cold), ("warm agent", &warm)] {
        let each: Vec<String> = times.iter().map(|time| format!("{:.0}", time * 1e3)).collect();
        println!("| {name} | {:.0} | {} |", median(times.iter().copied()) * 1e3, each.join(", "));
    }
    let ratio = median(warm.iter().copied()) / median(cold.iter().copied());
    println!("| ratio | {ratio:.2} | |");
    Ok(())
}

async fn say_hello(address: &str) -> io::Result<f64> {
    let mut client = Client::connect(address, 1 << 16).await?;
    let began = Instant::now();
    client.send("{\"type\":\"session_start\",\"id\":\"s\",\"session_id\":\"first\"}").await?;
    client.send(&message("first", "hello")).await?;
    client.wait_for(br#"{"type":"assistant_message_delta""#, b"text").await?;
    Ok(began.elapsed().as_secs_f64())
}

async fn measure(server: &Server, load: &Load) -> Result<Figures, String> {
    drive(server, load).await.map_err(|problem| format!("{}: {problem}", server.address))
}

/// Everything is connected and every agent up before the clock starts.
async fn drive(server: &Server, load: &Load) -> io::Result<Figures> {
    let mut clients = Vec::new();
    for session in 0..load.sessions {
        let order = format!("{}:{session}", load.order);
        for first in std::iter::once(true).chain(std::iter::repeat_n(false, load.clients - 1)) {
            let mut client = Client::connect(&server.address, 1 << 17).await?;
            let id = format!("load-{session}");
            if server.is_gateway {
                start(&mut client, &id).await?;
            }
            clients.push((client, id, order.clone(), first));
        }
    }
    let (cpu, memory, mut tasks) = (server.cpu(), server.resident(), JoinSet::new());
    for (mut client, id, order, first) in clients {
        let order = match (server.is_gateway, first) {
            (true, true) => Some(message(&id, &order)),
            (true, false) => None,
            (false, _) => Some(order),
        };
        let _: AbortHandle = tasks.spawn(async move {
            if let Some(order) = order {
                client.send(&order).await?;
            }
            client.turn().await
        });
    }
    let all = async {
        let mut seen: Vec<Seen> = Vec::new();
        while let Some(outcome) = tasks.join_next().await {
            seen.push(outcome.map_err(io::Error::other)??);
        }
        Ok::<_, io::Error>(seen)
    };
    let (seen, steady) = tokio::join!(all, steady(server, load.lasts));
    let seen = seen?;
    let each = steady.unwrap_or_else(|| {
        let deltas: u64 = seen.iter().map(|seen| seen.deltas).sum();
        per_delta(server.cpu().saturating_sub(cpu), deltas)
    });
    Ok(Figures::new(&seen, load.expected, each, memory, server.peak()))
}

/// CPU time a delta in the middle of a paced run: begin and end of turns, of which many sessions have many, are no deltas.
async fn steady(server: &Server, lasts: Option<Duration>) -> Option<f64> {
    let lasts = lasts?;
    let look = || (server.cpu(), ARRIVED.load(Ordering::Relaxed));
    tokio::time::sleep(lasts / 4).await;
    let (cpu, deltas) = look();
    tokio::time::sleep(lasts / 2).await;
    let (later_cpu, later_deltas) = look();
    Some(per_delta(later_cpu.saturating_sub(cpu), later_deltas - deltas))
}

/// Microseconds.
fn per_delta(cpu: Duration, deltas: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / deltas.max(1) as f64
}

/// Starts a session, or attaches to it, and waits until its agent is up.
async fn start(client: &mut Client, session: &str) -> io::Result<()> {
    client.send(&format!("{{\"type\":\"session_start\",\"id\":\"s\",\"session_id\":\"{session}\"}}")).await?;
    client.wait_for(br#"{"type":"session_info""#, br#""agent":{"state":"running""#).await?;
    Ok(())
}

fn message(session: &str, order: &str) -> String {
    format!("{{\"type\":\"user_message\",\"id\":\"u\",\"session_id\":\"{session}\",\"content\":\"{order}\"}}")
}
