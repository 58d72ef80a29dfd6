//! The `claude-ws` command: flags, logging, signals. Everything else is the library's.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use claude_ws::config::cli::Cli;
use claude_ws::gateway::{Demo, Gateway, Sweeper, check::Findings, welcome};
use claude_ws::server::{Inherited, Listener, TokenStore, raise_descriptor_limit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

fn main() -> ExitCode {
    // Before there is a second thread.
    let inherited = Inherited::take();
    let cli = Cli::parse();
    env_logger::Builder::new().parse_filters(cli.log_filter()).init();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli, inherited))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("claude-ws: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli, inherited: std::io::Result<Option<Inherited>>) -> Result<(), Box<dyn Error>> {
    let given = Inherited::listener(inherited).map_err(|problem| welcome::bad_socket(&problem))?;
    let bind = match &given {
        Some(listener) => listener.local_addr().clone(),
        None => cli.bind.parse().map_err(|problem| format!("--bind {}: {problem}", cli.bind))?,
    };
    let (is_demo, script, check) = (cli.is_demo(), cli.demo_script().cloned(), cli.check);
    let mut config = cli.into_config();
    let unknown = Cli::unknown_variables();
    if check {
        let bind = given.is_none().then_some(&bind);
        return Ok(Findings::of(&config, bind, script.as_deref()).await.and_unknown(&unknown).print()?);
    }
    for name in unknown {
        log::warn!("the environment has {name}, which is no setting: --help names those that are");
    }
    config.allow_bind(&bind.to_string(), bind.is_local())?;
    let claude = Gateway::find_claude(&config).await.map_err(|problem| welcome::no_claude(&problem))?;
    let tasks = TaskTracker::new();
    // Held until the end: with it the scripted model goes.
    let mut demo = None;
    if is_demo {
        demo = Some(Demo::start(&mut config, script.as_deref(), &tasks).await?);
    }
    let gateway = Gateway::new(config.clone()).await?;
    let listener = match given {
        Some(listener) => listener,
        None => Listener::bind(&bind).await.map_err(|problem| welcome::no_address(&bind, &problem))?,
    };
    let shutdown = CancellationToken::new();
    let reload = gateway.tokens().zip(config.doors.token_file.clone());
    let signals = signals(shutdown.clone(), gateway.sweeper(), reload)?;
    // Last: whoever reads it may send signals from now on.
    print!("{}", welcome::text(listener.local_addr(), &config, &claude, demo.is_some()));
    tokio::select! {
        () = gateway.serve(listener, shutdown) => Ok(()),
        never = signals => match never {},
    }
}

/// Waits for what is under way, if something is.
async fn done(work: &mut Option<std::pin::Pin<Box<impl Future<Output = ()>>>>) {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reads the tokens again.
fn signals(
    shutdown: CancellationToken,
    sweeper: Sweeper,
    reload: Option<(Arc<TokenStore>, std::path::PathBuf)>,
) -> std::io::Result<impl Future<Output = std::convert::Infallible>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        // Beside the signals, which it must not hold up; once more, if the file may have changed while it was read.
        let read = || reload.as_ref().map(|(tokens, path)| Box::pin(tokens.reload(path)));
        let (mut reading, mut again) = (None, false);
        loop {
            tokio::select! {
                () = done(&mut reading) => {
                    reading = if std::mem::take(&mut again) { read() } else { None };
                    continue;
                }
                Some(()) = terminate.recv() => {}
                Some(()) = interrupt.recv() => {}
                Some(()) = hangup.recv() => {
                    if reading.is_some() {
                        again = true;
                    } else {
                        reading = read();
                    }
                    continue;
                }
                // They end with the runtime only.
                else => std::future::pending().await,
            }
            if shutdown.is_cancelled() {
                log::warn!("second signal: ending at once");
                sweeper.sweep();
                std::process::exit(1);
            }
            shutdown.cancel();
        }
    })
}
