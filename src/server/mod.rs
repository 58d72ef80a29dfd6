//! Room: from a listening socket to an upgraded connection.
//!
//! Its job: accept within limits, read request heads in bounded time and size, route, check who may come in (token, Origin, Host),
//! answer HTTP, hand upgraded sockets to `connection`, and drain.
//!
//! May assume: TLS, path prefixes and static compression are a reverse proxy's. Must not know: what messages mean, sessions.
//!
//! ```no_run
//! # async fn example<S: claude_ws::server::Application>(service: std::sync::Arc<S>) -> std::io::Result<()> {
//! use claude_ws::server::{BindAddr, Listener, Settings, Shutdown, serve};
//!
//! let bind: BindAddr = "127.0.0.1:0".parse().expect("an address");
//! let listener = Listener::bind(&bind).await?;
//! println!("listening on {}", listener.local_addr());
//! serve(listener, service, Settings::default(), Shutdown::default()).await;
//! # Ok(()) }
//! ```

mod accept;
mod activation;
mod admission;
mod answer;
mod application;
mod descriptors;
mod doors;
mod handshake;
mod hosts;
mod http;
mod listener;
mod proxy;
mod refusals;
mod router;
#[cfg(test)]
mod tests;
mod tokens;

pub use accept::{Shutdown, serve};
pub use activation::Inherited;
pub use answer::{Body, Reply};
pub use application::{Application, Settings};
pub use descriptors::raise_descriptor_limit;
pub use hosts::{AllowedOrigins, BadOrigin};
pub use listener::{BadBind, BindAddr, Listener, LocalAddr, Socket};
pub use proxy::{BadProxy, TrustedProxies};
pub use tokens::{BadTokens, TokenStore, Tokens};
