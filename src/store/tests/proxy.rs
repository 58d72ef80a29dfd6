//! A network between a node and its Redis that a test can make slow, silent or absent.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Network {
    Passes,
    /// Each piece waits so long, in each direction.
    Delays(Duration),
    /// Bytes to Redis wait here until something else is set; none are lost. Connections come about.
    Holds,
    /// As `Holds`, and what waits is thrown away, with the connections, when something else is set.
    Swallows,
}

/// Ends when dropped.
#[derive(Debug)]
pub(in crate::store) struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    /// Connections are cut whenever this changes.
    cut: watch::Sender<()>,
    end: CancellationToken,
}

impl Proxy {
    pub(in crate::store) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, cut, end) =
            (watch::Sender::new(Network::Passes), watch::Sender::new(()), CancellationToken::new());
        let (tasks, ended) = (TaskTracker::new(), end.clone());
        let (states, cuts) = (network.clone(), cut.clone());
        tasks.clone().spawn(async move {
            loop {
                let (front, _) = tokio::select! {
                    taken = listener.accept() => taken.unwrap(),
                    () = ended.cancelled() => return,
                };
                let (states, mut cut, ended) = (states.clone(), cuts.subscribe(), ended.clone());
                tasks.spawn(async move {
                    // Refused there is closed here.
                    let Ok(back) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let (from_front, to_front) = front.into_split();
                    let (from_back, to_back) = back.into_split();
                    tokio::select! {
                        () = pump(from_front, to_back, states.subscribe()) => {}
                        () = pump(from_back, to_front, states.subscribe()) => {}
                        _ = cut.changed() => {}
                        () = ended.cancelled() => {}
                    }
                });
            }
        });
        Self { address, network, cut, end }
    }

    pub(in crate::store) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(in crate::store) fn set(&self, network: Network) {
        if *self.network.borrow() == Network::Swallows {
            self.cut();
        }
        self.network.send_replace(network);
    }

    /// Ends every connection; new ones come about.
    pub(in crate::store) fn cut(&self) {
        self.cut.send_replace(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let passing = |state: &Network| matches!(state, Network::Passes | Network::Delays(_));
        let Ok(state) = network.wait_for(passing).await.map(|state| *state) else { return };
        if let Network::Delays(time) = state {
            sleep(time).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
